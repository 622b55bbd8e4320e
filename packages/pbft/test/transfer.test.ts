/** State transfer as the engine sees it: when it asks for a state, what it does meanwhile, and how it goes on. */
import {
  DEFAULT_PARAMETERS, digest, epoch, mintVerified, NULL_DIGEST, quorums, replicaId, seqNum, view,
  type Checkpoint, type CommitCertificate, type Digest, type Effect, type EngineConfig, type EngineTools, type Input, type LogRecord, type OrderingEngine,
  type PeerMessage, type Signed, type SignedBody, type StableCheckpoint, type Vote, type Votes,
} from "@narses/core";
import { describe, expect, test } from "vitest";
import { createEngine } from "../src/index.ts";

const K = 4;
const L = 8;
const root = (mark: number): Digest => digest(mark.toString(16).padStart(64, "0"));
const config: EngineConfig = {
  self: replicaId(3), epoch: epoch(0), quorums: quorums(4),
  parameters: { ...DEFAULT_PARAMETERS, checkpointInterval: K, logWindow: L, pipelineDepth: 4, requestTimeoutTicks: 20 }, genesisRoot: root(0),
};
const tools: EngineTools = { makeBatch: () => { throw new TypeError("a backup makes no batch"); } };

/** The engine reads bodies; which bytes stand for them is all the same to it. */
const sign = <B extends SignedBody>(body: B): Signed<B> => ({ body, bytes: new Uint8Array(0) });
const author = (sender: number) => ({ epoch: epoch(0), sender: replicaId(sender) });
const checkpoint = (sender: number, seq: number, mark: number): Signed<Checkpoint> => sign({ type: "checkpoint", ...author(sender), seq: seqNum(seq), root: root(mark) });
const stable = (seq: number, mark = seq): StableCheckpoint => ({ seq: seqNum(seq), root: root(mark), proof: [0, 1, 2].map((sender) => checkpoint(sender, seq, mark)) });
const message = (from: number, m: PeerMessage): Input => ({ type: "message", from: replicaId(from), message: mintVerified(m) });
const stableFrom = (from: number, s: StableCheckpoint): Input => message(from, { type: "stable", stable: s });
const vote = (phase: Vote["phase"], seq: number): Vote => ({ phase, view: view(0), seq: seqNum(seq), digest: NULL_DIGEST });
const frame = (sender: number, ...votes: Vote[]): Signed<Votes> => sign({ type: "votes", ...author(sender), votes });
const committed = (seq: number): CommitCertificate => ({
  view: view(0), seq: seqNum(seq), digest: NULL_DIGEST, commits: [0, 1, 2].map((sender) => ({ frame: frame(sender, vote("commit", seq)), index: 0 })),
});
const decision = (seq: number): Input => message(0, { type: "decision", certificate: committed(seq), batch: undefined });
const executed = (seq: number): Input => ({ type: "executed", seq: seqNum(seq), obsolete: [] });
const transferred = (s: StableCheckpoint): Input => ({ type: "transferred", stable: s, obsolete: [] });

function started(records: readonly LogRecord[] = [], executedSeq = 0): { engine: OrderingEngine; first: readonly Effect[] } {
  const engine = createEngine(config, tools, { records, executedSeq: seqNum(executedSeq) });
  return { engine, first: engine.step({ type: "start", wallMs: 0 }) };
}

/** Without the periodic STATUS, which is another test's business. */
const quiet = (effects: readonly Effect[]): readonly Effect[] => effects.filter((e) => e.type !== "send" || e.message.type !== "status");
const ticks = (engine: OrderingEngine, count: number): readonly Effect[] => Array.from({ length: count }, () => quiet(engine.step({ type: "tick", wallMs: 0 }))).flat();
const transfer = (target: StableCheckpoint, reason: "behind" | "diverged" = "behind"): Effect => ({ type: "transfer", target, reason });
const vouch = (seq: number, r: Digest): readonly Effect[] => [
  { type: "persist", record: { type: "vouched", seq: seqNum(seq), root: r }, lazy: false },
  { type: "checkpoint", seq: seqNum(seq), root: r },
];
const adopted = (s: StableCheckpoint): readonly Effect[] => [
  { type: "persist", record: { type: "stable", stable: s }, lazy: false },
  { type: "truncate", seq: s.seq },
];

/** Executes null slots first … last, with their checkpoints, the roots being the slot's number plus `wrong`. */
function execute(engine: OrderingEngine, first: number, last: number, wrong = 0): readonly Effect[] {
  const effects: Effect[] = [];
  for (let seq = first; seq <= last; seq++) {
    effects.push(...engine.step(decision(seq)), ...engine.step(executed(seq)));
    if (seq % K === 0) effects.push(...engine.step({ type: "checkpointed", seq: seqNum(seq), root: root(seq + wrong) }));
  }
  return effects;
}

describe("behind", () => {
  test("by a window or less it follows by decisions", () => {
    const { engine } = started();
    expect(engine.step(stableFrom(0, stable(L)))).toEqual([]);
    expect(engine.step(decision(1))).toMatchObject([{ type: "execute", seq: 1 }]);
  });

  test("by more than a window it asks for the state of the certified checkpoint, once", () => {
    const { engine } = started();
    expect(engine.step(stableFrom(0, stable(L + K)))).toEqual([transfer(stable(L + K))]);
    expect(engine.step(stableFrom(1, stable(L + K)))).toEqual([]);
    expect(engine.step(stableFrom(1, stable(L)))).toEqual([]);
    expect(engine.status().waitingFor[0]).toContain("the state as of checkpoint 12 from peers");
  });

  test("a claim is no target: neither a STATUS of slot 10^12, nor a proof that does not add up", () => {
    const { engine } = started();
    const status = { view: view(0), active: true, stableSeq: seqNum(10 ** 12), executedSeq: seqNum(10 ** 12), slots: new Uint8Array(), viewChanges: new Uint8Array() };
    expect(quiet(engine.step(message(1, { type: "status", status })))).toEqual([]);
    const two = { ...stable(400), proof: stable(400).proof.slice(0, 2) };
    const twice = { ...stable(400), proof: [0, 1, 1].map((sender) => checkpoint(sender, 400, 400)) };
    const mixed = { ...stable(400), proof: [checkpoint(0, 400, 400), checkpoint(1, 400, 400), checkpoint(2, 400, 401)] };
    for (const bad of [two, twice, mixed, { ...stable(400), seq: seqNum(10 ** 12) }]) {
      expect(engine.step(stableFrom(1, bad))).toMatchObject([{ type: "rejected", rejection: { code: "CERTIFICATE_INVALID" } }]);
    }
  });

  test("by little, but with nobody who sends the decisions: asks after a request's time", () => {
    const { engine } = started();
    engine.step(stableFrom(0, stable(K)));
    expect(ticks(engine, 20)).toEqual([]);
    expect(ticks(engine, 1)).toEqual([transfer(stable(K))]);
  });

  test("progress by decisions keeps the clock from running out", () => {
    const { engine } = started();
    engine.step(stableFrom(0, stable(K)));
    ticks(engine, 15);
    execute(engine, 1, 1);
    expect(ticks(engine, 20)).toEqual([]);
    expect(ticks(engine, 1)).toEqual([transfer(stable(K))]);
  });

  test("a later checkpoint is named as well while it goes on; either one ends it", () => {
    for (const end of [12, 16]) {
      const { engine } = started();
      engine.step(stableFrom(0, stable(12)));
      expect(engine.step(stableFrom(0, stable(16)))).toEqual([transfer(stable(16))]);
      expect(engine.step(transferred(stable(end)))).toEqual(adopted(stable(end)));
      expect(engine.status()).toMatchObject({ stableSeq: end, executedSeq: end, highWatermark: end + L });
    }
  });

  describe("when the others have dropped that state, and this replica is missing for a later certificate", () => {
    const checkpointFrom = (sender: number, seq: number, mark = seq): Input => message(sender, { type: "checkpoint", signed: checkpoint(sender, seq, mark) });
    const behind = (): OrderingEngine => {
      const { engine } = started();
      engine.step(stableFrom(0, stable(12)));
      return engine;
    };

    test("a later one that W others vouch for is named, after a request's time", () => {
      const engine = behind();
      for (const sender of [0, 1]) expect(quiet(engine.step(checkpointFrom(sender, 20)))).toEqual([]);
      expect(ticks(engine, 19)).toEqual([]);
      expect(ticks(engine, 1)).toEqual([transfer({ seq: seqNum(20), root: root(20), proof: [0, 1].map((sender) => checkpoint(sender, 20, 20)) })]);
      expect(ticks(engine, 40)).toEqual([]);
    });

    test("that it has arrived moves the low watermark to what Q have certified only; its own CHECKPOINT makes the later one stable", () => {
      const engine = behind();
      for (const sender of [0, 1]) engine.step(checkpointFrom(sender, 20));
      const target = ticks(engine, 20).flatMap((e) => (e.type === "transfer" ? [e.target] : []))[0];
      expect(target?.proof).toHaveLength(2);
      expect(quiet(engine.step(transferred(target as StableCheckpoint)))).toEqual([...vouch(20, root(20)), ...adopted(stable(12))]);
      expect(engine.status()).toMatchObject({ stableSeq: 12, executedSeq: 20 });
      expect(quiet(engine.step(message(3, { type: "checkpoint", signed: checkpoint(3, 20, 20) })))).toMatchObject([{ type: "persist", record: { type: "stable" } }, { type: "truncate", seq: 20 }]);
    });

    test("one liar alone, also with this replica's own word for it, names no target", () => {
      const { engine } = started();
      execute(engine, 1, 8, 1);
      for (const seq of [4, 8]) engine.step(message(3, { type: "checkpoint", signed: checkpoint(3, seq, seq + 1) }));
      expect(quiet(engine.step(stableFrom(0, stable(4))))).toMatchObject([{ type: "diverged" }, transfer(stable(4), "diverged")]);
      engine.step(checkpointFrom(2, 8, 9));
      expect(ticks(engine, 60)).toEqual([]);
    });
  });

  test("an earlier state than the last one named: what is now too far ahead is dropped, and can be learned again", () => {
    const { engine } = started();
    engine.step(stableFrom(0, stable(12)));
    engine.step(stableFrom(0, stable(16)));
    for (const seq of [12 + 2 * L, 13 + 2 * L]) engine.step(decision(seq));
    expect(engine.status().openSlots).toBe(2);
    engine.step(transferred(stable(12)));
    expect(engine.status().openSlots).toBe(1);
    expect(engine.step(decision(13 + 2 * L))).toMatchObject([{ type: "rejected", rejection: { code: "SEQ_ABOVE_WINDOW" } }]);
  });

  test("nothing is executed meanwhile, and what was decided above the target is executed after it", () => {
    const { engine } = started();
    engine.step(stableFrom(0, stable(12)));
    expect([decision(13), decision(14), decision(1)].flatMap((input) => quiet(engine.step(input)).filter((e) => e.type !== "persist"))).toEqual([]);
    const effects = engine.step(transferred(stable(12)));
    expect(effects).toEqual([...adopted(stable(12)), ...[13, 14].map((seq) => ({ type: "execute", seq, batch: undefined, certificate: committed(seq), checkpoint: false }))]);
    expect(engine.step(executed(13))).toEqual([]);
  });

  test("the primary is not suspected meanwhile, nor for what was waiting", () => {
    const { engine } = started();
    engine.step(stableFrom(0, stable(12)));
    engine.step(decision(13));
    expect(ticks(engine, 100)).toEqual([]);
    expect(engine.status()).toMatchObject({ view: 0, active: true });
  });

  test("its STATUS asks for what follows the target", () => {
    const { engine } = started();
    engine.step(stableFrom(0, stable(12)));
    const [effect] = engine.step({ type: "peer", replica: replicaId(1), connected: true });
    expect(effect).toMatchObject({ type: "send", message: { type: "status", status: { executedSeq: 12, stableSeq: 0 } } });
  });

  test("votes above the new low watermark stay: it prepares what it held, and equivocates nowhere", () => {
    const { engine } = started();
    engine.step(stableFrom(0, stable(12)));
    const commits = [0, 1].map((sender) => message(sender, { type: "votes", signed: frame(sender, vote("commit", 13)) }));
    for (const input of commits) expect(engine.step(input)).toEqual([]);
    engine.step(transferred(stable(12)));
    const effects = engine.step(message(2, { type: "votes", signed: frame(2, vote("commit", 13)) }));
    expect(effects.map(({ type }) => type)).toEqual(["persist", "execute"]);
  });
});

describe("diverged", () => {
  test("its own root against Q others: it stops, says so and asks for the state at once", () => {
    const { engine } = started();
    execute(engine, 1, 4, 900);
    expect(engine.step(stableFrom(0, stable(4)))).toEqual([
      { type: "diverged", seq: 4, own: root(904), stable: root(4) },
      transfer(stable(4), "diverged"),
    ]);
    expect(quiet(engine.step(decision(5))).filter((e) => e.type === "execute")).toEqual([]);
    expect(engine.step({ type: "checkpointed", seq: seqNum(8), root: root(908) })).toEqual([]);
  });

  test("after the repair it goes back to the certified slot, executes again, and signs no second root for a slot", () => {
    const { engine } = started();
    const effects = execute(engine, 1, 9, 900);
    expect(effects.filter((e) => e.type === "checkpoint")).toEqual([{ type: "checkpoint", seq: 4, root: root(904) }, { type: "checkpoint", seq: 8, root: root(908) }]);
    engine.step(stableFrom(0, stable(4)));
    expect(engine.step(transferred(stable(4)))).toMatchObject([...adopted(stable(4)), ...[5, 6, 7, 8, 9].map((seq) => ({ type: "execute", seq }))]);
    for (let seq = 5; seq <= 8; seq++) engine.step(executed(seq));
    expect(engine.step({ type: "checkpointed", seq: seqNum(8), root: root(8) })).toEqual([]);
    expect(engine.step(stableFrom(0, stable(8)))).toEqual(adopted(stable(8)));
    engine.step(executed(9));
    expect(execute(engine, 10, 12).filter((e) => e.type === "checkpoint")).toEqual([{ type: "checkpoint", seq: 12, root: root(12) }]);
  });
});

describe("after a restart", () => {
  test("a state older than the stable checkpoint of the log is fetched, not an end", () => {
    const { engine, first } = started([{ type: "stable", stable: stable(12) }], 8);
    expect(first).toEqual([transfer(stable(12))]);
    expect(engine.status()).toMatchObject({ stableSeq: 12, executedSeq: 8 });
    expect(engine.step(transferred(stable(12)))).toEqual([]);
    expect(engine.step(decision(13))).toMatchObject([{ type: "persist" }, { type: "execute", seq: 13 }]);
  });

  test("the root it vouched for before is remembered: none other is signed for that slot", () => {
    const { engine } = started([{ type: "vouched", seq: seqNum(8), root: root(908) }], 8);
    expect(engine.step({ type: "checkpointed", seq: seqNum(8), root: root(8) })).toEqual([]);
    expect(engine.step(stableFrom(0, stable(8)))).toEqual(adopted(stable(8)));
  });

  test("between the installed state and the stable record: the proof comes again, and is adopted", () => {
    const { engine } = started([], 12);
    expect(engine.step({ type: "checkpointed", seq: seqNum(12), root: root(12) })).toEqual(vouch(12, root(12)));
    expect(engine.step(stableFrom(0, stable(12)))).toEqual(adopted(stable(12)));
  });
});

test("a state that nobody asked for is a broken invariant", () => {
  const { engine } = started();
  expect(() => engine.step(transferred(stable(12)))).toThrow(/which no transfer asked for/);
});
