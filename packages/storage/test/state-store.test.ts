import { createHash } from "node:crypto";
import { bucketOf } from "../src/state/page.ts";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ClassicLevel } from "classic-level";
import { NarsesError, seqNum } from "@narses/core";
import { describe, expect, test } from "vitest";
import {
  CHECKPOINTS_IN_FLIGHT_MAX, memoryStateStore, openStateStore, STATE_PAGE_BYTES_MAX, type AuthenticatedState, type MemoryState,
} from "../src/index.ts";
import { stateCompliance, type Harness } from "./compliance.ts";
import { copyOfFiles, expectCode, hasher, temporaryDirectory, utf8 } from "./helpers.ts";

stateCompliance("memory", (): Harness<AuthenticatedState> => ({
  ends: ["close", "kill", "power-cut"],
  open: () => memoryStateStore({ hasher, bucketBits: 6 }),
  reopen: async (state, end) => {
    if (end === "close") await state.close();
    return (state as MemoryState).reopen();
  },
}));

stateCompliance("LevelDB", (): Harness<AuthenticatedState> => {
  let directory = "";
  return {
    ends: ["close", "kill"],
    open: () => {
      directory = join(temporaryDirectory(), "state");
      return openStateStore({ directory, hasher, bucketBits: 6, cacheBytes: 0 });
    },
    reopen: async (state, end) => {
      if (end === "kill") directory = copyOfFiles(directory);
      await state.close();
      return openStateStore({ directory, hasher });
    },
  };
});

test("in memory, a checkpoint under way at a crash never happens", async () => {
  const state = await memoryStateStore({ hasher, bucketBits: 4 });
  state.put("a", utf8("1"));
  const begun = state.checkpoint(seqNum(1));
  const again = await state.reopen();
  await begun;
  expect([again.fresh, again.get("a"), (await again.reopen()).fresh]).toEqual([true, undefined, true]);
});

test("a checkpoint is frozen at once, written after what it is told to wait for, and fails with it", async () => {
  const state = await memoryStateStore({ hasher, bucketBits: 4 });
  state.put("a", utf8("1"));
  let open = (): void => undefined;
  const begun = state.checkpoint(seqNum(1), new Promise((resolve) => (open = resolve)));
  state.put("a", utf8("2"));
  await new Promise(setImmediate);
  expect([state.durableSeq, (await state.reopen()).fresh]).toEqual([0, true]);
  const other = await memoryStateStore({ hasher, bucketBits: 4 });
  other.put("a", utf8("1"));
  const root = other.root();
  expect(await expectCode("DISK_FAILED", () => other.checkpoint(seqNum(1), Promise.reject(new NarsesError("DISK_FAILED", "EIO"))))).toBeDefined();
  expect(other.durableSeq).toBe(0);
  open();
  expect([await begun, state.durableSeq]).toEqual([root, 1]);
});

const memory = (bucketBits: number): Promise<MemoryState> => memoryStateStore({ hasher, bucketBits });

describe("root", () => {
  test("is what its definition says, worked out by hand for 4 bits", async () => {
    const sha = (...parts: readonly Uint8Array[]): Buffer => parts.reduce((h, part) => h.update(part), createHash("sha256")).digest();
    const state = await memory(4);
    state.put("hello", utf8("world"));
    const bucket = (sha(utf8("hello"))[0] ?? 0) >>> 5;
    const page = Buffer.concat([Uint8Array.of(0, 0, 0, bucket, 0, 0, 0, 1, 0, 5, 0, 0, 0, 5), utf8("hello"), utf8("world")]);
    const leaves = Array.from({ length: 16 }, (_, i) => (i === bucket ? sha(page) : new Uint8Array(32)));
    expect(state.root()).toBe(sha(utf8("narses/state-root/1"), Uint8Array.of(4), sha(...leaves)).toString("hex"));
  });

  test("depends on the content and the bits, not on order or history", async () => {
    for (const bits of [4, 5, 7, 8, 9, 12, 16]) {
      const [a, b, empty] = [await memory(bits), await memory(bits), await memory(bits)];
      for (let i = 0; i < 50; i++) a.put(`k${i}`, utf8(`v${i}`));
      for (let i = 49; i >= 0; i--) {
        b.put(`k${i}`, utf8("other"));
        b.root();
        b.put(`x${i}`, utf8("gone"));
        b.put(`k${i}`, utf8(`v${i}`));
      }
      for (let i = 0; i < 50; i++) b.delete(`x${i}`);
      expect(b.root()).toBe(a.root());
      for (let i = 0; i < 50; i++) a.delete(`k${i}`);
      expect(a.root()).toBe(empty.root());
    }
    const [five, six] = [await memory(5), await memory(6)];
    expect(five.root()).not.toBe(six.root());
  });

  test("tells apart contents that concatenate alike", async () => {
    const roots = new Set<string>();
    for (const [key, value] of [["ab", "c"], ["a", "bc"], ["abc", ""]] as const) {
      const state = await memory(4);
      state.put(key, utf8(value));
      roots.add(state.root());
    }
    expect(roots.size).toBe(3);
  });
});

describe("bounds", () => {
  test("a page never grows above its limit; the refused put changes nothing", async () => {
    const state = await memory(4);
    const value = new Uint8Array(1 << 20);
    const bucket = (key: string): number => (hasher.sha256(utf8(key))[0] ?? 0) >>> 5;
    const keys = Array.from({ length: 1_000 }, (_, i) => `key ${i}`).filter((key) => bucket(key) === 3).slice(0, 16);
    expect(keys).toHaveLength(16);
    const fitting = Math.floor(STATE_PAGE_BYTES_MAX / (value.length + 16));
    keys.slice(0, fitting).forEach((key) => state.put(key, value));
    const root = state.root();
    expect(() => state.put(keys[fitting] ?? "", value)).toThrow(RangeError);
    expect([state.get(keys[fitting] ?? ""), state.root()]).toEqual([undefined, root]);
  });

  test("checkpoints that the disk cannot keep up with are refused", async () => {
    const state = await memory(4);
    const begun = Array.from({ length: CHECKPOINTS_IN_FLIGHT_MAX }, (_, i) => state.checkpoint(seqNum(i + 1)));
    const error = await expectCode("OVERLOADED", () => state.checkpoint(seqNum(99)));
    expect(error.message).toContain("memory");
    await Promise.all(begun);
    await state.checkpoint(seqNum(99));
    expect(state.durableSeq).toBe(99);
  });

  test("options out of range, and a change of bits, are refused", async () => {
    await expect(memory(3)).rejects.toThrow(RangeError);
    await expect(memory(21)).rejects.toThrow(RangeError);
    const directory = join(temporaryDirectory(), "state");
    const state = await openStateStore({ directory, hasher, bucketBits: 5 });
    await state.checkpoint(seqNum(1));
    await state.close();
    await expectCode("CONFIG_INVALID", () => openStateStore({ directory, hasher, bucketBits: 6 }));
    const again = await openStateStore({ directory, hasher });
    expect(again.bucketBits).toBe(5);
    await again.close();
  });
});

describe("on disk", () => {
  async function stored(): Promise<string> {
    const directory = join(temporaryDirectory(), "state");
    const state = await openStateStore({ directory, hasher, bucketBits: 8 });
    for (let i = 0; i < 1_000; i++) state.put(`key ${i}`, utf8(`value ${i}`));
    await state.checkpoint(seqNum(1));
    await state.close();
    return directory;
  }

  async function change(directory: string, body: (db: ClassicLevel<Uint8Array, Uint8Array>) => Promise<void>): Promise<void> {
    const db = new ClassicLevel<Uint8Array, Uint8Array>(directory, { keyEncoding: "view", valueEncoding: "view" });
    await body(db);
    await db.close();
  }

  test("a damaged page is found when it is read, not passed on", async () => {
    const directory = await stored();
    const bucket = (hasher.sha256(utf8("key 7"))[0] ?? 0) >>> 1;
    const key = Uint8Array.of(0x70, 0, 0, 0, bucket);
    await change(directory, async (db) => {
      const page = (await db.get(key)) ?? new Uint8Array(0);
      page[page.length - 1] = (page.at(-1) ?? 0) ^ 1;
      await db.put(key, page);
    });
    const state = await openStateStore({ directory, hasher });
    const error = await expectCode("DATA_CORRUPT", () => state.get("key 7"));
    expect(error.data).toMatchObject({ bucket });
    await expectCode("DATA_CORRUPT", () => state.checkpoints[0]?.page(bucket));
    await state.close();
    await change(directory, (db) => db.del(key));
    const missing = await openStateStore({ directory, hasher });
    await expectCode("DATA_CORRUPT", () => missing.get("key 7"));
    await missing.close();
  });

  test("damaged leaf hashes or a damaged meta record stop the open", async () => {
    for (const [key, change1] of [
      [Uint8Array.of(0x68, 0, 0, 0, 3), (v: Uint8Array) => v.with(100, (v[100] ?? 0) ^ 1)],
      [Uint8Array.of(0x68, 0, 0, 0, 3), (v: Uint8Array) => v.slice(32)],
      [Uint8Array.of(0x6d), (v: Uint8Array) => v.with(20, (v[20] ?? 0) ^ 1)],
      [Uint8Array.of(0x6d), undefined],
    ] as const) {
      const directory = await stored();
      await change(directory, async (db) => {
        const value = (await db.get(key)) ?? new Uint8Array(0);
        if (change1 === undefined) await db.del(key);
        else await db.put(key, change1(new Uint8Array(value)));
      });
      await expectCode("DATA_CORRUPT", () => openStateStore({ directory, hasher }));
    }
  });

  test("one that must exist is not made", async () => {
    const directory = join(temporaryDirectory(), "state");
    await expectCode("DATA_CORRUPT", () => openStateStore({ directory, hasher, mustExist: true }));
    const again = await openStateStore({ directory: await stored(), hasher, mustExist: true });
    expect(again.durableSeq).toBe(1);
    await again.close();
  });

  test("a lost file of the database, and a second opener, are named as such", async () => {
    const directory = await stored();
    const state = await openStateStore({ directory, hasher });
    await expectCode("DATA_DIR_LOCKED", () => openStateStore({ directory, hasher }));
    await state.close();
    const current = readFileSync(join(directory, "CURRENT"), "utf8");
    const manifest = readdirSync(directory).find((name) => current.startsWith(name)) ?? "";
    writeFileSync(join(directory, manifest), "");
    await expectCode("DATA_CORRUPT", () => openStateStore({ directory, hasher }));
  });
});

test("sessions and replies have buckets of their own: no key of another namespace reaches their pages", () => {
  const bits = 8;
  const quarterOf = (prefix: string): Set<number> => new Set(Array.from({ length: 500 }, (_, i) => bucketOf(hasher, `${prefix}${i}`, bits) >>> (bits - 2)));
  expect(quarterOf("s/")).toEqual(new Set([2]));
  expect(quarterOf("r/")).toEqual(new Set([3]));
  for (const prefix of ["a/", "c/", "s", "r", "sx/", ""]) expect(quarterOf(prefix)).toEqual(new Set([0, 1]));
});
