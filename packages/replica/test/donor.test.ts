/** The giving side of state transfer: whatever is asked for, at a bounded cost. */
import { NarsesError, NULL_DIGEST, replicaId, seqNum, STATE_CHUNK_BYTES_MAX, view, type Block, type StateMessage, type StatePart } from "@narses/core";
import { hasher } from "@narses/crypto";
import { memoryStateStore, type AuthenticatedState, type MemoryState } from "@narses/storage";
import { describe, expect, test } from "vitest";
import { newCounters } from "../src/counters.ts";
import { genesisHeader } from "../src/genesis.ts";
import { DONOR_BURST_BYTES, DONOR_REQUESTS_MAX } from "../src/limits.ts";
import { createDonor, type Donor } from "../src/transfer/donor.ts";
import { FakeBlocks, recordingLogger } from "./support/fakes.ts";

const peer = replicaId(2);

interface Rig {
  readonly donor: Donor;
  readonly state: MemoryState;
  readonly sent: StateMessage[];
  readonly all: Block[];
  readonly counters: ReturnType<typeof newCounters>;
  quarantined: boolean;
  askBlock(seq: number, offset?: number): Promise<StateMessage | undefined>;
  ask(part: StatePart, seq?: number): Promise<StateMessage | undefined>;
}

async function setUp(change: Partial<Pick<AuthenticatedState, "checkpoints" | "anchor">> = {}): Promise<Rig> {
  const state = await memoryStateStore({ hasher, bucketBits: 5 });
  for (let i = 0; i < 40; i++) state.put(`key ${i}`, new Uint8Array(10).fill(i));
  state.put("large", new Uint8Array(1 << 20));
  await state.checkpoint(seqNum(0));
  const blocks = new FakeBlocks([{ header: { ...genesisHeader(state.root()), seq: seqNum(1) }, batch: undefined, results: [], certificate: undefined }]);
  blocks.all[1] = { header: { ...genesisHeader(state.root()), seq: seqNum(1) }, batch: undefined, results: [], certificate: undefined };
  await state.checkpoint(seqNum(1));
  const sent: StateMessage[] = [];
  const counters = newCounters();
  const donor = createDonor({
    state: { checkpoints: change.checkpoints ?? state.checkpoints, anchor: change.anchor }, blocks, codec: { encodeBlock: () => encoded }, counters, logger: recordingLogger(), quarantined: () => rig.quarantined,
    send: (to, message) => (expect(to).toBe(peer), sent.push(message), true), stopped: () => false,
  });
  const rig: Rig = {
    donor, state, sent, counters, all: blocks.all, quarantined: false,
    async askBlock(seq, offset = 0) {
      donor.request(peer, { type: "fetch-block", seq: seqNum(seq), offset });
      await donor.idle();
      return sent.at(-1);
    },
    async ask(part, seq = 1) {
      donor.request(peer, { type: "fetch-state", seq: seqNum(seq), part });
      await donor.idle();
      return sent.at(-1);
    },
  };
  return rig;
}

const encoded = new Uint8Array(STATE_CHUNK_BYTES_MAX + 5).fill(7);

/** Keys outside the namespaces of sessions and replies: the first half of the buckets. */
const bucketOf = (rig: Rig, key: string): number => (hasher.sha256(new TextEncoder().encode(key))[0] ?? 0) >>> (9 - rig.state.bucketBits);

describe("a donor", () => {
  test("gives header, nodes and pages of a checkpoint it keeps", async () => {
    const rig = await setUp();
    expect(await rig.ask({ kind: "header" })).toMatchObject({ type: "state-header", header: { seq: 1, stateRoot: rig.state.root() }, bits: 5 });
    const nodes = await rig.ask({ kind: "nodes", level: 1, indexes: [0, 1] });
    expect(nodes).toMatchObject({ type: "state-nodes", seq: 1, level: 1, nodes: [{ index: 0 }, { index: 1 }] });
    expect(nodes?.type === "state-nodes" && nodes.nodes.map(({ children }) => children.length)).toEqual([512, 512]);
    const bucket = bucketOf(rig, "key 1");
    if (bucket === bucketOf(rig, "large")) throw new TypeError("choose another key");
    const pages = await rig.ask({ kind: "pages", indexes: [bucket], offset: 0 });
    expect(pages).toMatchObject({ type: "state-pages", pages: [{ bucket, offset: 0 }] });
    expect(pages?.type === "state-pages" && pages.pages[0]?.bytes).toEqual(await rig.state.checkpoints[1]?.page(bucket));
  });

  test("gives a large page in parts, never more than a chunk, and stops a list before one", async () => {
    const rig = await setUp();
    const bucket = bucketOf(rig, "large");
    const whole = (await rig.state.checkpoints[1]?.page(bucket)) ?? new Uint8Array();
    expect(whole.length).toBeGreaterThan(STATE_CHUNK_BYTES_MAX);
    const first = await rig.ask({ kind: "pages", indexes: [bucket], offset: 0 });
    const rest = await rig.ask({ kind: "pages", indexes: [bucket], offset: STATE_CHUNK_BYTES_MAX });
    const parts = [first, rest].map((m) => (m?.type === "state-pages" ? m.pages[0] : undefined));
    expect(parts.map((part) => [part?.size, part?.offset, part?.bytes.length])).toEqual([
      [whole.length, 0, STATE_CHUNK_BYTES_MAX], [whole.length, STATE_CHUNK_BYTES_MAX, whole.length - STATE_CHUNK_BYTES_MAX],
    ]);
    expect(Buffer.concat(parts.map((part) => part?.bytes ?? new Uint8Array())).equals(whole)).toBe(true);
    const all = await rig.ask({ kind: "pages", indexes: Array.from({ length: 32 }, (_, i) => i), offset: 0 });
    expect(all?.type === "state-pages" && all.pages.map((page) => page.bucket)).toEqual(bucket === 0 ? [0] : Array.from({ length: bucket }, (_, i) => i));
  });

  test.each<[string, StatePart, number]>([
    ["another checkpoint", { kind: "header" }, 2],
    ["a level there is not", { kind: "nodes", level: 5, indexes: [0] }, 1],
    ["a node there is not", { kind: "nodes", level: 1, indexes: [0, 2] }, 1],
    ["a page there is not", { kind: "pages", indexes: [32], offset: 0 }, 1],
    ["an offset beyond a page", { kind: "pages", indexes: [0], offset: 9_000_000 }, 1],
  ])("asked for %s says that it has none", async (_what, part, seq) => {
    expect(await (await setUp()).ask(part, seq)).toEqual({ type: "state-gone", seq, oldest: 0 });
  });

  test("gives a block in parts, and says of what it has not, cannot show or would not fit that it is not here", async () => {
    const rig = await setUp();
    const bare: Block = { header: { ...genesisHeader(rig.state.root()), seq: seqNum(1) }, batch: undefined, results: [], certificate: undefined };
    rig.all[1] = { ...bare, certificate: { view: view(0), seq: seqNum(1), digest: NULL_DIGEST, commits: [] } };
    expect(await rig.askBlock(1)).toMatchObject({ type: "block-part", seq: 1, size: encoded.length, offset: 0, bytes: { length: STATE_CHUNK_BYTES_MAX } });
    expect(await rig.askBlock(1, STATE_CHUNK_BYTES_MAX)).toMatchObject({ type: "block-part", size: encoded.length, offset: STATE_CHUNK_BYTES_MAX, bytes: { length: 5 } });
    const none = { type: "block-part", size: 0, offset: 0, bytes: new Uint8Array(0) };
    expect(await rig.askBlock(1, encoded.length)).toEqual({ ...none, seq: 1 });
    expect(await rig.askBlock(2)).toEqual({ ...none, seq: 2 });
    rig.all[1] = bare; // without a certificate it proves nothing
    expect(await rig.askBlock(1)).toEqual({ ...none, seq: 1 });
    rig.quarantined = true;
    expect(await rig.askBlock(1)).toEqual({ ...none, seq: 1 });
  });

  test("in quarantine gives nothing", async () => {
    const rig = await setUp();
    rig.quarantined = true;
    expect(await rig.ask({ kind: "header" })).toMatchObject({ type: "state-gone" });
  });

  test("says so when the checkpoint goes while it is read, or cannot be read", async () => {
    for (const error of [new NarsesError("CLOSED", "gone"), new NarsesError("DATA_CORRUPT", "rotten")]) {
      const { state } = await setUp();
      const [, kept] = state.checkpoints;
      if (kept === undefined) throw new TypeError("no checkpoint");
      const rig = await setUp({ checkpoints: [{ seq: kept.seq, root: kept.root, nodes: kept.nodes, page: () => Promise.reject(error), prove: (key) => kept.prove(key) }] });
      expect(await rig.ask({ kind: "pages", indexes: [1], offset: 0 })).toEqual({ type: "state-gone", seq: 1, oldest: 1 });
    }
  });

  test("keeps a short queue for a peer, and a rate", async () => {
    const rig = await setUp();
    const request = { type: "fetch-state" as const, seq: seqNum(1), part: { kind: "pages" as const, indexes: [bucketOf(rig, "large")], offset: 0 } };
    for (let i = 0; i < DONOR_REQUESTS_MAX + 3; i++) rig.donor.request(peer, request);
    expect(rig.counters.rejected.RATE_LIMITED).toBe(2); // one is being served
    const chunks = Math.ceil(DONOR_BURST_BYTES / STATE_CHUNK_BYTES_MAX);
    for (let i = 0; i < 3 * chunks; i++) await rig.ask(request.part);
    for (let i = 0; i < 20; i++) await rig.donor.idle();
    const burst = rig.sent.length;
    expect(burst).toBeLessThanOrEqual(chunks + 1);
    for (let i = 0; i < 4; i++) rig.donor.tick();
    for (let i = 0; i < 20; i++) await rig.donor.idle();
    expect(rig.sent.length).toBeGreaterThan(burst);
    expect(rig.sent.length).toBeLessThanOrEqual(burst + 3);
  });
});
