/** The disk keeps what was safe, and truncation keeps what is still needed. */
import { describe, expect, test } from "vitest";
import { type LogRecord, seqNum, type StableCheckpoint, view } from "@narses/core";
import { Disk } from "../src/disk.ts";
import { hashText } from "../src/hash.ts";
import { Random } from "../src/random.ts";

const stable = (seq: number): StableCheckpoint => ({ seq: seqNum(seq), root: hashText(`root ${seq}`), proof: [] });
const slot = (seq: number): LogRecord => ({ type: "pre-prepared", view: view(0), seq: seqNum(seq), digest: hashText(`batch ${seq}`) });
const left = (v: number): LogRecord => ({ type: "view-left", view: view(v), stable: stable(0), prepared: [] });

describe("disk", () => {
  test("a power cut keeps everything synced, and a prefix of the rest", () => {
    const lengths = new Set<number>();
    for (let i = 0; i < 50; i++) {
      const disk = new Disk();
      [1, 2].forEach((seq) => disk.append(slot(seq)));
      disk.sync();
      [3, 4, 5].forEach((seq) => disk.append(slot(seq)));
      disk.flush();
      disk.crash("power", new Random(`p${i}`));
      expect(disk.records).toEqual([1, 2, 3, 4, 5].slice(0, disk.records.length).map(slot));
      lengths.add(disk.records.length);
    }
    expect([...lengths].sort()).toEqual([2, 3, 4, 5]);
  });

  test("a killed process keeps everything written", () => {
    const disk = new Disk();
    disk.append(slot(1));
    disk.flush();
    disk.crash("kill", new Random("k"));
    expect(disk.records).toEqual([slot(1)]);
  });

  test("truncation drops settled slots and superseded records, never slots above", () => {
    const disk = new Disk();
    const records: LogRecord[] = [slot(1), left(1), slot(3), { type: "stable", stable: stable(2) }, left(2), { type: "stable", stable: stable(2) }, slot(4)];
    for (const record of records) disk.append(record);
    disk.truncate(seqNum(2));
    expect(disk.records).toEqual([slot(3), left(2), { type: "stable", stable: stable(2) }, slot(4)]);
  });
});
