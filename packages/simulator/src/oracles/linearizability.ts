/**
 * Linearizability of what clients saw, at the end of the run: against the agreed log, replayed here by a reference that shares
 * nothing with the replicas' execution; and for the simulator's own application also by a search that never sees the log.
 */
import { type Application, COUNTER } from "../application.ts";
import { History } from "../history/history.ts";
import { checkAgainstLog, type Replayed } from "../history/log-check.ts";
import { type AgreedSlot, idleOf, operationId, replayApplication, requestIds } from "../history/reference.ts";
import { checkLinearizable, type Model } from "../history/wgl.ts";
import { Violation } from "../violation.ts";
import { fail, type Oracle } from "./oracle.ts";

/** The simulator's own application, whatever else it keeps: every operation adds one and answers the new count. */
const counter: Model<string, string, number> = {
  keyOf: () => "the counter",
  initial: () => 0,
  step: (count) => ({ state: count + 1, output: String(count + 1) }),
  textOf: String,
  alike: true,
  equal: (a, b) => a === b,
};

function replayCounter(log: ReadonlyMap<number, AgreedSlot>): ReadonlyMap<string, Replayed<string>> {
  const replayed = new Map<string, Replayed<string>>();
  for (let seq = 1; log.has(seq); seq++) {
    const slot = log.get(seq);
    for (const [place, bundle] of (slot?.batch?.bundles ?? []).entries()) {
      for (const rid of requestIds(bundle)) {
        const id = operationId(bundle, rid);
        if (!replayed.has(id) && slot?.idle[place]?.has(rid) !== true) replayed.set(id, { position: replayed.size, output: String(replayed.size + 1) });
      }
    }
  }
  return replayed;
}

/**
 * @param now virtual time.
 * @param application undefined: the counter that engines in small shells have.
 */
export function linearizabilityOracle(now: () => number, application?: Application): Oracle {
  const history = new History<string, string>();
  const log = new Map<number, AgreedSlot>();
  return {
    name: "linearizability",
    onSubmitted: (bundle) => {
      for (const rid of requestIds(bundle)) history.invoke(operationId(bundle, rid), operationId(bundle, rid), now());
    },
    onAccepted: (bundle, answer) => {
      for (const word of answer.result.split(" ")) {
        const split = word.indexOf(":");
        history.accept(operationId(bundle, Number(word.slice(0, split))), word.slice(split + 1), now());
      }
    },
    onExecuted: (_replica, { header, batch, results }) => {
      if (!log.has(header.seq)) log.set(header.seq, { batch, header, idle: results.map(idleOf) });
    },
    atEnd: () => {
      const { entries } = history;
      const { replayed, mistake } = application === undefined ? { replayed: replayCounter(log), mistake: undefined } : replayApplication(log, application.app, application.genesis);
      if (mistake !== undefined) {
        const what = mistake.error instanceof Error ? `${mistake.error.name}: ${mistake.error.message}` : String(mistake.error);
        const detail = `apply failed at ${mistake.id} (${what}), was undone and answered INTERNAL; a refusal would be an AppRejection`;
        throw new Violation("crash", "application", detail, { cause: mistake.error });
      }
      const byLog = checkAgainstLog(entries, replayed, counter.equal);
      if (byLog !== undefined) fail("linearizability", byLog);
      if (application !== undefined && application !== COUNTER) return;
      const bySearch = checkLinearizable(entries, counter);
      if (bySearch.verdict === "violation") fail("linearizability", bySearch.detail);
    },
  };
}
