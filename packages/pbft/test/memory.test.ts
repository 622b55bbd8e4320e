/** Memory: what a restarted replica asks, what it believes, and when it may speak again (protocol page, "Memory"). */
import { digest, seqNum, view, type Digest, type Effect, type LogRecord, type Memory, type PeerMessage, type Recalled, type StableCheckpoint } from "@narses/core";
import { describe, expect, test } from "vitest";
import {
  batchOf, bench, type Bench, castVote, codes, commit, configOf, decideSlot, digestOf, frameOf, newViewOf, PARAMETERS, prepare, preparedOf, prePrepare, prePrepareOf,
  recoveredOf, stableOf, viewChangeOf, vote,
} from "./helpers.ts";

const NONCE: Digest = digest("5e".repeat(32));
const GENESIS: StableCheckpoint = { seq: seqNum(0), root: configOf(1).genesisRoot, proof: [] };
const L = PARAMETERS.logWindow;
const a = batchOf("a");
const other = digestOf("other");

const memoryBench = (records: readonly LogRecord[], memory: Partial<Memory> = {}, executed = 0, self = 1): Bench =>
  bench(configOf(self), { ...recoveredOf(executed, ...records), memory: { nonce: NONCE, ...memory } });
const recalled = (fields: Partial<Recalled> = {}): PeerMessage => ({
  type: "recalled", recalled: { nonce: NONCE, sure: true, view: view(0), seq: seqNum(0), votes: [], prePrepares: [], viewChange: undefined, stable: GENESIS, ...fields },
});
const STATEMENTS = new Set(["vote", "pre-prepare", "checkpoint", "view-change", "new-view"]);
const said = (effects: readonly Effect[]): readonly Effect[] => effects.filter(({ type }) => STATEMENTS.has(type));
const memories = (effects: readonly Effect[]): readonly string[] => effects.flatMap((e) => (e.type === "memory" ? [e.state] : []));
const records = (effects: readonly Effect[]): readonly LogRecord[] => effects.flatMap((e) => (e.type === "persist" ? [e.record] : []));
const asked = (effects: readonly Effect[]): readonly number[] => effects.flatMap((e) => (e.type === "send" && e.message.type === "recall" && e.to !== "all" ? [e.to] : []));
/** This replica, 1, accepted `a` at slot 1 of view 0, and prepared it. */
const ACCEPTED: LogRecord = { type: "pre-prepared", view: view(0), seq: seqNum(1), digest: a.digest, batch: a, signed: prePrepareOf(0, 1, a.digest) };
const PREPARED: LogRecord = { type: "prepared", certificate: preparedOf(0, 1, a.digest, [1, 2]) };

describe("a restarted replica", () => {
  test("asks every peer, says nothing, and repeats itself once all have answered", () => {
    const b = memoryBench([ACCEPTED, PREPARED]);
    expect(asked(b.started)).toEqual([0, 2, 3]);
    expect(said(b.started)).toEqual([]);
    for (const id of [0, 2]) expect(said(b.from(id, recalled()))).toEqual([]);
    expect(said(b.from(3, recalled()))).toEqual([castVote("prepare", 0, 1, a.digest), castVote("commit", 0, 1, a.digest)]);
    expect(b.status().silence).toBeUndefined();
  });

  test("is content with Q−1 answers after a while, and asks the rest again meanwhile", () => {
    const b = memoryBench([ACCEPTED]);
    b.from(0, recalled());
    expect(said(b.from(2, recalled()))).toEqual([]);
    const effects = Array.from({ length: 2 * PARAMETERS.statusIntervalTicks }, () => b.tick()).flat();
    expect(asked(effects)).toEqual([3, 3]);
    expect(said(effects)).toEqual([castVote("prepare", 0, 1, a.digest)]);
  });

  test("one answer alone is not enough, however long it waits", () => {
    const b = memoryBench([ACCEPTED]);
    b.from(0, recalled());
    expect(said(Array.from({ length: 500 }, () => b.tick()).flat())).toEqual([]);
    expect(b.status().silence?.cause).toBe("recalling");
  });

  test("takes in what comes meanwhile, and answers it when it may speak", () => {
    const b = memoryBench([]);
    expect(said(b.from(0, prePrepare(0, 1, a)))).toEqual([]);
    for (const id of [2, 3]) expect(said(b.from(id, prepare(id, 0, 1, a.digest)))).toEqual([]);
    for (const id of [0, 2]) b.from(id, recalled());
    expect(said(b.from(3, recalled()))).toEqual([castVote("prepare", 0, 1, a.digest), castVote("commit", 0, 1, a.digest)]);
  });

  test("follows into a later view by NEW-VIEW, and leaves none by itself", () => {
    const b = memoryBench([]);
    b.request("x");
    expect(said(Array.from({ length: 500 }, () => b.tick()).flat())).toEqual([]);
    expect(b.status()).toMatchObject({ view: 0, active: true });
    b.from(2, { type: "new-view", signed: newViewOf(2, [0, 2, 3].map((id) => viewChangeOf(id, 2))) });
    expect(b.status()).toMatchObject({ view: 2, active: true });
  });

  test("joins, when it may speak, those that left the view meanwhile", () => {
    const b = memoryBench([]);
    for (const id of [2, 3]) expect(said(b.from(id, { type: "view-change", signed: viewChangeOf(id, 1) }))).toEqual([]);
    for (const id of [0, 2]) b.from(id, recalled());
    expect(said(b.from(3, recalled()))).toMatchObject([{ type: "view-change", view: 1 }]);
  });

  test("an answer to another question, a second one, and one that nobody asked for are ignored", () => {
    const b = memoryBench([ACCEPTED]);
    expect(codes(b.from(0, recalled({ nonce: digest("00".repeat(32)) })))).toEqual(["UNSOLICITED"]);
    b.from(0, recalled());
    expect(codes(b.from(0, recalled()))).toEqual(["UNSOLICITED"]);
    expect(codes(bench(configOf(1)).from(0, recalled()))).toEqual(["UNSOLICITED"]);
  });

  test("alone in its cluster it has nobody to ask", () => {
    const b = bench(configOf(0, 1), { ...recoveredOf(0), memory: { nonce: NONCE } });
    expect(b.status().silence).toBeUndefined();
  });
});

describe("a log that is older than what was said", () => {
  test.each<[string, Partial<Recalled>]>([
    ["a prepare at a slot that the log lacks", { votes: [frameOf(1, vote("prepare", 0, 2, other))] }],
    ["a prepare of another digest", { votes: [frameOf(1, vote("prepare", 0, 1, other))] }],
    ["a commit without its certificate", { votes: [frameOf(1, vote("prepare", 0, 1, a.digest), vote("commit", 0, 1, a.digest))] }],
    ["a vote of a later view", { votes: [frameOf(1, vote("prepare", 4, 1, a.digest))] }],
    ["a proposal", { prePrepares: [prePrepareOf(1, 1, a.digest, 1)] }],
    ["a view-change", { viewChange: viewChangeOf(1, 1) }],
  ])("%s, signed by itself, makes it silent at once", (_what, fields) => {
    const b = memoryBench([ACCEPTED]);
    const effects = b.from(0, recalled(fields));
    expect(effects.find((e) => e.type === "persist")).toMatchObject({ lazy: false, record: { type: "amnesia", view: undefined, floor: undefined } });
    expect(memories(effects)).toEqual(["lost"]);
    for (const id of [2, 3]) expect(said(b.from(id, recalled()))).toEqual([]);
    expect(b.status().silence).toMatchObject({ cause: "amnesia" });
  });

  test.each<[string, Partial<Recalled>]>([
    ["what the log holds", { votes: [frameOf(1, vote("prepare", 0, 1, a.digest))] }],
    ["what others signed", { votes: [frameOf(2, vote("commit", 0, 7, other))], prePrepares: [prePrepareOf(0, 3, other)], viewChange: viewChangeOf(2, 9) }],
    ["claims without a signature", { view: view(99), seq: seqNum(1_000_000) }],
  ])("%s does not: a liar silences nobody", (_what, fields) => {
    const b = memoryBench([ACCEPTED]);
    for (const id of [0, 2]) b.from(id, recalled());
    expect(said(b.from(3, recalled(fields)))).toEqual([castVote("prepare", 0, 1, a.digest)]);
  });

  test("what is settled by its stable checkpoint, or was said in a view that it has left, proves nothing", () => {
    const records: LogRecord[] = [{ type: "stable", stable: stableOf(2, [0, 2, 3]) }, { type: "view-left", view: view(1), stable: stableOf(2, [0, 2, 3]), prepared: [] }];
    const b = memoryBench(records, {}, 2);
    b.from(0, recalled({ votes: [frameOf(1, vote("commit", 1, 2, other))] }));
    b.from(2, recalled({ votes: [frameOf(1, vote("commit", 0, 3, other))] }));
    expect(memories(b.from(3, recalled({ viewChange: viewChangeOf(1, 1) })))).toEqual([]);
    expect(b.status().silence).toBeUndefined();
  });

  test("its own NEW-VIEW counts for the proposals that it carries: the log holds them only as view-changes", () => {
    const vcs = [1, 2, 3].map((id) => viewChangeOf(id, 1, [preparedOf(0, 1, a.digest, [1, 2])]));
    const b = memoryBench([{ type: "new-view", view: view(1), viewChanges: vcs }]);
    expect(memories(b.from(0, recalled({ prePrepares: [prePrepareOf(1, 1, a.digest, 1)] })))).toEqual([]);
  });
});

describe("answers that prove a checkpoint", () => {
  const stable = stableOf(2, [0, 2, 3]);

  test("it speaks when it has passed that: the others have forgotten what they heard of the slots below", () => {
    const b = memoryBench([]);
    for (const id of [0, 2]) b.from(id, recalled());
    expect(said(b.from(3, recalled({ stable })))).toEqual([]);
    expect(b.status().silence?.reason).toContain("left behind");
    expect(said(b.from(0, prePrepare(0, 1, a)))).toEqual([]);
    for (const n of [1, 2]) decideSlot(b, 1, 0, n, n === 1 ? a : batchOf("s2"));
    b.checkpointed(2);
    expect(b.status().silence).toBeUndefined();
    expect(said(b.from(0, prePrepare(0, 3, a)))).toEqual([castVote("prepare", 0, 3, a.digest)]);
  });

  test("started from the state of a later checkpoint, it takes the proven one as passed: two such, waiting for each other, were silent for ever", () => {
    const b = memoryBench([{ type: "vouched", seq: seqNum(4), root: digestOf("state 4") }], {}, 4);
    b.checkpointed(4, digestOf("state 4"));
    for (const id of [0, 2]) b.from(id, recalled({ stable }));
    expect(b.status().silence).toBeDefined();
    const effects = b.from(3, recalled({ stable }));
    expect(said(effects)).toEqual([{ type: "checkpoint", seq: 4, root: digestOf("state 4") }]);
    expect(b.status()).toMatchObject({ stableSeq: 2, executedSeq: 4 });
  });

  test("a checkpoint of its own in the proof, that its log lacks, is a statement like any other", () => {
    const b = memoryBench([]);
    expect(memories(b.from(0, recalled({ stable: stableOf(2, [0, 1, 2]) })))).toEqual(["lost"]);
    const knows = memoryBench([{ type: "vouched", seq: seqNum(2), root: stable.root }]);
    expect(memories(knows.from(0, recalled({ stable: stableOf(2, [0, 1, 2]) })))).toEqual([]);
  });

  test("a proof that does not add up is no answer", () => {
    const b = memoryBench([]);
    expect(codes(b.from(0, recalled({ stable: stableOf(2, [0, 2]) })))).toEqual(["CERTIFICATE_INVALID"]);
    for (const id of [2, 3]) b.from(id, recalled());
    expect(b.status().silence?.cause).toBe("recalling");
  });
});

test("a late answer is judged too: what it said since it knows", () => {
  const late = (fields: Partial<Recalled>): Bench => {
    const b = memoryBench([]);
    for (const id of [0, 3]) b.from(id, recalled());
    for (let i = 0; i < 2 * PARAMETERS.statusIntervalTicks; i++) b.tick();
    b.from(0, prePrepare(0, 1, a));
    expect(b.status().silence).toBeUndefined();
    b.from(2, recalled(fields));
    return b;
  };
  expect(late({ viewChange: viewChangeOf(1, 3) }).status().silence?.cause).toBe("amnesia");
  expect(late({ votes: [frameOf(1, vote("prepare", 0, 2, other))] }).status().silence?.cause).toBe("amnesia");
  expect(late({ votes: [frameOf(1, vote("prepare", 0, 1, a.digest))] }).status().silence).toBeUndefined();
});

describe("amnesia", () => {
  const LOST = { lost: { view: undefined } };
  const claim = (v: number, n: number, sure = true): PeerMessage => recalled({ view: view(v), seq: seqNum(n), sure });

  test("is durable before anything else, and the floor when it is known: above every view and window that anybody can have been in", () => {
    const b = memoryBench([], LOST);
    expect(b.started[0]).toMatchObject({ type: "persist", lazy: false, record: { type: "amnesia", floor: undefined } });
    b.from(0, claim(1, 6));
    b.from(2, claim(2, 4));
    const effects = b.from(3, claim(1, 5));
    expect(effects.filter((e) => e.type === "persist")).toMatchObject([{ lazy: false, record: { type: "amnesia", floor: { view: 2 + 1 + 1, seq: 6 + L } } }]);
    expect(memories(effects)).toEqual(["bounded"]);
  });

  test("of more answers than needed the lowest count: liars cannot raise the floor", () => {
    const b = bench(configOf(1, 7), { ...recoveredOf(0), memory: { nonce: NONCE, ...LOST } });
    b.from(0, claim(1_000_000, 1_000_000));
    for (const id of [2, 3, 4, 5]) b.from(id, claim(0, 10));
    expect(b.status().silence?.floor?.seq).toBe(1_000_000 + L);
    b.from(6, claim(0, 10));
    expect(b.status().silence?.floor?.seq).toBe(10 + L);
    const c = bench(configOf(1, 7), { ...recoveredOf(0), memory: { nonce: NONCE, ...LOST } });
    for (const id of [2, 3, 4, 5]) c.from(id, claim(0, 10));
    expect(c.status().silence?.floor).toBeUndefined();
    c.from(6, claim(0, 11));
    expect(c.status().silence?.floor).toEqual({ view: 0 + 2 + 1, seq: 11 + L });
  });

  test("a liar that answers before the others raises it until they have all answered, and stops nobody with numbers that nothing can follow", () => {
    const b = bench(configOf(1, 7), { ...recoveredOf(0), memory: { nonce: NONCE, ...LOST } });
    b.from(0, claim(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER));
    for (const id of [2, 3, 4]) b.from(id, claim(4, 10));
    expect(records(b.from(5, claim(4, 10)))).toEqual([{ type: "amnesia", view: undefined, floor: { view: Number.MAX_SAFE_INTEGER, seq: Number.MAX_SAFE_INTEGER } }]);
    expect(asked(b.tickAll(PARAMETERS.statusIntervalTicks))).toEqual([6]);
    const effects = b.from(6, claim(5, 12));
    expect(records(effects)).toEqual([{ type: "amnesia", view: undefined, floor: { view: 5 + 2 + 1, seq: 12 + L } }]);
    expect(memories(effects)).toEqual(["bounded"]);
    expect(asked(b.tickAll(2 * PARAMETERS.statusIntervalTicks))).toEqual([]);
  });

  test("also a floor that it brings along from before another restart", () => {
    const floor = { view: view(9), seq: seqNum(10 ** 12) };
    const b = bench(configOf(1, 7), { ...recoveredOf(0, { type: "amnesia", view: undefined, floor }), memory: { nonce: NONCE } });
    expect(asked(b.started)).toEqual([0, 2, 3, 4, 5, 6]);
    for (const id of [2, 3, 4, 5]) b.from(id, claim(7, 10));
    expect(b.status().silence?.floor).toEqual(floor);
    b.from(6, claim(7, 10));
    expect(b.status().silence?.floor).toEqual({ view: 9, seq: 10 + L });
  });

  test("peers that do not trust their own memory do not count", () => {
    const b = memoryBench([], LOST);
    for (const id of [0, 2]) b.from(id, claim(0, 4));
    b.from(3, claim(0, 4, false));
    expect(b.status().silence).toMatchObject({ cause: "amnesia" });
    expect(b.status().silence?.floor).toBeUndefined();
  });

  /** Silent below view `v` and a checkpoint at 2 + L. */
  function bounded(memory: Partial<Memory>, v: number): Bench {
    const b = memoryBench([], memory);
    for (const id of [0, 2, 3]) b.from(id, claim(v, 2));
    return b;
  }
  /** Executes slots up to 2 + L by decisions, with a stable checkpoint there. Returns the effects of the last step. */
  function passWindow(b: Bench): readonly Effect[] {
    let last: readonly Effect[] = [];
    for (let n = 1; n <= 2 + L; n++) {
      decideSlot(b, 1, 0, n, batchOf(`s${n}`));
      if (n % PARAMETERS.checkpointInterval !== 0) continue;
      b.from(0, { type: "stable", stable: stableOf(n, [0, 2, 3]) });
      last = b.checkpointed(n);
    }
    return last;
  }

  test("with the last view known: it votes again in that view, once no slot of its past window is open", () => {
    const b = bounded({ lost: { view: view(0) } }, 0);
    expect(b.status().silence?.floor).toEqual({ view: 0, seq: 2 + L });
    const last = passWindow(b);
    expect(memories(last)).toEqual(["sound"]);
    expect(said(last)).toEqual([]);
    expect(said(b.from(0, prePrepare(0, 3 + L, a)))).toEqual([castVote("prepare", 0, 3 + L, a.digest)]);
  });

  test("with the last view unknown: not before it is f + 1 views past any that the others have reached", () => {
    const b = bounded({ lost: { view: undefined } }, 0);
    expect(memories(passWindow(b))).toEqual([]);
    const at = (v: number): readonly Effect[] => b.from(v % 4, { type: "new-view", signed: newViewOf(v, [0, 2, 3].map((id) => viewChangeOf(id, v, [], stableOf(2 + L, [0, 2, 3])))) });
    expect(memories(at(1))).toEqual([]);
    expect(said(b.from(0, prePrepare(1, 3 + L, a, 1)))).toEqual([]);
    expect(memories(at(2))).toEqual(["sound"]);
    expect(said(b.from(2, prePrepare(2, 3 + L, a)))).toEqual([castVote("prepare", 2, 3 + L, a.digest)]);
  });

  test("the last view known and left: it comes back inactive there, and votes in none below", () => {
    const b = memoryBench([], { lost: { view: view(3) } });
    expect(b.status()).toMatchObject({ view: 3, active: false });
    expect(codes(b.from(2, prePrepare(2, 1, a)))).toEqual(["VIEW_OLD"]);
  });

  test("a last view that its own signature shows not to be the last counts for nothing; the floor is past the proven one", () => {
    const b = memoryBench([], { lost: { view: view(0) } });
    b.from(2, recalled({ viewChange: viewChangeOf(1, 3) }));
    for (const id of [0, 3]) b.from(id, claim(0, 2));
    expect(b.status().silence?.floor).toMatchObject({ view: 3 });
  });

  test("the floor is never below a view that another place knows: log after log may have been lost since the others reached theirs", () => {
    const b = bounded({ lost: { view: undefined, why: "its data directory is an old copy" }, viewAtLeast: view(5) }, 0);
    expect(b.status().silence).toMatchObject({ floor: { view: 5, seq: 2 + L }, reason: expect.stringContaining("it does not vote, because its data directory is an old copy; ") as string });
    expect(bounded({ lost: { view: undefined }, viewAtLeast: view(1) }, 0).status().silence?.floor).toMatchObject({ view: 2 });
    // Where the log is whole that view says nothing; found to be old by an answer, the floor is above it as well.
    const old = memoryBench([ACCEPTED], { viewAtLeast: view(5) });
    expect(old.status().silence?.cause).toBe("recalling");
    old.from(2, recalled({ votes: [frameOf(1, vote("prepare", 0, 2, other))] }));
    for (const id of [0, 3]) old.from(id, claim(0, 2));
    expect(old.status().silence?.floor).toMatchObject({ view: 5 });
  });

  test("inactive in a view that it does not know to have asked for, it asks for the next when it may speak", () => {
    const b = memoryBench([], { lost: { view: view(1) } });
    for (const id of [0, 2, 3]) b.from(id, claim(0, 2));
    b.from(0, { type: "stable", stable: stableOf(2 + L, [0, 2, 3]) });
    expect(said(b.step({ type: "transferred", stable: stableOf(2 + L, [0, 2, 3]), obsolete: [] }))).toMatchObject([{ type: "view-change", view: 2 }]);
  });

  test("survives restarts: the floor is read back, and only lowered by what the others say now", () => {
    const record: LogRecord = { type: "amnesia", view: undefined, floor: { view: view(2), seq: seqNum(2 + L) } };
    const b = memoryBench([record]);
    for (const id of [0, 2, 3]) expect(records(b.from(id, claim(4, 4)))).toEqual([]);
    expect(b.status().silence).toMatchObject({ cause: "amnesia", floor: { view: 2, seq: 2 + L } });
    // Past it, the replica is like any other: it asks what it said since.
    const past = memoryBench([record, { type: "stable", stable: stableOf(2 + L, [0, 2, 3]) }, { type: "view-left", view: view(2), stable: stableOf(2 + L, [0, 2, 3]), prepared: [] }], {}, 2 + L);
    expect(past.status().silence?.cause).toBe("recalling");
  });

  test("checkpoints are executed and made durable, and not said", () => {
    const b = bounded({ lost: { view: view(0) } }, 0);
    for (const n of [1, 2]) decideSlot(b, 1, 0, n, batchOf(`s${n}`));
    expect(said(b.checkpointed(2))).toEqual([]);
  });
});

describe("a peer that is asked", () => {
  const recall = (v = 0): PeerMessage => ({ type: "recall", nonce: NONCE, view: view(v) });
  const answerOf = (effects: readonly Effect[]): Recalled | undefined => effects.flatMap((e) => (e.type === "send" && e.message.type === "recalled" ? [e.message.recalled] : []))[0];

  test("gives back votes and proposals of the asker in that view or later, and says where it stands", () => {
    const b = bench(configOf(1));
    b.from(0, prePrepare(0, 1, a));
    b.from(2, prepare(2, 0, 1, a.digest));
    b.from(2, commit(2, 0, 1, a.digest));
    expect(answerOf(b.from(2, recall()))).toMatchObject({ nonce: NONCE, sure: true, view: 0, seq: 0, votes: [{ body: { sender: 2 } }, { body: { sender: 2 } }], prePrepares: [] });
    expect(answerOf(b.from(0, recall()))).toMatchObject({ votes: [], prePrepares: [{ body: { sender: 0, seq: 1 } }] });
    expect(answerOf(b.from(3, recall(1)))).toMatchObject({ votes: [], prePrepares: [] });
  });

  test("gives back a view-change to a later view only", () => {
    const b = bench(configOf(1));
    b.from(2, { type: "view-change", signed: viewChangeOf(2, 3) });
    expect(answerOf(b.from(2, recall(2)))?.viewChange?.body.view).toBe(3);
    for (let i = 0; i < PARAMETERS.statusIntervalTicks; i++) b.tick();
    expect(answerOf(b.from(2, recall(3)))?.viewChange).toBeUndefined();
  });

  test("remembers by its certificates after a restart of its own", () => {
    const b = bench(configOf(1), recoveredOf(0, ACCEPTED, { type: "prepared", certificate: preparedOf(0, 1, a.digest, [2, 3]) }));
    expect(answerOf(b.from(2, recall()))?.votes.map(({ body }) => body.sender)).toEqual([2]);
    expect(new Set(answerOf(b.from(0, recall()))?.prePrepares.map(({ body }) => body.seq))).toEqual(new Set([1]));
  });

  test("answers a few times in a while, also while it recalls itself; with amnesia it says that its word does not count", () => {
    const b = memoryBench([]);
    expect(answerOf(b.from(2, recall()))).toMatchObject({ sure: true });
    for (let i = 0; i < 3; i++) expect(answerOf(b.from(2, recall()))).toBeDefined();
    expect(codes(b.from(2, recall()))).toEqual(["RATE_LIMITED"]);
    expect(answerOf(memoryBench([], { lost: { view: undefined } }).from(2, recall()))).toMatchObject({ sure: false });
  });
});
