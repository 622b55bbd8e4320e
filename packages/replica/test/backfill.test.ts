/** Blocks from before a state that was taken over, fetched afterwards: from liars and stallers, across a crash, and at a bounded pace. */
import { digest, replicaId, seqNum, type Block, type Digest, type StateMessage } from "@narses/core";
import { hasher } from "@narses/crypto";
import { memoryBlockStore } from "@narses/storage";
import { blockHash, TAG } from "@narses/wire";
import { afterEach, describe, expect, test } from "vitest";
import { newCounters } from "../src/counters.ts";
import { genesisHeader } from "../src/genesis.ts";
import { BACKFILL_BLOCKS_PER_TICK, BACKFILL_REST_TICKS_MAX, BACKFILL_TIMEOUT_TICKS, BACKFILL_WINDOW } from "../src/limits.ts";
import { createBackfill, type Backfill } from "../src/transfer/backfill.ts";
import { createBlockCheck } from "../src/transfer/block-check.ts";
import { apply, testCluster } from "./support/cluster.ts";
import { InProcess, until } from "./support/cluster-in-process.ts";
import { recordingLogger } from "./support/fakes.ts";

let running: InProcess | undefined;
afterEach(async () => {
  await running?.stop();
  running = undefined;
});

/** Three replicas with so many slots, and a fourth one whose frames of blocks `tamper` may change. */
async function cluster(slots: number): Promise<InProcess> {
  const c = (running = new InProcess(testCluster(4, { parameters: { checkpointInterval: 4, logWindow: 8, pipelineDepth: 2 } })));
  for (const id of [0, 1, 2]) await c.start(id);
  const client = await c.client();
  for (let i = 0; i < slots; i++) await client.submit([apply({ add: 1 })]);
  return c;
}
const status = (c: InProcess, id: number) => c.member(id).core.status();
const isBlock = (frame: Uint8Array): boolean => frame[1] === TAG.BLOCK_PART;

async function expectSameBlocks(c: InProcess, id: number, last: number): Promise<void> {
  const { codec } = c.tools;
  for (let seq = 0; seq <= last; seq++) {
    const [own, other] = await Promise.all([id, 0].map((of) => c.member(of).stores.blocks.get(seqNum(seq))));
    expect(own && blockHash(hasher, own.header)).toBe(other && blockHash(hasher, other.header));
    expect(own && codec.decodeBlock(codec.encodeBlock(own)).results).toEqual(other?.results);
  }
}

describe("a replica that took over a state", () => {
  test("fetches the blocks before it, whoever lies or is silent, and serves them", async () => {
    const c = await cluster(20);
    c.tamper = (from, to, frame) => {
      if (to !== 3 || !isBlock(frame) || from === 2) return frame;
      if (from === 1) return undefined;
      const wrong = frame.slice();
      wrong[60] = (wrong[60] ?? 0) ^ 1;
      return wrong;
    };
    await c.start(3);
    await until("replica 3 has every block", () => status(c, 3).lastTransfer !== null && status(c, 3).backfill === null);
    expect(status(c, 3)).toMatchObject({ blockGaps: [], counters: { rejected: { STATE_INVALID: expect.any(Number) as number } } });
    expect(c.member(3).logger.lines.filter(({ message }) => message.includes("sent a wrong block")).every(({ message }) => message.startsWith("replica 0 "))).toBe(true);
    await until("it follows", () => status(c, 3).head.seq === 20);
    await expectSameBlocks(c, 3, 20);
    const client = await c.client("auditor");
    expect(await client.call(3, "block", { seq: 2 })).toEqual(await client.call(0, "block", { seq: 2 }));
  });

  test("says which blocks are missing meanwhile, and goes on after a crash where it was", async () => {
    const c = await cluster(20);
    let parts = 5;
    c.tamper = (_from, to, frame) => (to === 3 && isBlock(frame) && parts-- <= 0 ? undefined : frame);
    await c.start(3);
    await until("some blocks are here", () => (status(c, 3).backfill?.blocksLeft ?? 99) < (status(c, 3).lastTransfer?.seq ?? 0));
    const client = await c.client("auditor");
    await expect(client.call(3, "block", { seq: 1 })).rejects.toMatchObject({ code: "BLOCKS_MISSING", message: expect.stringMatching(/lacks blocks 1 to \d+.*in the background.*Ask another replica, or later/) as string });
    const { blockGaps } = status(c, 3);
    const stores = await c.crash(3, "power-cut");
    c.tamper = undefined;
    await c.start(3, { stores, mustExist: true });
    expect(status(c, 3).blockGaps[0]?.last).toBeLessThanOrEqual(blockGaps[0]?.last ?? 0);
    await until("replica 3 has every block", () => status(c, 3).backfill === null);
    // With the gap gone, the next start must not take the blocks for those of before the transfer.
    const again = await c.crash(3, "power-cut");
    await c.start(3, { stores: again, mustExist: true });
    expect(status(c, 3)).toMatchObject({ blockGaps: [], backfill: null });
    await until("it follows", () => status(c, 3).head.seq === 20);
    await expectSameBlocks(c, 3, 20);
  });
});

/** A gap of so many blocks over genesis; the content of a block is not judged here. */
async function rig(length: number) {
  const store = memoryBlockStore();
  const chain: Block[] = [{ header: genesisHeader(digest("00".repeat(32))), batch: undefined, results: [], certificate: undefined }];
  for (let seq = 1; seq <= length; seq++) chain.push({ ...(chain[0] as Block), header: { ...genesisHeader(digest("00".repeat(32))), seq: seqNum(seq), parent: hashOf(chain[seq - 1]) } });
  store.put(chain[0] as Block);
  await store.skip(seqNum(0), seqNum(length));
  const sent: { readonly to: number; readonly seq: number }[] = [];
  const counters = newCounters();
  let paused = false;
  const { cluster: config } = testCluster(4);
  const backfill: Backfill = createBackfill({
    self: replicaId(3), cluster: config, blocks: store, hasher, counters, logger: recordingLogger(), settled: { seq: async () => seqNum(length) }, paused: () => paused, stopped: () => false,
    state: { anchor: { header: (chain[length] as Block).header, blocksKept: seqNum(0) } },
    check: (bytes, hash) => (hashOf(chain[bytes[0] ?? 0]) === hash ? (chain[bytes[0] ?? 0] as Block) : "another"),
    send: (to, message) => (message.type === "fetch-block" && sent.push({ to, seq: message.seq }), true),
    fatal: (error) => expect.unreachable(String(error)),
  });
  for (const id of [0, 1, 2]) backfill.peer(replicaId(id), true);
  const tick = async (): Promise<void> => {
    backfill.tick();
    await backfill.idle();
    await Promise.resolve();
  };
  const part = (seq: number, bytes = Uint8Array.of(seq)): Extract<StateMessage, { type: "block-part" }> => ({ type: "block-part", seq: seqNum(seq), size: bytes.length, offset: 0, bytes });
  return { store, backfill, sent, counters, tick, part, pause: (on: boolean) => void (paused = on) };
}
const hashOf = (block: Block | undefined): Digest => blockHash(hasher, (block as Block).header);

describe("its pace", () => {
  test("a window at a time, so many blocks a tick, and nothing while state is transferred", async () => {
    const { store, backfill, sent, counters, tick, part, pause } = await rig(100);
    pause(true);
    for (let i = 0; i < 5; i++) await tick();
    expect(sent).toEqual([]);
    pause(false);
    for (let i = 0; i < 5; i++) await tick();
    expect(sent.map(({ seq }) => seq)).toEqual(Array.from({ length: BACKFILL_WINDOW }, (_, i) => 100 - i));
    expect(new Set(sent.map(({ to }) => to))).toEqual(new Set([0, 1, 2]));
    for (const { to, seq } of [...sent]) backfill.message(replicaId(to), part(seq));
    await tick();
    expect(store.gaps).toEqual([{ first: 1, last: 100 - BACKFILL_BLOCKS_PER_TICK }]);
    expect(counters.blocksFilled).toBe(BACKFILL_BLOCKS_PER_TICK);
  });

  test("who does not have it, does not answer or sends another is left alone, longer each time; nothing unasked is taken", async () => {
    const { store, backfill, sent, counters, tick, part } = await rig(1);
    backfill.message(replicaId(0), part(1));
    expect(counters.rejected).toEqual({ UNSOLICITED: 1 });
    const askedAt: number[][] = [[], [], []];
    for (let i = 1; i <= 4 * BACKFILL_REST_TICKS_MAX; i++) {
      await tick();
      const asked = sent.pop();
      if (asked === undefined) continue;
      askedAt[asked.to]?.push(i);
      if (asked.to === 0) backfill.message(replicaId(0), { ...part(1), size: 0, bytes: new Uint8Array(0) });
      if (asked.to === 1) backfill.message(replicaId(1), part(1, Uint8Array.of(0)));
    }
    expect(store.gaps).toHaveLength(1);
    expect(counters.rejected.STATE_INVALID).toBe(askedAt[1]?.length);
    for (const times of askedAt) {
      const pauses = times.slice(1).map((at, i) => at - (times[i] ?? 0));
      expect(pauses.length).toBeGreaterThan(4);
      expect(pauses.at(-1)).toBeGreaterThanOrEqual(BACKFILL_REST_TICKS_MAX);
      expect(pauses.at(-1)).toBeLessThan(BACKFILL_REST_TICKS_MAX + 2 * BACKFILL_TIMEOUT_TICKS);
    }
  });
});

describe("the check of a block", () => {
  test("takes the block of that hash and no other: header, bundles, results, certificate and its signatures", async () => {
    const c = await cluster(3);
    const { codec, cluster: config } = c.tools;
    const block = await c.member(0).stores.blocks.get(seqNum(2));
    if (block?.certificate === undefined || block.batch === undefined) throw new TypeError("no block");
    const { certificate } = block;
    const first = certificate.commits[0];
    if (first === undefined) throw new TypeError("no commit");
    const refused: unknown[] = [];
    const check = createBlockCheck({ codec, hasher, cluster: config, signatures: (judged) => void refused.push(judged) });
    const hash = hashOf(block);
    expect(check(codec.encodeBlock(block), hash)).toMatchObject({ header: block.header });
    expect(refused).toHaveLength(1);
    const wrong: readonly (readonly [Block, RegExp])[] = [
      [{ ...block, header: { ...block.header, timestampMs: block.header.timestampMs + 1 } }, /does not have hash/],
      [{ ...block, results: [] }, /one result for each operation/],
      [{ ...block, results: [[]] }, /one result for each operation/],
      [{ ...block, results: block.results.map((of) => of.map((result) => result.map((byte) => byte ^ 1))) }, /results are not those/],
      [{ ...block, certificate: undefined }, /no commit certificate/],
      [{ ...block, certificate: { ...certificate, seq: seqNum(1) } }, /of another batch/],
      [{ ...block, certificate: { ...certificate, commits: certificate.commits.map(() => first) } }, /1 replicas committed it, 3 are needed/],
    ];
    for (const [altered, problem] of wrong) expect(check(codec.encodeBlock(altered), hash)).toMatch(problem);
    expect(check(Uint8Array.of(1), hash)).toMatch(/these bytes are no block/);
  });
});
