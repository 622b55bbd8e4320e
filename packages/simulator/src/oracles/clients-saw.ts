/** The history of a run as its clients tell it: both judgements of linearizability begin with it, each with a record of its own. */
import type { Bundle } from "@narses/core";
import { History } from "../history/history.ts";
import { operationId, requestIds } from "../history/reference.ts";
import { fail, type Oracle } from "./oracle.ts";

export interface ClientsSaw extends Required<Pick<Oracle, "onSubmitted" | "onAccepted">> {
  readonly history: History<string, string>;
}

/**
 * @param judge the oracle that keeps it.
 * @param now virtual time.
 */
export function clientsSaw(judge: string, now: () => number): ClientsSaw {
  const history = new History<string, string>();
  /** One result for each request id of the bundle, in order: anything else answers something that was not asked. */
  const resultsOf = (bundle: Bundle, text: string): readonly string[] => {
    const ids = requestIds(bundle);
    const words = text.split(" ");
    const wrong = words.length !== ids.length || words.some((word, i) => !word.startsWith(`${ids[i]}:`));
    if (wrong) fail(judge, `a client accepted ${JSON.stringify(text)} as the answer to requests ${ids.join(", ")}`);
    return words.map((word) => word.slice(word.indexOf(":") + 1));
  };
  return {
    history,
    onSubmitted: (bundle) => {
      for (const rid of requestIds(bundle)) history.invoke(operationId(bundle, rid), operationId(bundle, rid), now());
    },
    onAccepted: (bundle, answer) => {
      const results = resultsOf(bundle, answer.result);
      requestIds(bundle).forEach((rid, i) => history.accept(operationId(bundle, rid), results[i] as string, now()));
    },
  };
}
