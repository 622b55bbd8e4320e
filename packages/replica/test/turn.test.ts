import {
  digest, InvariantViolation, NarsesError, NULL_DIGEST, quorums, rejection, replicaId, seqNum, view, VOTES_PER_FRAME_MAX,
  type Effect, type EngineStatus, type Input, type LogRecord, type OrderingEngine, type PeerMessage, type StateMessage,
} from "@narses/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { newCounters, type Counters } from "../src/counters.ts";
import type { ExecuteEffect } from "../src/execution.ts";
import { createInbox } from "../src/inbox.ts";
import { createJournal } from "../src/journal.ts";
import { createLogLimiter } from "../src/log.ts";
import { newMeasures } from "../src/operations/distribution.ts";
import { Incidents } from "../src/operations/incidents.ts";
import { createOutbox } from "../src/outbox.ts";
import { createSigner } from "../src/signer.ts";
import { createLoop, type Loop } from "../src/turn.ts";
import { apply, testCluster } from "./support/cluster.ts";
import { FakeLog, FakeTransport, recordingLogger } from "./support/fakes.ts";

const tools = testCluster(4);
const D = digest("ab".repeat(32));
const self = replicaId(0);

const status: EngineStatus = {
  view: view(0), active: true, primary: replicaId(0), stableSeq: seqNum(0), executedSeq: seqNum(0), highWatermark: seqNum(256), pendingBundles: 0, openSlots: 0, waitingFor: [],
};

const vote = (seq: number, phase: "prepare" | "commit" = "prepare"): Effect => ({ type: "vote", vote: { phase, view: view(0), seq: seqNum(seq), digest: D } });
const persist = (seq: number, lazy = false): Effect => ({ type: "persist", lazy, record: { type: "pre-prepared", view: view(0), seq: seqNum(seq), digest: D } });
const pinned = (record: LogRecord): Effect => ({ type: "persist", lazy: false, record });
const genesis = { seq: seqNum(0), root: D, proof: [] };

interface Rig {
  readonly loop: Loop;
  readonly log: FakeLog;
  readonly transport: FakeTransport;
  readonly counters: Counters;
  readonly trace: string[];
  readonly inputs: Input[];
  readonly executed: ExecuteEffect[];
  readonly errors: unknown[];
  readonly logger: ReturnType<typeof recordingLogger>;
  readonly decisions: unknown[];
  halted: string | undefined;
  frozen: boolean;
  /** Runs turns until nothing waits. */
  settle(): void;
  /** One turn. */
  turn(): void;
  readonly messages: (PeerMessage | StateMessage)[];
}

/** A replica's loop around an engine that answers each input as told. */
function rig(answer: (input: Input) => readonly Effect[], n = 4, recovered: readonly LogRecord[] = []): Rig {
  const trace: string[] = [];
  const counters = newCounters();
  const logger = recordingLogger();
  const log = new FakeLog(trace, recovered.map((record) => tools.codec.encodeRecord(record)));
  const transport = new FakeTransport(trace);
  const inputs: Input[] = [];
  const executed: ExecuteEffect[] = [];
  const errors: unknown[] = [];
  const decisions: unknown[] = [];
  const scheduled: (() => void)[] = [];
  const engine: OrderingEngine = {
    name: "fake",
    step(input) {
      inputs.push(input);
      return answer(input);
    },
    screen: () => undefined,
    status: () => status,
  };
  const { codec, cluster, signingKeys } = tools;
  const inbox = createInbox(counters);
  const signer = createSigner({ codec, key: signingKeys[0] as (typeof signingKeys)[number], counters, verifier: { remember: () => undefined } });
  const config = { self, epoch: cluster.epoch, quorums: quorums(n), parameters: cluster.parameters };
  const loop = createLoop({
    engine, inbox, counters, incidents: new Incidents(() => 0), evidence: { keep: () => undefined }, logger, journal: createJournal({ log, codec, counters, measures: newMeasures(() => 0), recovered }), limiter: createLogLimiter(() => 0),
    outbox: createOutbox({ config, signer, codec, transport, counters, logger }),
    read: (item) => {
      if (item.type !== "input") throw new TypeError("only facts here");
      return [item.input];
    },
    execution: {
      ready: false, halted: undefined, idle: async () => undefined,
      push: (effect) => void executed.push(effect),
      run: () => void trace.push("execute"),
      halt: ({ reason }) => void (made.halted = reason), resume: () => undefined,
    },
    transfer: { start: (target, reason) => void trace.push(`transfer ${target.seq} ${reason}`) },
    decisions: { send: (to, first, last) => void decisions.push([to, first, last]) },
    onView: (v) => trace.push(`view ${v}`),
    onFatal: (error) => errors.push(error),
    schedule: (turn) => scheduled.push(turn), frozen: () => made.frozen, probe: undefined,
  });
  const turn = (): void => scheduled.shift()?.();
  const made: Rig = {
    loop, log, transport, counters, trace, inputs, executed, errors, logger, decisions, halted: undefined, frozen: false, turn,
    settle() {
      for (let i = 0; scheduled.length > 0 && i < 1_000; i++) turn();
    },
    get messages() {
      return transport.sent.map(({ frame }) => {
        const decoded = codec.decodePeer(frame);
        if (!decoded.ok) throw new TypeError(decoded.rejection.detail);
        return decoded.value;
      });
    },
  };
  return made;
}

const tick: Input = { type: "tick", wallMs: 0 };
const onTick = (effects: readonly Effect[]) => (input: Input): readonly Effect[] => (input.type === "tick" ? effects : []);

describe("a turn", () => {
  test("does not begin while the replica is frozen; what waits is stepped later, in order", () => {
    const r = rig((input) => (input.type === "executed" ? [persist(input.seq), vote(input.seq)] : []));
    const executed = (seq: number): Input => ({ type: "executed", seq: seqNum(seq), obsolete: [] });
    r.loop.input(executed(1)); // its turn is scheduled
    r.frozen = true;
    r.loop.input(executed(2));
    r.settle();
    expect([r.inputs, r.trace, r.counters.turns]).toEqual([[], [], 0]);
    r.frozen = false;
    r.loop.input(executed(3));
    r.settle();
    expect(r.inputs.slice(0, 3).map((input) => input.type === "executed" && input.seq)).toEqual([1, 2, 3]);
    expect(r.transport.sent.length).toBeGreaterThan(0);
    expect(r.errors).toEqual([]);
  });

  test("writes all records, syncs once, and only then sends; own messages come back in the next turn", () => {
    const r = rig(onTick([persist(1), vote(1), persist(2), vote(2)]));
    r.loop.input(tick);
    r.loop.input(tick);
    r.turn();
    expect(r.trace).toEqual(["append", "append", "append", "append", "sync", "send 1", "send 2", "send 3", "execute"]);
    expect(r.counters).toMatchObject({ fsyncs: 1, signaturesMade: 1, turns: 1, records: 4 });
    expect(r.inputs.map(({ type }) => type)).toEqual(["tick", "tick"]);
    r.turn();
    expect(r.inputs.map(({ type }) => type)).toEqual(["tick", "tick", "own"]);
  });

  test("merges the votes of a turn into one frame, the same bytes to all", () => {
    const r = rig(onTick([persist(1), vote(1), vote(2, "commit"), vote(3)]));
    r.loop.input(tick);
    r.settle();
    expect(r.transport.sent.map(({ to }) => to)).toEqual([1, 2, 3]);
    expect(new Set(r.transport.sent.map(({ frame }) => frame)).size).toBe(1);
    expect(r.messages[0]).toMatchObject({ type: "votes", signed: { body: { sender: 0, votes: [{ phase: "prepare", seq: 1 }, { phase: "commit", seq: 2 }, { phase: "prepare", seq: 3 }] } } });
  });

  test("splits votes into frames of at most VOTES_PER_FRAME_MAX, one signature each", () => {
    const total = 2 * VOTES_PER_FRAME_MAX + 5;
    const r = rig(onTick([persist(1), ...Array.from({ length: total }, (_, i) => vote(i + 1))]));
    r.loop.input(tick);
    r.settle();
    expect(r.counters).toMatchObject({ signaturesMade: 3, sent: { votes: 9 } });
    const sizes = r.messages.filter((_, i) => i % 3 === 0).map((m) => (m.type === "votes" ? m.signed.body.votes.length : 0));
    expect(sizes).toEqual([VOTES_PER_FRAME_MAX, VOTES_PER_FRAME_MAX, 5]);
  });

  test("in a cluster of more than 128 replicas frames are smaller: certificates of a NEW-VIEW must fit one frame", () => {
    const r = rig(onTick([]));
    const counters = newCounters();
    const signer = createSigner({ codec: tools.codec, key: tools.signingKeys[0] as (typeof tools.signingKeys)[number], counters, verifier: { remember: () => undefined } });
    const outbox = createOutbox({ config: { self, epoch: tools.cluster.epoch, quorums: quorums(200), parameters: tools.cluster.parameters }, signer, codec: tools.codec, transport: r.transport, counters, logger: r.logger });
    const own = outbox.say(Array.from({ length: 20 }, (_, i) => ({ type: "vote", vote: { phase: "prepare", view: view(0), seq: seqNum(i + 1), digest: D } })));
    expect(own.map((input) => (input.type === "own" && input.signed.body.type === "votes" ? input.signed.body.votes.length : 0))).toEqual([8, 8, 4]);
  });

  test("votes of the old view go before the message that leaves it", () => {
    const r = rig(onTick([vote(1), persist(1), { type: "view-change", view: view(1), stable: genesis, prepared: [] }, vote(2)]));
    r.loop.input(tick);
    r.settle();
    const types = r.messages.filter((_, i) => i % 3 === 0).map(({ type }) => type);
    expect(types).toEqual(["votes", "view-change", "votes"]);
  });

  test("lazy records alone are written without waiting for the disk", () => {
    const r = rig(onTick([persist(1, true), { type: "send", to: replicaId(2), message: { type: "fetch-batch", digest: D } }]));
    r.loop.input(tick);
    r.settle();
    expect(r.trace).toEqual(["append", "flush", "send 2", "execute"]);
    expect(r.counters.fsyncs).toBe(0);
  });

  test("n = 1: nobody to send to, but the own message still comes back", () => {
    const r = rig((input) => (input.type === "tick" ? [persist(1), { type: "pre-prepare", view: view(0), seq: seqNum(1), digest: NULL_DIGEST, batch: undefined }] : []), 1);
    r.loop.input(tick);
    r.settle();
    expect(r.transport.sent).toEqual([]);
    expect(r.inputs.at(-1)).toMatchObject({ type: "own", signed: { body: { type: "pre-prepare", seq: 1, sender: 0 } } });
  });

  test("every kind of message is signed by this replica and verifies", () => {
    const batch = tools.batch([tools.bundle([apply(1)])]);
    const stable = tools.stable(128, D);
    const viewChanges = [1, 2, 3].map((sender) => tools.viewChange(sender, 4, { stable, prepared: [] }));
    const r = rig(onTick([
      { type: "pre-prepare", view: view(0), seq: seqNum(1), digest: batch.digest, batch },
      { type: "checkpoint", seq: seqNum(128), root: D },
      { type: "view-change", view: view(4), stable, prepared: [tools.prepared(129, batch.digest)] },
      { type: "new-view", view: view(4), viewChanges, proposals: [{ seq: seqNum(129), digest: NULL_DIGEST }, { seq: seqNum(130), digest: D }] },
    ]));
    r.loop.input(tick);
    r.settle();
    const key = tools.replicaKeys[0];
    const own = r.inputs.flatMap((input) => (input.type === "own" ? [input.signed] : []));
    expect(own.map(({ body }) => body.type)).toEqual(["pre-prepare", "checkpoint", "view-change", "new-view"]);
    const newView = own[3]?.body;
    const inner = newView?.type === "new-view" ? newView.prePrepares : [];
    expect(inner.map(({ body }) => [body.seq, body.digest, body.view, body.sender])).toEqual([[129, NULL_DIGEST, 4, 0], [130, D, 4, 0]]);
    for (const { bytes } of [...own, ...inner]) {
      const { message, signature } = tools.codec.signedParts(bytes);
      expect(key?.verify(message, signature)).toBe(true);
    }
    expect(r.counters).toMatchObject({ signaturesMade: 6, sent: { "pre-prepare": 3, checkpoint: 3, "view-change": 3, "new-view": 3 } });
  });
});

describe("durable before said", () => {
  const effect = fc.oneof(
    fc.record({ kind: fc.constant("persist" as const), seq: fc.integer({ min: 1, max: 200 }), lazy: fc.boolean() }),
    fc.record({ kind: fc.constant("vote" as const), seq: fc.integer({ min: 1, max: 200 }), lazy: fc.constant(false) }),
    fc.record({ kind: fc.constant("send" as const), seq: fc.integer({ min: 1, max: 200 }), lazy: fc.constant(false) }),
  );
  const toEffect = ({ kind, seq, lazy }: { kind: "persist" | "vote" | "send"; seq: number; lazy: boolean }): Effect =>
    kind === "persist" ? persist(seq, lazy) : kind === "vote" ? vote(seq) : { type: "send", to: "all", message: { type: "fetch-batch", digest: D } };

  test("whatever an engine wants, no frame leaves before the records of its turn; a crash in any turn leaves nothing said without its record", () => {
    fc.assert(
      fc.property(fc.array(fc.array(effect, { maxLength: 6 }), { minLength: 1, maxLength: 6 }), fc.nat(6), (turns, crashAt) => {
        const script = turns.map((effects) => effects.map(toEffect));
        let step = 0;
        const r = rig((input) => (input.type === "tick" ? (script[step++] ?? []) : []));
        script.forEach((effects, i) => {
          const before = r.transport.sent.length;
          const records = r.log.appended.length;
          const urgent = effects.some((e) => e.type === "persist" && !e.lazy);
          r.log.fails = i === crashAt;
          r.loop.input(tick);
          r.trace.length = 0;
          r.turn();
          const crashed = i > crashAt ? r.loop.stopped : i === crashAt && urgent;
          if (crashed) {
            // The records may be lost: then nothing was said that needed them, and nothing will be.
            expect(r.transport.sent.length).toBe(before);
            expect(r.loop.stopped).toBe(true);
            return;
          }
          r.log.fails = false;
          const firstSend = r.trace.findIndex((event) => event.startsWith("send"));
          if (firstSend >= 0) expect(r.trace.slice(firstSend)).not.toContain("append");
          expect(r.log.written).toBe(r.log.appended.length);
          if (urgent) expect(r.log.durable).toBe(r.log.appended.length);
          expect(r.log.appended.length - records).toBe(effects.filter(({ type }) => type === "persist").length);
        });
      }),
    );
  });

  test("a failed fsync stops the replica at once: nothing is said, nothing is stepped, the reason is kept", () => {
    const r = rig(onTick([persist(1), vote(1)]));
    r.log.fails = true;
    r.loop.input(tick);
    r.settle();
    expect(r.transport.sent).toEqual([]);
    expect(r.errors).toEqual([expect.objectContaining({ code: "DISK_FAILED" })]);
    r.log.fails = false;
    r.loop.input(tick);
    r.settle();
    expect(r.inputs).toHaveLength(1);
    expect(r.loop.stopped).toBe(true);
  });

  test("a broken invariant in the engine stops the replica before anything of that turn is written or said", () => {
    const r = rig((input) => {
      if (input.type === "peer") throw new InvariantViolation("two digests");
      return [persist(1), vote(1)];
    });
    r.loop.input(tick);
    r.loop.input({ type: "peer", replica: replicaId(1), connected: true });
    r.settle();
    expect(r.trace).toEqual([]);
    expect(r.errors).toEqual([expect.any(InvariantViolation)]);
    r.loop.fatal(new Error("later"));
    expect(r.errors).toHaveLength(1);
  });
});

describe("other effects", () => {
  test("truncation passes the latest record of each pinned kind, in the order in which they were written", () => {
    const left = (v: number): LogRecord => ({ type: "view-left", view: view(v), stable: genesis, prepared: [] });
    const entered = (v: number): LogRecord => ({ type: "new-view", view: view(v), viewChanges: [1, 2, 3].map((sender) => tools.viewChange(sender, v, { stable: genesis, prepared: [] })) });
    const stable = (seq: number): LogRecord => ({ type: "stable", stable: tools.stable(seq, D) });
    const r = rig(
      (input) => (input.type === "tick" ? [pinned(stable(256)), { type: "truncate", seq: seqNum(256) }, pinned(left(2))] : []), 4,
      [left(1), entered(1), stable(128), { type: "pre-prepared", view: view(1), seq: seqNum(130), digest: D }],
    );
    r.loop.input(tick);
    r.settle();
    expect(r.log.truncations.map(({ seq, base }) => ({ seq, base: base.map((bytes) => tools.codec.decodeRecord(bytes).type) }))).toEqual([{ seq: 256, base: ["new-view", "stable", "view-left"] }]);
    const base = r.log.truncations[0]?.base.map((bytes) => tools.codec.decodeRecord(bytes)) ?? [];
    expect(base[1]).toMatchObject({ type: "stable", stable: { seq: 256 } });
    expect(base[2]).toMatchObject({ type: "view-left", view: 2 });
    expect(r.trace.indexOf("sync")).toBeLessThan(r.trace.indexOf("truncate 256"));
  });

  test("decided slots go to the executor, after the words of the turn", () => {
    const certificate = tools.committed(1, NULL_DIGEST);
    const r = rig(onTick([{ type: "execute", seq: seqNum(1), batch: undefined, certificate, checkpoint: false }, persist(2), vote(2)]));
    r.loop.input(tick);
    r.settle();
    expect(r.executed).toMatchObject([{ seq: 1 }]);
    expect(r.trace.slice(0, 6)).toEqual(["append", "sync", "send 1", "send 2", "send 3", "execute"]);
  });

  test("a state to fetch goes to the transfer, when everything before it is durable", () => {
    const target = tools.stable(128, D);
    const r = rig(onTick([persist(2), { type: "transfer", target, reason: "behind" }]));
    r.loop.input(tick);
    r.settle();
    expect(r.trace.slice(0, 3)).toEqual(["append", "sync", "transfer 128 behind"]);
  });

  test("divergence halts execution and is told loudly; the loop goes on", () => {
    const r = rig(onTick([{ type: "diverged", seq: seqNum(128), own: D, stable: NULL_DIGEST }]));
    r.loop.input(tick);
    r.settle();
    expect(r.halted).toContain("slot 128");
    expect(r.logger.lines).toContainEqual(expect.objectContaining({ level: "error", message: expect.stringContaining("DIVERGED") as string }));
    expect(r.loop.stopped).toBe(false);
  });

  test("rejections are counted one by one and logged once per code and interval; views and decisions are passed on", () => {
    const rejected: Effect = { type: "rejected", from: replicaId(1), message: "votes", rejection: rejection("VIEW_OLD", "view 0, now in 3") };
    const r = rig(onTick([
      rejected, rejected, rejected, { type: "view-left", view: view(1), reason: "test" }, { type: "view-entered", view: view(1), primary: replicaId(1) },
      { type: "send-decisions", to: replicaId(3), first: seqNum(1), last: seqNum(9) },
    ]));
    r.loop.input(tick);
    r.settle();
    expect(r.counters.rejected).toEqual({ VIEW_OLD: 3 });
    expect(r.logger.lines.filter(({ message }) => message.includes("now in 3"))).toHaveLength(1);
    expect(r.trace).toContain("view 1");
    expect(r.decisions).toEqual([[3, 1, 9]]);
  });

  test("an own message that outgrew the largest frame is not said, and does not stop the replica", () => {
    const r = rig(onTick([vote(1)]));
    const codec = { ...tools.codec, unsigned: () => { throw new NarsesError("FRAME_INVALID", "own votes has 40 MB"); } };
    const counters = newCounters();
    const signer = createSigner({ codec, key: tools.signingKeys[0] as (typeof tools.signingKeys)[number], counters, verifier: { remember: () => undefined } });
    const outbox = createOutbox({ config: { self, epoch: tools.cluster.epoch, quorums: quorums(4), parameters: tools.cluster.parameters }, signer, codec, transport: r.transport, counters, logger: r.logger });
    expect(outbox.say([{ type: "vote", vote: { phase: "prepare", view: view(0), seq: seqNum(1), digest: D } }])).toEqual([]);
    expect(r.logger.lines).toContainEqual(expect.objectContaining({ level: "error" }));
  });
});
