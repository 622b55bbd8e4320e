import { crc32 } from "node:zlib";
import { FRAME_BYTES_MAX, seqNum, type VoteLog } from "@narses/core";
import { describe, expect, test } from "vitest";
import {
  MemoryFileSystem, memoryVoteLog, openVoteLog, SEGMENT_BYTES_MIN, type DiskOperation, type MemoryVoteLog, type SegmentedVoteLog, type VoteLogOptions,
} from "../src/index.ts";
import { voteLogCompliance, type Harness } from "./compliance.ts";
import { expectCode, hexes, payload, temporaryDirectory } from "./helpers.ts";

const DIRECTORY = "/data/votes";
const open = (files: MemoryFileSystem, more: Partial<VoteLogOptions> = {}): Promise<SegmentedVoteLog> =>
  openVoteLog({ directory: DIRECTORY, segmentBytes: SEGMENT_BYTES_MIN, files, ...more });
const segments = (files: MemoryFileSystem): string[] => [...files.contents().keys()].filter((path) => path.includes("/votes-")).sort();

voteLogCompliance("memory", (): Harness<VoteLog> => ({
  ends: ["close", "kill", "power-cut"],
  open: () => Promise.resolve(memoryVoteLog()),
  reopen: async (log, end) => {
    if (end === "close") await log.close();
    return (log as MemoryVoteLog).reopen(end);
  },
}));

voteLogCompliance("files in memory", (): Harness<VoteLog> => {
  let files = new MemoryFileSystem();
  return {
    ends: ["close", "kill", "power-cut"],
    open: () => open(files),
    reopen: async (log, end) => {
      if (end === "close") await log.close();
      if (end === "power-cut") files = files.crash(() => false);
      return open(files);
    },
  };
});

voteLogCompliance("files", (): Harness<VoteLog> => {
  let directory = "";
  const openHere = (): Promise<VoteLog> => openVoteLog({ directory, segmentBytes: SEGMENT_BYTES_MIN });
  return {
    ends: ["close", "kill"],
    open: () => {
      directory = `${temporaryDirectory()}/votes`;
      return openHere();
    },
    reopen: async (log, end) => {
      if (end === "close") await log.close();
      return openHere();
    },
  };
});

/** A log whose records 1 … count were synced one by one, and where each lies. */
async function written(count: number, bytes = 100): Promise<{ files: MemoryFileSystem; path: string; offset: (id: number) => number }> {
  const files = new MemoryFileSystem();
  const log = await open(files);
  for (let id = 1; id <= count; id++) {
    log.append(payload(id, bytes), seqNum(id));
    log.sync();
  }
  return { files, path: segments(files)[0] ?? "", offset: (id) => 4_096 + (id - 1) * (32 + Math.ceil(bytes / 8) * 8) };
}

function damaged(files: MemoryFileSystem, path: string, change: (bytes: Uint8Array) => Uint8Array | undefined): MemoryFileSystem {
  const contents = files.contents();
  const bytes = contents.get(path) ?? new Uint8Array(0);
  const changed = change(bytes);
  contents.set(path, changed ?? bytes);
  return new MemoryFileSystem({}, contents);
}

function flip(bytes: Uint8Array, at: number): undefined {
  bytes[at] = (bytes[at] ?? 0) ^ 0x10;
}

describe("damage", () => {
  test("a last record torn at any byte is dropped, and the log goes on", async () => {
    const { files, path, offset } = await written(3);
    for (let torn = offset(3); torn < offset(4); torn++) {
      const disk = damaged(files, path, (bytes) => void bytes.fill(0, torn));
      const log = await open(disk);
      // The last four bytes are padding: zeros anyway.
      const whole = torn >= offset(4) - 4 ? [payload(3)] : [];
      expect(hexes(log.recovered), `torn at ${torn}`).toEqual(hexes([payload(1), payload(2), ...whole]));
      log.append(payload(9), seqNum(9));
      log.sync();
      expect((await open(disk)).recovered.at(-1)).toEqual(payload(9));
    }
  });

  test("a flipped bit anywhere in a record before a later one is reported with file and offset", async () => {
    const { files, path, offset } = await written(3);
    for (let at = offset(2); at < offset(3) - 4; at++) {
      const error = await expectCode("DATA_CORRUPT", () => open(damaged(files, path, (bytes) => flip(bytes, at))));
      expect(error.data).toMatchObject({ file: path, offset: offset(2) });
      expect(error.message).toContain(path);
    }
  });

  test("damage is reported without touching the evidence", async () => {
    const { files, path, offset } = await written(3);
    const disk = damaged(files, path, (bytes) => flip(bytes, offset(1) + 40));
    const before = disk.contents().get(path);
    await expectCode("DATA_CORRUPT", () => open(disk));
    expect(disk.contents().get(path)).toEqual(before);
  });

  test("after a clean close, damage to the last record is told from a torn tail", async () => {
    const files = new MemoryFileSystem();
    const log = await open(files);
    log.append(payload(1), seqNum(1));
    await log.close();
    const [path = ""] = segments(files);
    expect((await open(files)).closedCleanly).toBe(true);
    await expectCode("DATA_CORRUPT", () => open(damaged(files, path, (bytes) => flip(bytes, 4_096 + 40))));
  });

  test("records of one sync may reach the disk in any order: a hole in the last one is a torn tail", async () => {
    const files = new MemoryFileSystem();
    const log = await open(files);
    log.append(payload(1), seqNum(1));
    log.sync();
    for (let id = 2; id <= 4; id++) log.append(payload(id), seqNum(id));
    log.sync();
    const [path = ""] = segments(files);
    const disk = damaged(files, path, (bytes) => void bytes.fill(0, 4_096 + 136, 4_096 + 2 * 136));
    const again = await open(disk);
    expect([hexes(again.recovered), again.closedCleanly]).toEqual([hexes([payload(1)]), false]);
    // What was dropped never comes back, even though records 3 and 4 were intact.
    again.append(payload(7), seqNum(7));
    again.sync();
    expect(hexes((await open(disk)).recovered)).toEqual(hexes([payload(1), payload(7)]));
  });

  test("a record copied over another place does not validate", async () => {
    const { files, path, offset } = await written(4);
    await expectCode("DATA_CORRUPT", () => open(damaged(files, path, (bytes) => void bytes.copyWithin(offset(2), offset(3), offset(4)))));
  });

  test("a segment that is missing, short, damaged at its head, or swapped is reported", async () => {
    const files = new MemoryFileSystem();
    const log = await open(files);
    for (let id = 1; id <= 12; id++) {
      log.append(payload(id, 5_000), seqNum(id));
      log.sync();
    }
    const paths = segments(files);
    expect(paths.length).toBeGreaterThanOrEqual(4);
    const without = (path: string): MemoryFileSystem => {
      const contents = files.contents();
      contents.delete(path);
      return new MemoryFileSystem({}, contents);
    };
    for (const path of paths.slice(0, -1)) await expectCode("DATA_CORRUPT", () => open(without(path)));
    for (const path of paths) {
      await expectCode("DATA_CORRUPT", () => open(damaged(files, path, (bytes) => flip(bytes, 20))));
      await expectCode("DATA_CORRUPT", () => open(damaged(files, path, (bytes) => bytes.slice(0, -1_000))));
    }
    const contents = files.contents();
    const [first = "", second = ""] = paths;
    const [a, b] = [contents.get(first), contents.get(second)];
    if (a !== undefined && b !== undefined) contents.set(first, b).set(second, a);
    await expectCode("DATA_CORRUPT", () => open(new MemoryFileSystem({}, contents)));
    // The last record of a segment that is not the last: the next segment's head says that it was durable.
    await expectCode("DATA_CORRUPT", () => open(damaged(files, first, (bytes) => flip(bytes, 4_096 + 5_032 + 50))));
  });

  test("another format version is named as such; a lost log is not taken for a new one", async () => {
    await expectCode("DATA_CORRUPT", () => open(new MemoryFileSystem(), { mustExist: true }));
    const { files, path } = await written(1);
    const newer = damaged(files, path, (bytes) => {
      bytes[7] = 2;
      new DataView(bytes.buffer).setUint32(44, crc32(bytes.subarray(0, 44)));
      return undefined;
    });
    expect((await expectCode("DATA_VERSION", () => open(newer))).data).toMatchObject({ file: path, version: 2 });
    expect((await open(files, { mustExist: true })).recovered).toHaveLength(1);
  });
});

describe("segments", () => {
  test("are recycled, and nothing of an earlier life comes back", async () => {
    let files = new MemoryFileSystem();
    let log = await open(files);
    let id = 0;
    for (let round = 1; round <= 6; round++) {
      const live: Uint8Array[] = [];
      for (let i = 0; i < 8; i++) {
        live.push(payload(++id, 3_000));
        log.append(payload(id, 3_000), seqNum(id));
        log.sync();
      }
      // Reopening in the middle of a recycled segment must stop at its last record.
      files = files.crash(() => true);
      log = await open(files);
      expect(hexes(log.recovered)).toEqual(hexes([...(round === 1 ? [] : [payload(1_000 + round - 1)]), ...live]));
      log.truncate(seqNum(id), [payload(1_000 + round)]);
    }
    const names = [...files.contents().keys()];
    expect(names.filter((name) => name.includes("spare-")).length).toBeGreaterThan(0);
    expect(log.usage().segments).toBeLessThanOrEqual(2);
    expect(names.length).toBeLessThanOrEqual(6);
  });

  test("a record above the segment size gets a segment of its own; the largest frame fits", async () => {
    const files = new MemoryFileSystem();
    const log = await open(files);
    const records = [payload(1, 10), payload(2, 100_000), payload(3, 10), new Uint8Array(FRAME_BYTES_MAX).fill(7)];
    records.forEach((record, i) => log.append(record, seqNum(i + 1)));
    log.sync();
    const again = await open(files);
    expect(again.recovered.map((r) => r.length)).toEqual(records.map((r) => r.length));
    expect(again.recovered.every((r, i) => Buffer.compare(r, records[i] ?? r) === 0)).toBe(true);
    again.truncate(seqNum(4), []);
    await again.close();
    expect((await open(files)).recovered).toEqual([]);
    expect(() => log.append(new Uint8Array(FRAME_BYTES_MAX + 1), seqNum(9))).toThrow(RangeError);
  });

  test("options out of range are refused", async () => {
    await expect(open(new MemoryFileSystem(), { segmentBytes: 100 })).rejects.toThrow(RangeError);
  });

  test("a log that only grows fails at its limit", async () => {
    const log = await open(new MemoryFileSystem(), { logBytesMax: 4 * SEGMENT_BYTES_MIN });
    const error = await expectCode("DISK_FAILED", () => {
      for (let id = 1; ; id++) {
        log.append(payload(id, 5_000), seqNum(id));
        log.sync();
      }
    });
    expect(error.data["errno"]).toBe("ELOGFULL");
  });
});

describe("a failing disk", () => {
  for (const [operation, errno] of [["write", "ENOSPC"], ["write", "EIO"], ["sync", "EIO"], ["sync", "ENOSPC"]] as const) {
    test(`${errno} on ${operation} is final`, async () => {
      let failing: DiskOperation | undefined;
      let asked = 0;
      const files = new MemoryFileSystem({ fault: (op) => (asked++, op === failing ? errno : undefined) });
      const log = await open(files);
      log.append(payload(1), seqNum(1));
      log.sync();
      failing = operation;
      log.append(payload(2), seqNum(2));
      const error = await expectCode("DISK_FAILED", () => log.sync());
      expect(error.data).toMatchObject({ errno });
      failing = undefined;
      asked = 0;
      for (const use of [() => log.sync(), () => log.flush(), () => log.append(payload(3), seqNum(3)), () => log.truncate(seqNum(1), [])]) {
        expect(await expectCode("DISK_FAILED", use)).toBe(error);
      }
      await log.close();
      expect(asked).toBe(0);
      expect((await open(files.crash(() => false))).recovered).toEqual([payload(1)]);
    });
  }

  test("ENOSPC while a segment is made fails the open with DISK_FAILED", async () => {
    const files = new MemoryFileSystem({ fault: (op) => (op === "write" ? "ENOSPC" : undefined) });
    expect((await expectCode("DISK_FAILED", () => open(files))).data["errno"]).toBe("ENOSPC");
  });

  test("what recovery accepts is made durable again: readable is not durable after a failed fsync", async () => {
    const files = new MemoryFileSystem();
    const log = await open(files);
    log.append(payload(1), seqNum(1));
    log.flush(); // readable by the next process, never synced
    expect((await open(files)).recovered).toEqual([payload(1)]);
    expect((await open(files.crash(() => false))).recovered).toEqual([payload(1)]);
  });
});
