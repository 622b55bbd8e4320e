/** PRE-PREPARE: what a backup accepts, and each way it does not (PBFT §4.2). */
import { describe, expect, test } from "vitest";
import { epoch, NULL_DIGEST, type PeerMessage, seqNum, view } from "@narses/core";
import {
  acts, batchOf, bench, bundle, castVote, codes, commit, configOf, decideSlot, digestOf, EPOCH, frameOf, leaving, makeBatch, newViewOf, persistPrePrepared, prePrepare, prePrepareOf,
  prepareSlot, sign, stableOf, types, viewChangeOf, vote, WALL_MS, vouch,
} from "./helpers.ts";

const a = batchOf("a");

describe("accepting", () => {
  test("the first proposal for a slot: durable, then PREPARE", () => {
    expect(bench(configOf(1)).from(0, prePrepare(0, 1, a))).toEqual([persistPrePrepared(0, 1, a, prePrepareOf(0, 1, a.digest)), castVote("prepare", 0, 1, a.digest)]);
  });

  test("out of order within the window", () => {
    const b = bench(configOf(1));
    expect(types(b.from(0, prePrepare(0, 4, a)))).toEqual(["persist", "vote"]);
    expect(types(b.from(0, prePrepare(0, 1, batchOf("b"))))).toEqual(["persist", "vote"]);
  });

  test("relayed by another backup: the signature counts, not the channel", () => {
    expect(types(bench(configOf(1)).from(3, prePrepare(0, 1, a)))).toEqual(["persist", "vote"]);
  });

  test("the same again says nothing", () => {
    const b = bench(configOf(1));
    b.from(0, prePrepare(0, 1, a));
    expect(b.from(0, prePrepare(0, 1, a))).toEqual([]);
  });

  test("the primary does not vote for its own proposal, whoever sends it back", () => {
    const b = bench(configOf(0));
    b.request("a");
    expect(b.from(2, prePrepare(0, 1, a))).toEqual([]);
  });

  test("above H it is kept, and taken up when the window moves", () => {
    const b = bench(configOf(1));
    expect(b.from(0, prePrepare(0, 5, a))).toEqual([]);
    for (let n = 1; n <= 2; n++) decideSlot(b, 1, 0, n, batchOf(`s${n}`));
    b.from(0, { type: "stable", stable: stableOf(2, [0, 2, 3]) });
    expect(acts(b.checkpointed(2))).toEqual([
      ...vouch(2),
      { type: "persist", lazy: false, record: { type: "stable", stable: stableOf(2, [0, 2, 3]) } },
      { type: "truncate", seq: seqNum(2) },
      persistPrePrepared(0, 5, a, prePrepareOf(0, 5, a.digest)),
      castVote("prepare", 0, 5, a.digest),
    ]);
  });
});

describe("refusing", () => {
  const own = (change: object): PeerMessage => ({ type: "pre-prepare", signed: sign({ ...prePrepareOf(0, 1, a.digest).body, ...change }), batch: a });

  test.each<readonly [string, PeerMessage, string]>([
    ["another epoch", own({ epoch: epoch(1) }), "EPOCH_FOREIGN"],
    ["a later view", own({ view: view(1), sender: 1 }), "VIEW_FUTURE"],
    ["a sender that is not the primary", own({ sender: 2 }), "NOT_PRIMARY"],
    ["a slot at the low watermark", own({ seq: seqNum(0) }), "SEQ_BELOW_WINDOW"],
    ["a slot more than a window above H", own({ seq: seqNum(9) }), "SEQ_ABOVE_WINDOW"],
  ])("%s", (_name, message, code) => {
    const b = bench(configOf(1));
    const effects = b.from(0, message);
    expect(codes(effects)).toEqual([code]);
    expect(acts(effects)).toEqual([]);
    expect(b.status().openSlots).toBe(0);
  });

  test("an older view", () => {
    const b = bench(configOf(2));
    b.from(1, { type: "new-view", signed: newViewOf(1, [0, 1, 3].map((id) => viewChangeOf(id, 1))) });
    expect(codes(b.from(0, prePrepare(0, 1, a)))).toEqual(["VIEW_OLD"]);
  });

  test("anything while waiting for NEW-VIEW", () => {
    const b = bench(configOf(2));
    b.request("x");
    b.tick(10);
    expect(codes(b.from(1, prePrepare(1, 1, a)))).toEqual(["VIEW_INACTIVE"]);
  });

  test("a slot the new view has settled", () => {
    const b = bench(configOf(2));
    const p = prepareSlot(bench(configOf(3)), 3, 0, 1, a);
    b.from(1, { type: "new-view", signed: newViewOf(1, [viewChangeOf(0, 1), viewChangeOf(1, 1), viewChangeOf(3, 1, [p])]) });
    expect(codes(b.from(1, prePrepare(1, 1, batchOf("b"))))).toEqual(["EQUIVOCATION"]);
    expect(b.status().view).toBe(2);
  });

  test("a slot below the checkpoint that the new view starts from, also where this replica has not got so far", () => {
    const b = bench(configOf(2));
    b.from(1, { type: "new-view", signed: newViewOf(1, [0, 1, 3].map((id) => viewChangeOf(id, 1, [], stableOf(2, [0, 1, 3])))) });
    const effects = b.from(1, prePrepare(1, 2, a));
    expect([codes(effects), acts(effects)]).toEqual([["SEQ_BELOW_WINDOW"], []]);
  });

  test("a batch over the caps: that primary is left at once", () => {
    const b = bench(configOf(1, 4, { batchOperationsMax: 2 }));
    const large = makeBatch(EPOCH, WALL_MS, [bundle("l", 3)]);
    const effects = b.from(0, prePrepare(0, 1, large));
    expect(codes(effects)).toEqual(["BATCH_INVALID"]);
    expect(acts(effects)).toEqual(leaving(1));
    const small = bench(configOf(1, 4, { batchBytesMax: 1_024 }));
    expect(acts(small.from(0, prePrepare(0, 1, { ...batchOf("l"), bytes: new Uint8Array(600 << 10) })))).toEqual(leaving(1));
  });

  test("a batch of another epoch", () => {
    const foreign = makeBatch(epoch(7) as typeof EPOCH, WALL_MS, [bundle("a")]);
    expect(codes(bench(configOf(1)).from(0, prePrepare(0, 1, foreign)))).toEqual(["BATCH_INVALID"]);
  });

  test("an empty batch while heartbeats are off: no correct primary proposes one", () => {
    const b = bench(configOf(1));
    const effects = b.from(0, prePrepare(0, 1, makeBatch(EPOCH, WALL_MS, [])));
    expect(codes(effects)).toEqual(["BATCH_INVALID"]);
    expect(acts(effects)).toEqual(leaving(1));
  });

  test("two signed proposals for one slot above H: evidence as well", () => {
    const b = bench(configOf(1));
    expect(acts(b.from(0, prePrepare(0, 6, a)))).toEqual([]);
    expect(b.engine.screen(prePrepare(0, 6, batchOf("b")))).toBeUndefined();
    const effects = b.from(0, prePrepare(0, 6, batchOf("b")));
    expect(codes(effects)).toEqual(["EQUIVOCATION"]);
    expect(acts(effects)).toEqual(leaving(1));
  });

  test("two signed proposals for one slot: evidence, and the view is left", () => {
    const b = bench(configOf(1));
    b.from(0, prePrepare(0, 1, a));
    const effects = b.from(2, prePrepare(0, 1, batchOf("b")));
    expect(codes(effects)).toEqual(["EQUIVOCATION"]);
    expect(acts(effects)).toEqual(leaving(1));
  });

  test("another digest for a slot that is decided", () => {
    const b = bench(configOf(1));
    for (const id of [0, 2, 3]) b.from(id, commit(id, 0, 1, a.digest));
    const effects = b.from(0, prePrepare(0, 1, batchOf("b")));
    expect(codes(effects)).toEqual(["EQUIVOCATION"]);
    expect(acts(effects)).toEqual(leaving(1));
  });

  test("a slot executed and covered by a certified checkpoint, though the own state is not durable yet", () => {
    // r1 has voted in slot 2 and forgotten the slot: a second proposal for it must not get a second vote.
    const b = bench(configOf(1));
    decideSlot(b, 1, 0, 1, batchOf("s1"));
    decideSlot(b, 1, 0, 2, batchOf("s2"));
    b.from(0, { type: "stable", stable: stableOf(2, [0, 2, 3]) });
    const effects = b.from(0, prePrepare(0, 2, batchOf("other")));
    expect(effects.filter((e) => e.type === "vote" || e.type === "persist" && e.record.type === "pre-prepared")).toEqual([]);
  });
});

describe("payloads", () => {
  test("a proposal of O without its payload is fetched, and prepared when it comes", () => {
    const b = bench(configOf(2));
    const p = { prePrepare: prePrepareOf(0, 1, a.digest), prepares: [1, 3].map((id) => ({ frame: frameOf(id, vote("prepare", 0, 1, a.digest)), index: 0 })) };
    const installed = b.from(1, { type: "new-view", signed: newViewOf(1, [viewChangeOf(0, 1), viewChangeOf(1, 1, [p]), viewChangeOf(3, 1)]) });
    // W peers are asked: one of them is correct, and others are asked the next time.
    expect(acts(installed).slice(-2)).toEqual([3, 0].map((to) => ({ type: "send", to, message: { type: "fetch-batch", digest: a.digest } })));
    expect(b.from(3, { type: "batch", batch: a })).toEqual([persistPrePrepared(1, 1, a, prePrepareOf(1, 1, a.digest)), castVote("prepare", 1, 1, a.digest)]);
  });

  test("a null batch needs none", () => {
    const b = bench(configOf(2));
    const p = { prePrepare: prePrepareOf(0, 2, a.digest), prepares: [1, 3].map((id) => ({ frame: frameOf(id, vote("prepare", 0, 2, a.digest)), index: 0 })) };
    const effects = b.from(1, { type: "new-view", signed: newViewOf(1, [viewChangeOf(0, 1), viewChangeOf(1, 1, [p]), viewChangeOf(3, 1)]) });
    expect(effects).toContainEqual(castVote("prepare", 1, 1, NULL_DIGEST));
    expect(effects).not.toContainEqual(castVote("prepare", 1, 2, a.digest));
  });

  test("a payload nobody asked for is refused", () => {
    expect(codes(bench(configOf(1)).from(0, { type: "batch", batch: a }))).toEqual(["UNSOLICITED"]);
    expect(codes(bench(configOf(1)).from(0, { type: "batch", batch: { ...a, digest: digestOf("?") } }))).toEqual(["UNSOLICITED"]);
  });
});
