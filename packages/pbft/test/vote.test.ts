/** PREPARE and COMMIT: counting (PBFT §4.2). */
import { describe, expect, test } from "vitest";
import { type Effect, epoch, seqNum, view } from "@narses/core";
import {
  batchOf, bench, castVote, codes, commit, committedOf, configOf, digestOf, executeOf, frameOf, newViewOf, persistCommitted, persistPrepared, persistPrePrepared, prepare, preparedOf,
  prePrepare, prePrepareOf, sign, types, viewChangeOf, vote,
} from "./helpers.ts";

const a = batchOf("a");
const D = a.digest;
const ownPrepare = frameOf(1, vote("prepare", 0, 1, D));
const ownCommit = frameOf(1, vote("commit", 0, 1, D));

describe("prepared", () => {
  test("PRE-PREPARE and Q−1 PREPAREs of backups, own included: certificate durable, then COMMIT", () => {
    const b = bench(configOf(1));
    b.from(0, prePrepare(0, 1, a));
    expect(b.own(ownPrepare)).toEqual([]);
    expect(b.from(2, prepare(2, 0, 1, D))).toEqual([persistPrepared(preparedOf(0, 1, D, [1, 2])), castVote("commit", 0, 1, D)]);
    expect(b.from(3, prepare(3, 0, 1, D))).toEqual([]);
  });

  test("the own vote does not count before it is durable and signed", () => {
    const b = bench(configOf(1));
    b.from(0, prePrepare(0, 1, a));
    expect(b.from(2, prepare(2, 0, 1, D))).toEqual([]);
    expect(types(b.own(ownPrepare))).toEqual(["persist", "vote"]);
  });

  test("votes before their PRE-PREPARE are kept", () => {
    const b = bench(configOf(1));
    for (const id of [2, 3]) expect(b.from(id, prepare(id, 0, 1, D))).toEqual([]);
    expect(b.from(0, prePrepare(0, 1, a))).toEqual([
      persistPrePrepared(0, 1, a, prePrepareOf(0, 1, D)), castVote("prepare", 0, 1, D), persistPrepared(preparedOf(0, 1, D, [2, 3])), castVote("commit", 0, 1, D),
    ]);
  });

  test("the primary's PREPARE never counts", () => {
    const b = bench(configOf(1));
    b.from(0, prePrepare(0, 1, a));
    b.own(ownPrepare);
    expect(codes(b.from(0, prepare(0, 0, 1, D)))).toEqual(["PRIMARY_PREPARE"]);
    expect(types(b.from(2, prepare(2, 0, 1, D)))).toEqual(["persist", "vote"]);
  });

  test("PREPAREs for another digest, view or slot do not add up", () => {
    const b = bench(configOf(1));
    b.from(0, prePrepare(0, 1, a));
    b.own(ownPrepare);
    expect(b.from(2, prepare(2, 0, 1, digestOf("other")))).toEqual([]);
    expect(b.from(3, prepare(3, 4, 1, D))).toEqual([]);
    expect(b.from(3, prepare(3, 0, 2, D))).toEqual([]);
  });

  test("one sender counts once", () => {
    const b = bench(configOf(1, 7));
    b.from(0, prePrepare(0, 1, a));
    b.own(ownPrepare);
    for (let i = 0; i < 5; i++) expect(b.from(2, prepare(2, 0, 1, D))).toEqual([]);
    expect(b.from(3, prepare(3, 0, 1, D))).toEqual([]);
    expect(types(b.from(4, prepare(4, 0, 1, D)))).toEqual(["persist", "vote"]);
  });

  test("a second, different vote is evidence, not a replacement", () => {
    const b = bench(configOf(1));
    b.from(0, prePrepare(0, 1, a));
    b.own(ownPrepare);
    b.from(2, prepare(2, 0, 1, digestOf("other")));
    expect(codes(b.from(2, prepare(2, 0, 1, D)))).toEqual(["EQUIVOCATION"]);
    expect(types(b.from(3, prepare(3, 0, 1, D)))).toEqual(["persist", "vote"]);
  });

  test("a vote of a later view replaces, one of an earlier view does not", () => {
    const b = bench(configOf(1));
    b.from(0, prePrepare(0, 1, a));
    b.own(ownPrepare);
    b.from(2, prepare(2, 3, 1, digestOf("later")));
    expect(b.from(2, prepare(2, 0, 1, D))).toEqual([]);
    expect(types(b.from(3, prepare(3, 0, 1, D)))).toEqual(["persist", "vote"]);
  });

  test("not while the view is left", () => {
    const b = bench(configOf(2));
    b.from(0, prePrepare(0, 1, a));
    b.own(frameOf(2, vote("prepare", 0, 1, D)));
    b.tick(10);
    expect(b.status().active).toBe(false);
    expect(b.from(3, prepare(3, 0, 1, D))).toEqual([]);
  });

  test("the primary prepares on Q−1 PREPAREs and its own PRE-PREPARE, once that is signed", () => {
    const b = bench(configOf(0));
    b.request("a");
    for (const id of [1, 2]) expect(b.from(id, prepare(id, 0, 1, D))).toEqual([]);
    expect(b.own(prePrepareOf(0, 1, D))).toEqual([persistPrepared(preparedOf(0, 1, D, [1, 2])), castVote("commit", 0, 1, D)]);
  });
});

describe("committed", () => {
  test("Q COMMITs decide: lazily durable, executed", () => {
    const b = bench(configOf(1));
    b.from(0, prePrepare(0, 1, a));
    b.own(ownCommit);
    expect(b.from(0, commit(0, 0, 1, D))).toEqual([]);
    const certificate = committedOf(0, 1, D, [0, 1, 2]);
    expect(b.from(2, commit(2, 0, 1, D))).toEqual([persistCommitted(certificate), executeOf(certificate, a, false)]);
    expect(b.from(3, commit(3, 0, 1, D))).toEqual([]);
  });

  test("decides without having prepared, and without the proposal: executed when the payload comes", () => {
    const b = bench(configOf(1));
    for (const id of [0, 2]) b.from(id, commit(id, 0, 1, D));
    const certificate = committedOf(0, 1, D, [0, 2, 3]);
    expect(b.from(3, commit(3, 0, 1, D))).toEqual([persistCommitted(certificate)]);
    expect(b.from(0, prePrepare(0, 1, a))).toContainEqual(executeOf(certificate, a, false));
  });

  test("votes of different views never add up", () => {
    const b = bench(configOf(1));
    b.from(0, prePrepare(0, 1, a));
    for (const [id, v] of [[0, 0], [2, 1], [3, 2]] as const) expect(b.from(id, commit(id, v, 1, D))).toEqual([]);
  });

  test("decides by Q COMMITs of a later view while still in the old one", () => {
    const b = bench(configOf(1));
    b.from(0, prePrepare(0, 1, a));
    for (const id of [0, 2]) b.from(id, commit(id, 3, 1, D));
    const certificate = committedOf(3, 1, D, [0, 2, 3]);
    expect(b.from(3, commit(3, 3, 1, D))).toEqual([persistCommitted(certificate), executeOf(certificate, a, false)]);
  });

  test("a decision holds while the view is left", () => {
    const b = bench(configOf(2));
    b.from(0, prePrepare(0, 1, a));
    b.tick(10);
    for (const id of [0, 1]) b.from(id, commit(id, 0, 1, D));
    expect(types(b.from(3, commit(3, 0, 1, D)))).toEqual(["persist", "execute"]);
  });

  test("one frame may carry votes of many slots and both phases", () => {
    const b = bench(configOf(1));
    const c = batchOf("c");
    b.from(0, prePrepare(0, 1, a));
    b.from(0, prePrepare(0, 2, c));
    b.own(frameOf(1, vote("prepare", 0, 1, D), vote("prepare", 0, 2, c.digest)));
    const effects = b.from(2, { type: "votes", signed: frameOf(2, vote("prepare", 0, 1, D), vote("prepare", 0, 2, c.digest)) });
    expect(types(effects)).toEqual(["persist", "vote", "persist", "vote"]);
    const certificates = effects.flatMap((e: Effect) => (e.type === "persist" && e.record.type === "prepared" ? [e.record.certificate] : []));
    expect(certificates.map((p) => p.prepares.map((ref) => ref.index))).toEqual([[0, 0], [1, 1]]);
  });
});

describe("bounds of a vote", () => {
  test("at or below h it is settled: silence", () => {
    expect(bench(configOf(1)).from(2, prepare(2, 0, 0, D))).toEqual([]);
  });

  test("more than two windows above h it is refused and leaves nothing behind", () => {
    const b = bench(configOf(1));
    expect(b.from(2, prepare(2, 0, 8, D))).toEqual([]);
    expect(codes(b.from(2, prepare(2, 0, 9, D)))).toEqual(["SEQ_ABOVE_WINDOW"]);
  });

  test("another epoch is refused", () => {
    const signed = sign({ ...frameOf(2, vote("prepare", 0, 1, D)).body, epoch: epoch(1) });
    expect(codes(bench(configOf(1)).from(2, { type: "votes", signed }))).toEqual(["EPOCH_FOREIGN"]);
  });
});

describe("n = 1 and n = 2", () => {
  test("alone, every phase completes on the own signed votes", () => {
    const b = bench(configOf(0, 1));
    expect(types(b.request("a"))).toEqual(["persist", "pre-prepare"]);
    expect(types(b.own(prePrepareOf(0, 1, D)))).toEqual(["persist", "vote"]);
    const frame = frameOf(0, vote("commit", 0, 1, D));
    const certificate = { view: view(0), seq: seqNum(1), digest: D, commits: [{ frame, index: 0 }] };
    expect(b.own(frame)).toEqual([persistCommitted(certificate), executeOf(certificate, a, false)]);
  });

  test("of two, both are needed", () => {
    const b = bench(configOf(0, 2));
    b.request("a");
    expect(b.own(prePrepareOf(0, 1, D))).toEqual([]);
    expect(types(b.from(1, prepare(1, 0, 1, D)))).toEqual(["persist", "vote"]);
    expect(b.own(frameOf(0, vote("commit", 0, 1, D)))).toEqual([]);
    expect(types(b.from(1, commit(1, 0, 1, D)))).toEqual(["persist", "execute"]);
  });
});

describe("after a new view", () => {
  test("votes of the old view count towards decisions only", () => {
    const b = bench(configOf(2));
    b.from(0, prePrepare(0, 1, a));
    b.from(1, { type: "new-view", signed: newViewOf(1, [0, 1, 3].map((id) => viewChangeOf(id, 1))) });
    for (const id of [1, 3]) expect(b.from(id, prepare(id, 0, 1, D))).toEqual([]);
    for (const id of [0, 1]) b.from(id, commit(id, 0, 1, D));
    expect(types(b.from(3, commit(3, 0, 1, D)))).toContain("persist");
  });
});
