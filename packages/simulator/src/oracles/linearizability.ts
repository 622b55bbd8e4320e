/**
 * Linearizability of what clients saw, at the end of the run, twice: against the agreed log, replayed here by a reference that shares
 * nothing with the replicas' execution, and by a search that never sees the log.
 */
import type { Batch, Bundle } from "@narses/core";
import { History } from "../history/history.ts";
import { checkAgainstLog, type Replayed } from "../history/log-check.ts";
import { checkLinearizable, type Model } from "../history/wgl.ts";
import { fail, type Oracle } from "./oracle.ts";

const idOf = (bundle: Bundle, rid: number): string => `c${bundle.client.slice(0, 6)}:${rid}`;
const ridsOf = (bundle: Bundle): readonly number[] => bundle.operations.map((_, i) => bundle.ridFirst + i);

/** The simulator's application: every operation adds one and answers the new count. */
const counter: Model<string, string, number> = {
  keyOf: () => "the counter",
  initial: () => 0,
  step: (count) => ({ state: count + 1, output: String(count + 1) }),
  textOf: String,
  equal: (a, b) => a === b,
};

/** The agreed log from slot 1 on without a gap, one operation at a time; a request id takes effect once. */
function replay(log: ReadonlyMap<number, Batch | undefined>): ReadonlyMap<string, Replayed<string>> {
  const replayed = new Map<string, Replayed<string>>();
  for (let seq = 1; log.has(seq); seq++) {
    for (const bundle of log.get(seq)?.bundles ?? []) {
      for (const rid of ridsOf(bundle)) {
        const id = idOf(bundle, rid);
        if (!replayed.has(id)) replayed.set(id, { position: replayed.size, output: String(replayed.size + 1) });
      }
    }
  }
  return replayed;
}

/** @param now virtual time. */
export function linearizabilityOracle(now: () => number): Oracle {
  const history = new History<string, string>();
  const log = new Map<number, Batch | undefined>();
  return {
    name: "linearizability",
    onSubmitted: (bundle) => {
      for (const rid of ridsOf(bundle)) history.invoke(idOf(bundle, rid), idOf(bundle, rid), now());
    },
    onAccepted: (bundle, answer) => {
      for (const word of answer.result.split(" ")) {
        const [rid, result] = word.split(":");
        history.accept(idOf(bundle, Number(rid)), result ?? "", now());
      }
    },
    onExecuted: (_replica, block) => {
      if (!log.has(block.header.seq)) log.set(block.header.seq, block.batch);
    },
    atEnd: () => {
      const { entries } = history;
      const byLog = checkAgainstLog(entries, replay(log), counter.equal);
      if (byLog !== undefined) fail("linearizability", byLog);
      const bySearch = checkLinearizable(entries, counter);
      if (bySearch.verdict === "violation") fail("linearizability", bySearch.detail);
    },
  };
}
