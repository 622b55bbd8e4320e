import { existsSync } from "node:fs";
import { join } from "node:path";
import { ClassicLevel } from "classic-level";
import { seqNum, type BlockStore } from "@narses/core";
import { describe, expect, test } from "vitest";
import { memoryBlockStore, openBlockStore, type MemoryBlockStore } from "../src/index.ts";
import { blockCompliance, type Harness } from "./compliance.ts";
import { block, copyOfFiles, expectCode, jsonCodec, temporaryDirectory } from "./helpers.ts";

blockCompliance("memory", (): Harness<BlockStore> => ({
  ends: ["close", "kill", "power-cut"],
  open: () => Promise.resolve(memoryBlockStore()),
  reopen: async (blocks, end) => {
    if (end === "close") await blocks.close();
    return (blocks as MemoryBlockStore).reopen();
  },
}));

blockCompliance("LevelDB", (): Harness<BlockStore> => {
  let directory = "";
  return {
    ends: ["close", "kill"],
    open: () => {
      directory = join(temporaryDirectory(), "blocks");
      return openBlockStore({ directory, codec: jsonCodec });
    },
    reopen: async (blocks, end) => {
      if (end === "kill") directory = copyOfFiles(directory);
      await blocks.close();
      return openBlockStore({ directory, codec: jsonCodec });
    },
  };
});

test("in memory, blocks that were not synced are gone after a crash", async () => {
  const blocks = memoryBlockStore();
  blocks.put(block(0));
  await blocks.sync();
  blocks.put(block(1));
  expect(blocks.reopen().head).toBe(0);
});

describe("LevelDB", () => {
  test("many large blocks are written behind; each sync covers what was put before it", async () => {
    const directory = join(temporaryDirectory(), "blocks");
    const blocks = await openBlockStore({ directory, codec: jsonCodec });
    const big = (seq: number) => ({ ...block(seq), results: [[new Uint8Array(150_000).fill(seq)]] });
    const expectBig = async (store: BlockStore, seq: number): Promise<void> => {
      const found = (await store.get(seqNum(seq)))?.results[0]?.[0];
      expect([found?.length, found?.every((byte) => byte === seq)]).toEqual([150_000, true]);
    };
    const syncs: Promise<void>[] = [];
    for (let seq = 0; seq < 30; seq++) {
      blocks.put(big(seq));
      if (seq % 7 === 0) syncs.push(blocks.sync());
      await expectBig(blocks, Math.floor(seq / 2));
    }
    await Promise.all(syncs);
    await blocks.close();
    const again = await openBlockStore({ directory, codec: jsonCodec });
    expect(again.head).toBe(29);
    for (const seq of [0, 15, 29]) await expectBig(again, seq);
    await again.close();
  });

  test("sync covers what was put while another batch was under way", async () => {
    const directory = join(temporaryDirectory(), "blocks");
    const blocks = await openBlockStore({ directory, codec: jsonCodec });
    blocks.put(block(0));
    const first = blocks.sync();
    blocks.put(block(1));
    const second = blocks.sync();
    await Promise.all([first, second]);
    const copy = await openBlockStore({ directory: copyOfFiles(directory), codec: jsonCodec });
    expect(copy.head).toBe(1);
    await copy.close();
    await blocks.close();
  });

  test("one that must exist is not made", async () => {
    const directory = join(temporaryDirectory(), "blocks");
    await expectCode("DATA_CORRUPT", () => openBlockStore({ directory, codec: jsonCodec, mustExist: true }));
    expect(existsSync(directory)).toBe(false);
    await (await openBlockStore({ directory, codec: jsonCodec })).close();
    await (await openBlockStore({ directory, codec: jsonCodec, mustExist: true })).close();
  });

  test("damaged, swapped, undecodable and missing blocks are DATA_CORRUPT with their slot", async () => {
    const directory = join(temporaryDirectory(), "blocks");
    const blocks = await openBlockStore({ directory, codec: jsonCodec });
    for (let seq = 0; seq <= 4; seq++) blocks.put(block(seq));
    await blocks.close();
    const key = (seq: number): Uint8Array => Uint8Array.of(0, 0, 0, 0, 0, 0, 0, seq);
    const db = new ClassicLevel<Uint8Array, Uint8Array>(directory, { keyEncoding: "view", valueEncoding: "view" });
    const value = new Uint8Array((await db.get(key(1))) ?? new Uint8Array(0));
    await db.put(key(1), value.with(30, (value[30] ?? 0) ^ 1));
    await db.put(key(2), value);
    await db.del(key(3));
    await db.put(key(0), new Uint8Array(3));
    await db.close();
    const again = await openBlockStore({ directory, codec: jsonCodec });
    for (const seq of [0, 1, 2, 3]) {
      const error = await expectCode("DATA_CORRUPT", () => again.get(seqNum(seq)));
      expect([error.data["seq"], error.message.includes(`block ${seq} `)]).toEqual([seq, true]);
    }
    expect(await again.get(seqNum(4))).toEqual(block(4));
    await again.close();
    const confused = await openBlockStore({ directory, codec: { ...jsonCodec, decodeBlock: () => block(2) } });
    await expectCode("DATA_CORRUPT", () => confused.get(seqNum(4)));
    await confused.close();
    const broken = await openBlockStore({ directory, codec: { ...jsonCodec, decodeBlock: () => { throw new RangeError("no block"); } } });
    await expectCode("DATA_CORRUPT", () => broken.get(seqNum(4)));
    await broken.close();
  });
});
