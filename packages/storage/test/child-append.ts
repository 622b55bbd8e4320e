/** Appends and syncs records for ever, truncates now and then, and prints the id of each once it is durable. For vote-log-kill.test.ts. */
import { writeSync } from "node:fs";
import { seqNum } from "@narses/core";
import { openVoteLog, SEGMENT_BYTES_MIN } from "../src/index.ts";

const [directory = "", first = "1"] = process.argv.slice(2);
const log = await openVoteLog({ directory, segmentBytes: SEGMENT_BYTES_MIN });
const record = (id: number): Uint8Array => Uint8Array.from({ length: 100 + (id % 50) * 40 }, (_, i) => (i < 4 ? id >>> (8 * i) : id + i));
for (let id = Number(first); ; id++) {
  log.append(record(id), seqNum(id));
  if (id % 3 === 0) continue; // two at a time, every now and then
  log.sync();
  writeSync(1, `${id}\n`);
  if (id % 100 === 0) {
    log.truncate(seqNum(id - 20), [Uint8Array.of(255, 255, 255, 255)]);
    writeSync(1, `cut ${id - 20}\n`);
  }
}
