/**
 * Linearizability of what clients saw, at the end of the run, by the agreed log: it is replayed here by a reference that shares nothing
 * with the replicas' execution, and every answer must be what the replay gives at the operation's place.
 */
import type { Application } from "../application.ts";
import { checkAgainstLog, type Replayed } from "../history/log-check.ts";
import { type AgreedSlot, idleOf, operationId, replayApplication, requestIds } from "../history/reference.ts";
import { Violation } from "../violation.ts";
import { clientsSaw } from "./clients-saw.ts";
import { fail, type Oracle } from "./oracle.ts";

/** The counter of engines in small shells. */
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
  const { history, onSubmitted, onAccepted } = clientsSaw("linearizability", now);
  const log = new Map<number, AgreedSlot>();
  return {
    name: "linearizability", onSubmitted, onAccepted,
    onExecuted: (_replica, { header, batch, results }) => {
      if (!log.has(header.seq)) log.set(header.seq, { batch, header, idle: results.map(idleOf) });
    },
    atEnd: () => {
      const { replayed, mistake } = application === undefined ? { replayed: replayCounter(log), mistake: undefined } : replayApplication(log, application.app, application.genesis);
      if (mistake !== undefined) {
        const what = mistake.error instanceof Error ? `${mistake.error.name}: ${mistake.error.message}` : String(mistake.error);
        const detail = `apply failed at ${mistake.id} (${what}), was undone and answered INTERNAL; a refusal would be an AppRejection`;
        throw new Violation("crash", "application", detail, { cause: mistake.error });
      }
      const found = checkAgainstLog(history.entries, replayed, (a, b) => a === b);
      if (found !== undefined) fail("linearizability", found);
    },
  };
}
