import {
  fromHex, NarsesError, NULL_DIGEST, replicaId, seqNum, view,
  type Block, type Digest, type Input, type PeerMessage, type SeqNum, type StateMachine, type View,
} from "@narses/core";
import { hasher, merkleVerify } from "@narses/crypto";
import { blockHash, resultLeaf } from "@narses/wire";
import { describe, expect, test } from "vitest";
import { ClientConnections } from "../src/client-connections.ts";
import { newCounters, type Counters } from "../src/counters.ts";
import { createDecisions } from "../src/decisions.ts";
import { createExecution, type Execution } from "../src/execution.ts";
import { createExecutor, type Executor } from "../src/executor.ts";
import { genesisHeader } from "../src/genesis.ts";
import { BLOCKS_UNSYNCED_BYTES_MAX, DECISION_BYTES_MAX, TURN_OPERATIONS_MAX } from "../src/limits.ts";
import { newMeasures } from "../src/operations/distribution.ts";
import { PendingBundles } from "../src/pending.ts";
import { createReplies, type Replies } from "../src/replies.ts";
import { createSigner } from "../src/signer.ts";
import { apply, clientKey, testCluster } from "./support/cluster.ts";
import { FakeBlocks, FakeConnection, FakeState, recordingLogger } from "./support/fakes.ts";
import { replyTo } from "./support/kept.ts";

const tools = testCluster(4);
const app: StateMachine = {
  apply(op, { store }) {
    const total = ((store.get("total") as number | undefined) ?? 0) + (op as number);
    store.put("total", total);
    return total;
  },
};

/** A promise the test settles. */
function gate(): { readonly promise: Promise<void>; open(): void; fail(error: Error): void } {
  let open = (): void => undefined;
  let fail: (error: Error) => void = () => undefined;
  const promise = new Promise<void>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { promise, open: () => open(), fail: (error) => fail(error) };
}

/** Lets everything that is settled run to where it waits. */
const drain = async (): Promise<void> => {
  for (let i = 0; i < 50; i++) await Promise.resolve();
};

interface Rig {
  readonly executor: Executor;
  readonly execution: Execution;
  readonly state: FakeState;
  readonly blocks: FakeBlocks;
  readonly inputs: Input[];
  readonly errors: unknown[];
  readonly counters: Counters;
  readonly connections: ClientConnections;
  wakes: number;
  push(seq: number, add?: number, options?: { readonly checkpoint?: boolean; readonly operations?: number; readonly name?: string }): void;
}

function setUp(state = new FakeState(), blocks = new FakeBlocks()): Rig {
  const logger = recordingLogger();
  const counters = newCounters();
  const { codec, cluster, signingKeys } = tools;
  const header = genesisHeader(new FakeState().root());
  if (blocks.head === undefined) blocks.put({ header, batch: undefined, results: [], certificate: undefined });
  const start = blocks.all[state.durableSeq] as Block;
  const executor = createExecutor({ state, app, hasher, logger, parameters: cluster.parameters, head: { header: start.header, hash: blockHash(hasher, start.header) } });
  const connections = new ClientConnections();
  const signer = createSigner({ codec, key: signingKeys[0] as (typeof signingKeys)[number], counters, verifier: { remember: () => undefined } });
  const replies = createReplies({ self: replicaId(0), epoch: cluster.epoch, signer, codec, hasher, blocks, connections, view: (): View => view(7), stopped: () => false, counters, logger });
  const inputs: Input[] = [];
  const errors: unknown[] = [];
  const rig: Rig = {
    executor,
    execution: createExecution({
      executor, state, blocks, hasher, replies, counters, measures: newMeasures(() => 0), logger, probe: undefined, pending: new PendingBundles(cluster.parameters, () => 0), admission: { doneNow: () => () => false },
      input: (input) => inputs.push(input), wake: () => void rig.wakes++, fatal: (error) => errors.push(error),
    }),
    state, blocks, inputs, errors, counters, connections, wakes: 0,
    push(seq, add = 1, { checkpoint = false, operations = 1, name = `client ${seq}` } = {}) {
      const batch = tools.batch([tools.bundle(Array.from({ length: operations }, () => apply(add)), { key: clientKey(name) })], seq);
      rig.execution.push({ type: "execute", seq: seqNum(seq), batch, certificate: tools.committed(seq, batch.digest), checkpoint });
    },
  };
  return rig;
}

const executed = (inputs: readonly Input[]): number[] => inputs.flatMap((input) => (input.type === "executed" ? [input.seq] : []));

describe("execution", () => {
  test("slots run in order, each becomes a block and a fact for the engine; a turn takes a bounded share", () => {
    const rig = setUp();
    const per = 256;
    const slots = Math.ceil(TURN_OPERATIONS_MAX / per) + 3;
    for (let seq = 1; seq <= slots; seq++) rig.push(seq, 1, { operations: per });
    rig.execution.run();
    expect(rig.execution.ready).toBe(true);
    expect(executed(rig.inputs).length).toBeLessThan(slots);
    rig.execution.run();
    expect(executed(rig.inputs)).toEqual(Array.from({ length: slots }, (_, i) => i + 1));
    expect(rig.blocks.head).toBe(slots);
    expect(rig.counters).toMatchObject({ slotsExecuted: slots, operationsExecuted: slots * per });
  });

  test("at a checkpoint: the state as of that slot is frozen at once, and later slots run while its blocks, and then the state, are written", async () => {
    const rig = setUp();
    const [synced, written] = [gate(), gate()];
    const order: string[] = [];
    rig.blocks.sync = () => synced.promise.then(() => void order.push("blocks durable"));
    const original = rig.state.checkpoint.bind(rig.state);
    rig.state.checkpoint = async (seq, after): Promise<Digest> => {
      order.push(`freeze ${seq} total ${String(rig.state.entries.get("a/total")?.[0])}`);
      const root = await original(seq, Promise.all([after, written.promise]).then(() => undefined));
      order.push(`state ${rig.state.durableSeq} durable`);
      return root;
    };
    rig.push(1);
    rig.push(2, 1, { checkpoint: true });
    rig.push(3);
    rig.execution.run();
    expect(executed(rig.inputs)).toEqual([1, 2, 3]);
    written.open();
    await drain();
    expect(order).toEqual(["freeze 2 total 2"]);
    expect(rig.inputs.some(({ type }) => type === "checkpointed")).toBe(false);
    synced.open();
    await rig.execution.idle();
    expect(order).toEqual(["freeze 2 total 2", "blocks durable", "state 2 durable"]);
    expect(rig.inputs.at(-1)).toEqual({ type: "checkpointed", seq: 2, root: blockHash(hasher, (rig.blocks.all[2] as Block).header) });
  });

  test("two checkpoints are never written at once: the second waits, and execution with it", async () => {
    const rig = setUp();
    const slow = gate();
    const begun: number[] = [];
    rig.state.checkpoint = async (seq): Promise<Digest> => (begun.push(seq), await slow.promise, NULL_DIGEST);
    rig.push(1, 1, { checkpoint: true });
    rig.push(2, 1, { checkpoint: true });
    rig.push(3);
    rig.execution.run();
    await drain();
    rig.execution.run();
    await drain();
    rig.execution.run();
    expect([begun, executed(rig.inputs)]).toEqual([[1], [1, 2]]);
    slow.open();
    await drain();
    rig.execution.run();
    expect([begun, executed(rig.inputs)]).toEqual([[1, 2], [1, 2, 3]]);
  });

  test("a failed checkpoint, or a failed sync of blocks, is fatal", async () => {
    const rig = setUp();
    rig.state.checkpoint = () => Promise.reject(new NarsesError("DISK_FAILED", "EIO"));
    rig.blocks.sync = () => Promise.reject(new NarsesError("DISK_FAILED", "EIO")); // a rejection left unhandled would fail this run
    rig.push(1, 1, { checkpoint: true });
    rig.execution.run();
    await rig.execution.idle();
    expect(rig.errors).toEqual([expect.objectContaining({ code: "DISK_FAILED" })]);
    const other = setUp();
    other.blocks.sync = () => Promise.reject(new NarsesError("DISK_FAILED", "EIO"));
    other.push(1, 1, { checkpoint: true });
    other.execution.run();
    await other.execution.idle();
    expect(other.errors).toEqual([expect.objectContaining({ code: "DISK_FAILED" })]);
    expect(other.state.checkpoints).toEqual([]);
  });

  test("blocks that wait for the disk are bounded: execution waits for it", async () => {
    const rig = setUp();
    const slots = Math.ceil(BLOCKS_UNSYNCED_BYTES_MAX / (200 << 10)) + 2;
    const operation = { kind: "apply" as const, payload: new Uint8Array(200 << 10) };
    const batch = tools.batch([tools.bundle([operation])]);
    for (let seq = 1; seq <= slots; seq++) rig.execution.push({ type: "execute", seq: seqNum(seq), batch, certificate: tools.committed(seq, batch.digest), checkpoint: false });
    while (rig.execution.ready) rig.execution.run();
    expect(executed(rig.inputs).length).toBeLessThan(slots);
    await drain();
    expect(rig.blocks.syncs).toBe(1);
    while (rig.execution.ready) rig.execution.run();
    expect(executed(rig.inputs)).toHaveLength(slots);
  });

  test("after a restart, slots whose blocks are stored run again to the same blocks; then new ones are put", async () => {
    const before = setUp();
    for (let seq = 1; seq <= 3; seq++) before.push(seq);
    before.execution.run();
    const after = setUp(before.state.restarted(), new FakeBlocks(before.blocks.all));
    for (let seq = 1; seq <= 4; seq++) after.push(seq);
    for (let i = 0; i < 10 && executed(after.inputs).length < 4; i++) {
      after.execution.run();
      await drain();
    }
    expect(executed(after.inputs)).toEqual([1, 2, 3, 4]);
    expect(after.blocks.all.slice(0, 4)).toEqual(before.blocks.all);
    expect(after.errors).toEqual([]);
  });

  test("… and another block is fatal, before the engine hears of it", async () => {
    const before = setUp();
    for (let seq = 1; seq <= 2; seq++) before.push(seq);
    before.execution.run();
    const after = setUp(before.state.restarted(), new FakeBlocks(before.blocks.all));
    after.push(1, 5);
    after.execution.run();
    await drain();
    expect(executed(after.inputs)).toEqual([]);
    expect(after.errors).toEqual([expect.objectContaining({ name: "InvariantViolation" })]);
  });

  test("it is idle when a slot that is run again has made its checkpoint: a state that takes the place of this one waits for it", async () => {
    const before = setUp();
    before.push(1);
    before.execution.run();
    const after = setUp(before.state.restarted(), new FakeBlocks(before.blocks.all));
    const [synced, written] = [gate(), gate()];
    after.blocks.sync = () => synced.promise;
    const original = after.state.checkpoint.bind(after.state);
    after.state.checkpoint = async (seq): Promise<Digest> => (await written.promise, original(seq));
    after.push(1, 1, { checkpoint: true });
    after.execution.run(); // waits for the stored block
    after.execution.halt({ code: "UNAVAILABLE", reason: "it fetches a state" });
    let idle = false;
    const done = after.execution.idle().then(() => void (idle = true));
    await drain();
    expect([executed(after.inputs), idle]).toEqual([[1], false]);
    synced.open();
    await drain();
    expect(idle).toBe(false);
    written.open();
    await done;
    expect(after.state.durableSeq).toBe(1);
  });

  test("once halted nothing runs", () => {
    const rig = setUp();
    rig.push(1);
    rig.execution.halt({ code: "DIVERGED", reason: "differs" });
    rig.push(2);
    rig.execution.run();
    expect([rig.inputs, rig.execution.halted, rig.execution.ready]).toEqual([[], { code: "DIVERGED", reason: "differs" }, false]);
  });
});

describe("replies", () => {
  /** Replies beside those of the rig. */
  function repliesOf(rig: Rig, over: Partial<Parameters<typeof createReplies>[0]> = {}): { readonly replies: Replies; readonly counters: Counters } {
    const { codec, cluster, signingKeys } = tools;
    const counters = newCounters();
    const signer = createSigner({ codec, key: signingKeys[0] as (typeof signingKeys)[number], counters, verifier: { remember: () => undefined } });
    const { blocks, connections } = rig;
    const logger = recordingLogger();
    return { counters, replies: createReplies({ self: replicaId(0), epoch: cluster.epoch, signer, codec, hasher, blocks, connections, view: () => view(7), stopped: () => false, counters, logger, ...over }) };
  }

  const decode = (frame: Uint8Array): Extract<ReturnType<typeof tools.codec.decodeToClient>, { ok: true }>["value"] => {
    const decoded = tools.codec.decodeToClient(frame);
    if (!decoded.ok) throw new TypeError(decoded.rejection.detail);
    return decoded.value;
  };

  test("one signature per block however many clients wait; every path leads to the result root; nobody waiting, nothing signed", () => {
    const rig = setUp();
    const bundles = Array.from({ length: 7 }, (_, i) => tools.bundle([apply(i), apply(1)], { key: clientKey(`c${i}`) }));
    const connections = bundles.map(({ client }, i) => {
      const connection = new FakeConnection(`c${i}`);
      if (i !== 6) rig.connections.attach(connection, client, true);
      return connection;
    });
    const batch = tools.batch(bundles);
    rig.execution.push({ type: "execute", seq: seqNum(1), batch, certificate: tools.committed(1, batch.digest), checkpoint: false });
    rig.push(2);
    rig.execution.run();
    expect(rig.counters).toMatchObject({ signaturesMade: 1, repliesSent: 6 });
    connections.forEach(({ frames }, i) => {
      const message = frames[0] === undefined ? undefined : decode(frames[0]);
      if (message?.type !== "reply") return expect(i).toBe(6);
      const { reply } = message;
      const own = bundles[i] as (typeof bundles)[number];
      expect(reply).toMatchObject({ client: own.client, bundleDigest: own.digest, view: 7, leafIndex: i, leafCount: 7, outcome: { body: { seq: 1, sender: 0, block: blockHash(hasher, reply.header) } } });
      expect(merkleVerify(resultLeaf(hasher, own.digest, reply.results), i, 7, reply.path, fromHex(reply.header.resultRoot))).toBe(true);
    });
  });

  test("a stored reply is the same as the live one, byte for byte but for the hint of the view", async () => {
    const rig = setUp();
    const bundles = Array.from({ length: 5 }, (_, i) => tools.bundle([apply(i)], { key: clientKey(`c${i}`) }));
    const own = bundles[3] as (typeof bundles)[number];
    const live = new FakeConnection();
    rig.connections.attach(live, own.client, true);
    const batch = tools.batch(bundles);
    rig.execution.push({ type: "execute", seq: seqNum(1), batch, certificate: tools.committed(1, batch.digest), checkpoint: false });
    rig.execution.run();
    const record = replyTo(rig, own);
    expect(record).toMatchObject({ seq: 1, leafIndex: 3, bundleDigest: own.digest });
    let stopped = false;
    const { replies, counters } = repliesOf(rig, { stopped: () => stopped });
    const late = new FakeConnection();
    replies.resend(late, own, record);
    await drain();
    expect(late.frames).toEqual(live.frames);
    stopped = true;
    replies.resend(late, own, record);
    await drain();
    expect(late.frames).toHaveLength(1);
    expect(counters.repliesResent).toBe(1);
  });

  test("a reply made lately is sent again as it is, without a look at the block store, until the view changes", async () => {
    const rig = setUp();
    const own = tools.bundle([apply(1)], { key: clientKey("again") });
    const live = new FakeConnection();
    rig.connections.attach(live, own.client, true);
    const batch = tools.batch([own]);
    let reads = 0;
    let now = view(3);
    const { replies } = repliesOf(rig, { blocks: { get: (seq: SeqNum) => (reads++, rig.blocks.get(seq)) }, view: () => now });
    const slot = rig.executor.execute(seqNum(1), batch, tools.committed(1, batch.digest));
    rig.blocks.put(slot.block);
    replies.executed(slot);
    const record = replyTo(rig, own);
    replies.resend(live, own, record);
    expect(live.frames[1]).toEqual(live.frames[0]);
    expect(reads).toBe(0);
    now = view(4);
    replies.resend(live, own, record);
    await drain();
    expect(reads).toBe(1);
    expect(decode(live.frames[2] ?? new Uint8Array(0))).toMatchObject({ type: "reply", reply: { view: 4 } });
  });

  test("but not one that refused the bundle in an earlier slot: it was executed since, with nobody there to tell", async () => {
    const rig = setUp();
    const key = clientKey("fifo");
    const first = tools.bundle([apply(1)], { key });
    const second = tools.bundle([apply(2)], { key, ridFirst: 2, fifo: true });
    const live = new FakeConnection();
    rig.connections.attach(live, second.client, true);
    const { replies } = repliesOf(rig);
    [second, first, second].forEach((bundle, i) => {
      const batch = tools.batch([bundle]);
      const slot = rig.executor.execute(seqNum(i + 1), batch, tools.committed(i + 1, batch.digest));
      rig.blocks.put(slot.block);
      replies.executed(slot);
      rig.connections.forget(live); // gone after the first
    });
    const back = new FakeConnection();
    replies.resend(back, second, replyTo(rig, second));
    await drain();
    expect(decode(back.frames[0] ?? new Uint8Array(0))).toMatchObject({ type: "reply", reply: { header: { seq: 3 } } });
  });
});

describe("decided slots for a peer that is behind", () => {
  const blockOf = (seq: number, bytes: number): Block => {
    const batch = tools.batch([tools.bundle([{ kind: "apply", payload: new Uint8Array(bytes) }])], seq);
    return { header: { ...genesisHeader(NULL_DIGEST), seq: seqNum(seq) }, batch, results: [], certificate: tools.committed(seq, batch.digest) };
  };

  function rig(blocks: FakeBlocks): { run(first: number, last: number): Promise<number[]>; accept: (seq: SeqNum) => boolean; stopped: boolean } {
    const made = {
      accept: (_seq: SeqNum): boolean => true,
      stopped: false,
      async run(first: number, last: number): Promise<number[]> {
        const sent: number[] = [];
        const send = (_to: unknown, message: PeerMessage): boolean => {
          if (message.type !== "decision" || !made.accept(message.certificate.seq)) return false;
          sent.push(message.certificate.seq);
          return true;
        };
        const decisions = createDecisions({ blocks, send, stopped: () => made.stopped, logger: recordingLogger() });
        decisions.send(replicaId(3), seqNum(first), seqNum(last));
        decisions.send(replicaId(3), seqNum(first), seqNum(last)); // one run at a time
        await decisions.idle();
        return sent;
      },
    };
    return made;
  }

  test("are sent in order, null batches too; a run ends at its bound, at a full queue, at the end of the store", async () => {
    const small = Array.from({ length: 6 }, (_, seq) => blockOf(seq, 10));
    const nothing: Block = { ...(small[3] as Block), batch: undefined, certificate: tools.committed(3, NULL_DIGEST) };
    const blocks = new FakeBlocks(small.map((block, seq) => (seq === 3 ? nothing : block)));
    const r = rig(blocks);
    expect(await r.run(1, 4)).toEqual([1, 2, 3, 4]);
    expect(await r.run(4, 100)).toEqual([4, 5]);
    r.accept = (seq) => seq < 3;
    expect(await r.run(1, 5)).toEqual([1, 2]);
    r.stopped = true;
    expect(await r.run(1, 5)).toEqual([]);
    const bytes = 200 << 10;
    const large = new FakeBlocks(Array.from({ length: 40 }, (_, seq) => blockOf(seq, bytes)));
    const sent = await rig(large).run(1, 39);
    expect(sent.length).toBeLessThanOrEqual(DECISION_BYTES_MAX / bytes + 1);
    expect(sent.length).toBeGreaterThan(10);
  });
});
