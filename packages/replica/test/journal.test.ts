/** The second and third place that know the last view: never behind what was said, whatever comes between the record and the note. */
import { digest, NarsesError, seqNum, view, type LogRecord, type View } from "@narses/core";
import { memoryVoteLog, type MemoryVoteLog } from "@narses/storage";
import { expect, test } from "vitest";
import { newCounters } from "../src/counters.ts";
import { createJournal, type Journal } from "../src/journal.ts";
import { newMeasures } from "../src/operations/distribution.ts";
import { testCluster } from "./support/cluster.ts";

const { codec } = testCluster(4);
const left = (v: number): LogRecord => ({ type: "view-left", view: view(v), stable: { seq: seqNum(0), root: digest("ab".repeat(32)), proof: [] }, prepared: [] });

function open(log: MemoryVoteLog, noteView: (view: View) => void): Journal {
  const recovered = log.recovered.map((bytes) => codec.decodeRecord(bytes));
  return createJournal({ log, codec, counters: newCounters(), measures: newMeasures(() => 0), recovered, noteView });
}

test("a view whose record is durable, and whose note failed or was cut off by a crash, is noted by the next start before anything is said", () => {
  const log = memoryVoteLog();
  const noted: number[] = [];
  const journal = open(log, (v) => {
    if (v === 2) throw new NarsesError("DISK_FAILED", "no space left");
    noted.push(v);
  });
  journal.persist([{ type: "persist", record: left(1), lazy: false }]);
  expect(() => journal.persist([{ type: "persist", record: left(2), lazy: false }])).toThrow("no space left");
  // It says VIEW-CHANGE for view 2 now, out of its log and without another record.
  open(log.reopen("power-cut"), (v) => noted.push(v));
  expect(noted).toEqual([1, 2]);
});
