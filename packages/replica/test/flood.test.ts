/** Floods, measured in frames and verified signatures, not in time: what a correct sender gets while another one does its worst. */
import { replicaId, sessionNumber, seqNum, view, type Bundle, type ClientConnection, type CommitCertificate, type Digest, type Input, type Recalled, type StateMachine } from "@narses/core";
import { hasher, verifyingKey } from "@narses/crypto";
import { blockHash } from "@narses/wire";
import { describe, expect, test } from "vitest";
import { createAdmission } from "../src/admission.ts";
import { ClientConnections } from "../src/client-connections.ts";
import { newCounters, type Counters } from "../src/counters.ts";
import { createExecutor } from "../src/executor.ts";
import { genesisHeader } from "../src/genesis.ts";
import { createInbox, type Inbox } from "../src/inbox.ts";
import { ANSWER_BURST_BYTES, ANSWER_BYTES_PER_TICK, CLIENT_OFFENCES_MAX, CLIENT_QUEUE_FRAMES_MAX, PENALTY_TICKS, TURN_FRAMES_PER_SOURCE_MAX, TURN_SIGNATURES_PER_SOURCE_MAX } from "../src/limits.ts";
import { createLogLimiter } from "../src/log.ts";
import { Incidents } from "../src/operations/incidents.ts";
import { createOutbox } from "../src/outbox.ts";
import { PendingBundles } from "../src/pending.ts";
import { createReader } from "../src/reader.ts";
import { createVerifier } from "../src/verify.ts";
import { apply, clientKey, testCluster } from "./support/cluster.ts";
import { FakeConnection, FakeState, FakeTransport, noAssembly, recordingLogger } from "./support/fakes.ts";

const tools = testCluster(4, { parameters: { pendingBundlesMax: 200, sessionsMax: 64 } });

interface Rig {
  readonly inbox: Inbox;
  readonly counters: Counters;
  readonly admitted: Bundle[];
  /** One turn: what the engine was told, by who said it. */
  turn(): { readonly inputs: readonly Input[]; readonly verified: number };
  tick(ticks?: number): void;
  /** Everything admitted is executed. */
  execute(): void;
}

function rig(): Rig {
  const { cluster, codec, replicaKeys } = tools;
  const counters = newCounters();
  const inbox = createInbox(counters);
  const state = new FakeState();
  const logger = recordingLogger();
  const header = genesisHeader(state.root());
  const app: StateMachine = { apply: (op) => op };
  const executor = createExecutor({ state, app, hasher, logger, parameters: cluster.parameters, head: { header, hash: blockHash(hasher, header) } });
  const pending = new PendingBundles(cluster.parameters, () => 0);
  const connections = new ClientConnections((connection) => inbox.penalise(connection));
  const verifier = createVerifier({ codec, hasher, counters, replicaKeys, verifyingKey, clientKeys: undefined, screen: () => undefined });
  const admission = createAdmission({ state, parameters: cluster.parameters, verifier, pending, connections, counters, executedSeq: () => executor.head.header.seq, halted: () => undefined });
  const read = createReader({
    codec, verifier, admission, assembly: noAssembly, connections, counters, incidents: new Incidents(() => 0), logger, limiter: createLogLimiter(() => 0), state: { message: () => undefined },
    control: { call: () => undefined }, replies: { resend: () => undefined, refuse: () => undefined }, penalise: (from) => inbox.penalise(from), evidence: { keep: () => undefined },
  });
  const admitted: Bundle[] = [];
  return {
    inbox, counters, admitted,
    turn() {
      const before = counters.signaturesVerified;
      const inputs: Input[] = [];
      for (const item of inbox.take()) inputs.push(...read(item));
      for (const input of inputs) if (input.type === "request") admitted.push(input.bundle);
      return { inputs, verified: counters.signaturesVerified - before };
    },
    tick(ticks = 1) {
      for (let i = 0; i < ticks; i++) inbox.input({ type: "tick", wallMs: 0 });
    },
    execute() {
      const bundles = admitted.splice(0);
      executor.execute(seqNum(executor.head.header.seq + 1), tools.batch(bundles), {} as CommitCertificate);
      pending.executed(bundles, admission.doneNow());
    },
  };
}

const digest = "ab".repeat(32) as Digest;
const votes = (sender: number, seq: number): Uint8Array =>
  tools.codec.encodePeer({ type: "votes", signed: tools.votes(sender, [{ phase: "commit", view: 0 as never, seq: seqNum(seq + 1), digest }]) });
/** Well-formed, and signed by nobody. */
function garbage(sender: number, seq: number): Uint8Array {
  const frame = votes(sender, seq).slice();
  frame[frame.length - 1] = (frame[frame.length - 1] ?? 0) ^ 1;
  return frame;
}
function forged(bundle: Bundle): Uint8Array {
  const frame = bundle.bytes.slice();
  frame[frame.length - 1] = (frame[frame.length - 1] ?? 0) ^ 1;
  return frame;
}

describe("row 50: a signature bomb from a replica", () => {
  test("costs one verification a tick; a correct replica's votes are read in the turn they came, and the penalty ends", () => {
    const { inbox, counters, turn, tick } = rig();
    for (let i = 0; i < 3_000; i++) inbox.peer(replicaId(1), garbage(1, i));
    for (let i = 1; i <= 100; i++) {
      inbox.peer(replicaId(2), votes(2, i));
      const { inputs, verified } = turn();
      expect(inputs.filter((input) => input.type === "message" && input.from === 2)).toHaveLength(1);
      expect(verified).toBeLessThanOrEqual(2);
      if (i % 10 === 0) tick();
    }
    expect(counters).toMatchObject({ penalties: 1, signaturesVerified: 100 + 1 + 9 });
    expect(inbox.empty).toBe(false); // a tick waits; the bomb alone wakes nobody
    turn();
    expect(inbox.empty).toBe(true);

    const own = rig();
    own.inbox.peer(replicaId(1), garbage(1, 1));
    own.turn();
    expect(own.inbox.penalised).toBe(1);
    own.tick(PENALTY_TICKS);
    for (let i = 0; i < 10; i++) own.inbox.peer(replicaId(1), votes(1, i));
    expect(own.turn().verified).toBe(10);
    expect(own.inbox.penalised).toBe(0);
  });

  test("two bombers cost twice as much and no more, and a relayed forgery counts for who brought it", () => {
    const { inbox, turn, tick } = rig();
    for (let i = 0; i < 200; i++) {
      inbox.peer(replicaId(1), garbage(1, i));
      inbox.peer(replicaId(3), forged(tools.bundle([apply(i)], { ridFirst: i + 1 })));
    }
    expect(turn().verified).toBe(2);
    for (let i = 0; i < 20; i++) {
      tick();
      expect(turn().verified).toBe(2);
    }
  });

  test("valid signatures have a budget too: a frame that needs many is taken off the following turns, others lose nothing", () => {
    const { inbox, turn } = rig();
    const bundles = Array.from({ length: 1_300 }, (_, i) => tools.bundle([apply(i)], { ridFirst: i + 1 }));
    const batch = tools.batch(bundles);
    inbox.peer(replicaId(0), tools.codec.encodePeer({ type: "pre-prepare", signed: tools.prePrepare(1, batch.digest), batch }));
    inbox.peer(replicaId(0), votes(0, 2));
    const seen: number[] = [];
    for (let i = 0; i < 4; i++) {
      inbox.peer(replicaId(2), votes(2, i));
      const { inputs } = turn();
      seen.push(inputs.filter((input) => input.type === "message" && input.from === 0).length);
      expect(inputs.filter((input) => input.type === "message" && input.from === 2)).toHaveLength(1);
    }
    expect(1_301).toBeGreaterThan(2 * TURN_SIGNATURES_PER_SOURCE_MAX);
    expect(seen).toEqual([1, 0, 1, 0]);
  });
});

describe("row 62: a flood of requests", () => {
  const many = (prefix: string, count: number): Bundle[] => Array.from({ length: count }, (_, i) => tools.bundle([apply(i)], { key: clientKey(`${prefix} ${i}`) }));

  test("from ever new keys over one connection: a correct client's bundle is admitted in the turn it came, and executed", () => {
    const { inbox, turn, execute, admitted } = rig();
    const [flooder, correct] = [new FakeConnection("flooder"), new FakeConnection("correct")];
    const flood = many("sybil", 1_000);
    flood.forEach(({ bytes }) => inbox.client(flooder, bytes));
    for (let i = 1; i <= 12; i++) {
      const mine = tools.bundle([apply(`mine ${i}`)], { key: clientKey("correct"), ridFirst: i, session: sessionNumber(seqNum(0), 5) });
      inbox.client(correct, mine.bytes);
      turn();
      expect(admitted.map((b) => b.digest)).toContain(mine.digest);
      if (i % 3 === 0) execute();
    }
  });

  test("when nothing is executed, the flood gets half of the table, and the correct client is still admitted", () => {
    const { inbox, turn, admitted } = rig();
    const [flooder, correct] = [new FakeConnection("flooder"), new FakeConnection("correct")];
    many("sybil", 400).forEach(({ bytes }) => inbox.client(flooder, bytes));
    for (let i = 0; i < 8; i++) turn();
    expect(admitted).toHaveLength(100);
    const mine = tools.bundle([apply(1)], { key: clientKey("late") });
    inbox.client(correct, mine.bytes);
    turn();
    expect(admitted.at(-1)?.digest).toBe(mine.digest);
  });

  test("connections take turns: with k of them flooding, one that sends a frame is served within k+1 frames", () => {
    const { inbox } = rig();
    const flooders = Array.from({ length: 20 }, (_, i) => new FakeConnection(`flooder ${i}`));
    for (let i = 0; i < 100; i++) for (const connection of flooders) inbox.client(connection, Uint8Array.of(i));
    const order = (): ClientConnection[] => [...inbox.take()].flatMap((item) => (item.type === "client" ? [item.connection] : []));
    order();
    const correct = new FakeConnection("correct");
    inbox.client(correct, Uint8Array.of(0));
    expect(order().indexOf(correct)).toBeLessThanOrEqual(20);
    expect(TURN_FRAMES_PER_SOURCE_MAX).toBeGreaterThan(21);
  });

  test("a full queue loses frames of the connection that holds most, not of the one that just came", () => {
    const { inbox, counters } = rig();
    const [flooder, correct] = [new FakeConnection("flooder"), new FakeConnection("correct")];
    for (let i = 0; i < CLIENT_QUEUE_FRAMES_MAX + 10; i++) inbox.client(flooder, Uint8Array.of(1));
    expect(counters.inboxDropped).toBe(10);
    inbox.client(correct, Uint8Array.of(2));
    expect([...inbox.take()].some((item) => item.type === "client" && item.connection === correct)).toBe(true);
  });

  test("forged bundles: a connection costs a verification a tick and a handful in all; churn costs one a connection", () => {
    const { inbox, turn, tick } = rig();
    const bomber = new FakeConnection("bomber");
    for (let i = 0; i < 100; i++) inbox.client(bomber, forged(tools.bundle([apply(i)], { ridFirst: i + 1 })));
    let verified = 0;
    for (let i = 0; i < 50; i++) {
      verified += turn().verified;
      tick();
    }
    expect(verified).toBe(CLIENT_OFFENCES_MAX);
    const fresh = Array.from({ length: 30 }, (_, i) => new FakeConnection(`fresh ${i}`));
    for (const connection of fresh) for (let i = 0; i < 5; i++) inbox.client(connection, forged(tools.bundle([apply(i)], { ridFirst: i + 1 })));
    expect(turn().verified).toBe(30);
    for (const connection of fresh) inbox.forget(connection);
    expect(inbox.penalised).toBe(1);
  });
});

describe("row 46: a peer that claims to lack everything", () => {
  test("gets a bounded number of bytes a tick, and what a correct one lacks now it gets later", () => {
    const counters = newCounters();
    const transport = new FakeTransport();
    const signer = { sign: () => { throw new TypeError("nothing new is signed"); } };
    const outbox = createOutbox({ config: { self: replicaId(0), epoch: tools.cluster.epoch, quorums: { n: 4, f: 1, strong: 3, weak: 2 }, parameters: tools.cluster.parameters }, signer, codec: tools.codec, transport, counters, logger: recordingLogger() });
    const batch = tools.batch([tools.bundle([apply("x".repeat(200_000))])]);
    const ask = (to: number): boolean => outbox.send(replicaId(to), { type: "batch", batch });
    let taken = 0;
    while (ask(1)) taken++;
    const size = batch.bytes.length;
    expect(taken).toBe(Math.ceil(ANSWER_BURST_BYTES / size));
    expect(ask(2)).toBe(true); // its own share
    expect(counters.answersDropped).toBe(1);
    for (let i = 0; i < 10; i++) outbox.tick();
    while (ask(1)) taken++;
    expect(taken * size).toBeLessThanOrEqual(ANSWER_BURST_BYTES + 10 * ANSWER_BYTES_PER_TICK + 2 * size);
    expect(outbox.send(replicaId(1), { type: "forward", bundle: batch.bundles[0] as Bundle })).toBe(true); // a relay is no answer
    const recalled: Recalled = { nonce: batch.digest, sure: true, view: view(0), seq: seqNum(0), votes: [], prePrepares: [], viewChange: undefined, stable: { seq: seqNum(0), root: batch.digest, proof: [] } };
    expect([outbox.send(replicaId(1), { type: "recalled", recalled }), outbox.send(replicaId(2), { type: "recalled", recalled })]).toEqual([false, true]);
  });
});
