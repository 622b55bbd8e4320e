/**
 * Linearizability of what clients saw, at the end of the run, by a search for an order of the operations that explains every answer. It never
 * sees the log. For the counter only, that of either depth: a search needs a model of what operations do.
 */
import type { Coverage } from "../coverage/coverage.ts";
import { checkLinearizable, type Model } from "../history/wgl.ts";
import { clientsSaw } from "./clients-saw.ts";
import { fail, type Oracle } from "./oracle.ts";

/** Whatever else the simulator's own application keeps: every operation adds one and answers the new count. */
const counter: Model<string, string, number> = {
  keyOf: () => "the counter",
  initial: () => 0,
  step: (count) => ({ state: count + 1, output: String(count + 1) }),
  textOf: String,
  alike: true,
  growth: { at: (count) => count, due: (output) => Number(output) || 0 },
  equal: (a, b) => a === b,
};

/** Counted besides the catalogue, so that a summary can say how many histories were not judged. */
export const SEARCHED = { linearizable: "history: the search found an order", undecided: "history: the search gave up" } as const;

/** @param now virtual time. */
export function linearizabilitySearchOracle(now: () => number, coverage: Coverage): Oracle {
  const { history, onSubmitted, onAccepted } = clientsSaw("linearizability-search", now);
  return {
    name: "linearizability-search", onSubmitted, onAccepted,
    atEnd: () => {
      const { verdict, detail } = checkLinearizable(history.entries, counter);
      if (verdict === "violation") fail("linearizability-search", detail);
      else coverage.sometimes(SEARCHED[verdict]);
    },
  };
}
