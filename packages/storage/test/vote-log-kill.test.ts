import { openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { openVoteLog, SEGMENT_BYTES_MIN } from "../src/index.ts";
import { startChild, temporaryDirectory } from "./helpers.ts";

const idOf = (record: Uint8Array): number => new DataView(record.buffer, record.byteOffset).getUint32(0, true);

test("kill -9 at any moment loses no acknowledged record", async () => {
  const root = temporaryDirectory();
  const directory = join(root, "votes");
  let first = 1;
  for (const [round, enough] of [120, 1, 240].entries()) {
    const output = join(root, `output ${round}`);
    const child = startChild("./child-append.ts", { stdout: openSync(output, "w") }, directory, `${first}`);
    while (readFileSync(output, "utf8").split("\n").length < enough) await delay(1);
    await child.kill();

    const lines = readFileSync(output, "utf8").split("\n");
    const acknowledged = Math.max(first - 1, ...lines.filter((line) => /^\d+$/.test(line)).map(Number));
    const cut = Math.max(first - 1, ...lines.flatMap((line) => (line.startsWith("cut ") ? [Number(line.slice(4))] : [])));
    const log = await openVoteLog({ directory, segmentBytes: SEGMENT_BYTES_MIN });
    const ids = log.recovered.map(idOf).filter((id) => id !== 0xffff_ffff);
    const last = Math.max(acknowledged, ...ids);
    // The child may have got one record, and one truncation, further than it could say.
    expect(last - acknowledged).toBeLessThanOrEqual(3);
    const from = ids[0] ?? last + 1;
    expect(from).toBeLessThanOrEqual(cut + 101);
    expect(ids).toEqual(Array.from({ length: last - from + 1 }, (_, i) => from + i));
    for (const record of log.recovered.filter((bytes) => idOf(bytes) !== 0xffff_ffff)) {
      const id = idOf(record);
      expect(record.length).toBe(100 + (id % 50) * 40);
      expect(record.every((byte, i) => i < 4 || byte === ((id + i) & 255))).toBe(true);
    }
    await log.close();
    first = last + 1;
  }
  expect(first).toBeGreaterThan(300);
});
