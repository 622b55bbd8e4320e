/** VIEW-CHANGE: leaving, validity, joining (PBFT §4.4). */
import { describe, expect, test } from "vitest";
import { epoch, type Input, type PreparedCertificate, rejection, replicaId, type Signed, view, type ViewChange } from "@narses/core";
import {
  acts, batchOf, bench, type Bench, codes, configOf, decideSlot, digestOf, frameOf, GENESIS, leaving, newViewOf, prePrepare, preparedOf, prepareSlot,
  sign, stableOf, types, viewChangeOf, vote,
} from "./helpers.ts";

const a = batchOf("a");
const viewChange = (b: Bench, signed: Signed<ViewChange>, from: number = signed.body.sender): ReturnType<Bench["from"]> => b.from(from, { type: "view-change", signed });

describe("leaving", () => {
  test("durable first, then VIEW-CHANGE with every prepared certificate above h, ascending", () => {
    const b = bench(configOf(2));
    const second = prepareSlot(b, 2, 0, 2, batchOf("b"));
    const first = prepareSlot(b, 2, 0, 1, a);
    expect(acts(b.tick(10))).toEqual(leaving(1, [first, second]));
  });

  test("what is only pre-prepared is not reported", () => {
    const b = bench(configOf(2));
    b.from(0, prePrepare(0, 1, a));
    expect(acts(b.tick(10))).toEqual(leaving(1, []));
  });

  test("a decided slot above h is reported still: others may not know", () => {
    const b = bench(configOf(2));
    const certificate = decideSlot(b, 2, 0, 1, a);
    b.request("x");
    expect(acts(b.tick(10))).toEqual(leaving(1, [certificate]));
  });

  test("the stable checkpoint goes along, with its proof; slots at or below it do not", () => {
    const b = bench(configOf(2));
    for (const n of [1, 2]) decideSlot(b, 2, 0, n, batchOf(`s${n}`));
    const third = prepareSlot(b, 2, 0, 3, a);
    b.checkpointed(2);
    b.from(0, { type: "stable", stable: stableOf(2, [0, 1, 3]) });
    expect(acts(b.tick(10))).toEqual(leaving(1, [third], stableOf(2, [0, 1, 3])));
  });

  test("certified but not yet durable here: no slot below the reported checkpoint may be missing", () => {
    // Slots 1 and 2 are executed and covered by a proof; the own state is not on disk. Whatever h is reported, P must be complete above it.
    const b = bench(configOf(2));
    for (const n of [1, 2]) decideSlot(b, 2, 0, n, batchOf(`s${n}`));
    b.from(0, { type: "stable", stable: stableOf(2, [0, 1, 3]) });
    b.request("x");
    const [left] = b.tick(10).flatMap((e) => (e.type === "view-change" ? [e] : []));
    const reported = left?.prepared.map((p) => p.prePrepare.body.seq) ?? [];
    expect(left?.stable.seq === 2 ? [1, 2] : reported).toEqual([1, 2]);
  });

  test("misbehaviour of the primary, proven by the verifier, is a reason; of another replica it is not", () => {
    const misbehaviour = (id: number): Input => ({ type: "misbehaviour", replica: replicaId(id), rejection: rejection("SIGNATURE_INVALID", "forged") });
    const b = bench(configOf(2));
    expect(types(b.step(misbehaviour(3)))).toEqual(["rejected"]);
    expect(acts(b.step(misbehaviour(0)))).toEqual(leaving(1));
    expect(types(b.step(misbehaviour(1)))).toEqual(["rejected"]);
  });
});

describe("validity: an invalid VIEW-CHANGE is discarded whole", () => {
  const p = (v: number, n: number): PreparedCertificate => preparedOf(v, n, a.digest, [0, 1, 2, 3].filter((id) => id !== v % 4).slice(0, 2));
  const forged = (change: Partial<ViewChange>): Signed<ViewChange> => sign({ ...viewChangeOf(3, 5).body, ...change });

  test.each<readonly [string, Signed<ViewChange>]>([
    ["a certificate that does not add up", viewChangeOf(3, 5, [{ ...p(0, 1), prepares: p(0, 1).prepares.slice(1) }])],
    ["a certificate of the view it goes to", viewChangeOf(3, 5, [p(5, 1)])],
    ["a certificate of a later view", viewChangeOf(3, 5, [p(6, 1)])],
    ["two certificates for one slot", viewChangeOf(3, 5, [p(0, 1), p(1, 1)])],
    ["certificates out of order", viewChangeOf(3, 5, [p(0, 2), p(0, 1)])],
    ["a certificate at or below its checkpoint", viewChangeOf(3, 5, [p(0, 2)], stableOf(2, [0, 1, 3]))],
    ["a certificate beyond its window", viewChangeOf(3, 5, [p(0, 5)])],
    ["a checkpoint proof that does not add up", viewChangeOf(3, 5, [], stableOf(2, [0, 1]))],
    ["a genesis that is not ours", viewChangeOf(3, 5, [], { ...GENESIS, root: digestOf("other") })],
    ["view 0", forged({ view: view(0) })],
  ])("%s", (_name, signed) => {
    const b = bench(configOf(2));
    expect(acts(viewChange(b, signed))).toEqual([]);
    // It does not count: with one valid VIEW-CHANGE beside it, nobody joins.
    expect(acts(viewChange(b, viewChangeOf(1, 5)))).toEqual([]);
    expect(b.status().view).toBe(0);
  });

  test("its reason is VIEW_CHANGE_INVALID, misbehaviour", () => {
    expect(codes(viewChange(bench(configOf(2)), viewChangeOf(3, 5, [p(5, 1)])))).toEqual(["VIEW_CHANGE_INVALID"]);
  });

  test("another epoch, or an old view, is only ignored", () => {
    const b = bench(configOf(2));
    expect(codes(viewChange(b, forged({ epoch: epoch(1) })))).toEqual(["EPOCH_FOREIGN"]);
    b.from(1, { type: "new-view", signed: newViewOf(1, [0, 1, 3].map((id) => viewChangeOf(id, 1))) });
    expect(codes(viewChange(b, viewChangeOf(3, 1)))).toEqual(["VIEW_OLD"]);
  });

  test("a valid one at its limits is taken: L certificates above h, of the view just before", () => {
    const b = bench(configOf(2));
    expect(viewChange(b, viewChangeOf(3, 5, [1, 2, 3, 4].map((n) => p(n, n))))).toEqual([]);
    expect(acts(viewChange(b, viewChangeOf(1, 5)))).toEqual(leaving(5));
  });
});

describe("join rule: the W-th highest view among the others", () => {
  test("one other replica drags nobody, however far and however often", () => {
    const b = bench(configOf(2));
    for (const v of [1, 7, 1_000_000, Number.MAX_SAFE_INTEGER]) expect(viewChange(b, viewChangeOf(3, v))).toEqual([]);
    expect(b.status().view).toBe(0);
  });

  test("W others: to the lower of their views", () => {
    const b = bench(configOf(2));
    viewChange(b, viewChangeOf(3, 9));
    expect(acts(viewChange(b, viewChangeOf(1, 3)))).toEqual(leaving(3));
  });

  test("only the highest VIEW-CHANGE of a sender counts", () => {
    const b = bench(configOf(2));
    viewChange(b, viewChangeOf(3, 9));
    expect(viewChange(b, viewChangeOf(3, 4))).toEqual([]);
    expect(acts(viewChange(b, viewChangeOf(1, 12)))).toEqual(leaving(9));
  });

  test("the own VIEW-CHANGE does not count towards W", () => {
    const b = bench(configOf(2));
    b.request("x");
    b.tick(10);
    b.own(viewChangeOf(2, 1));
    expect(viewChange(b, viewChangeOf(3, 5))).toEqual([]);
    expect(b.status().view).toBe(1);
  });

  test("with n = 7, f = 2 two liars drag nobody", () => {
    const b = bench(configOf(2, 7));
    for (const id of [5, 6]) viewChange(b, viewChangeOf(id, 8));
    expect(b.status().view).toBe(0);
    viewChange(b, viewChangeOf(4, 3));
    expect(b.status().view).toBe(3);
  });

  test("relayed by another it counts for its signer", () => {
    const b = bench(configOf(2));
    viewChange(b, viewChangeOf(3, 1), 0);
    viewChange(b, viewChangeOf(3, 1), 1);
    expect(b.status().view).toBe(0);
    viewChange(b, viewChangeOf(0, 1), 3);
    expect(b.status().view).toBe(1);
  });
});

describe("what a VIEW-CHANGE teaches", () => {
  test("its checkpoint proof counts", () => {
    const b = bench(configOf(2));
    for (const n of [1, 2]) decideSlot(b, 2, 0, n, batchOf(`s${n}`));
    b.checkpointed(2);
    expect(types(viewChange(b, viewChangeOf(3, 1, [], stableOf(2, [0, 1, 3]))))).toEqual(["persist", "truncate"]);
    expect(b.status().stableSeq).toBe(2);
  });
});

describe("no vote after leaving", () => {
  test("not for proposals of the view left, nor for the view to come before its NEW-VIEW", () => {
    const b = bench(configOf(2));
    b.from(0, prePrepare(0, 1, a));
    b.own(frameOf(2, vote("prepare", 0, 1, a.digest)));
    b.request("x");
    b.tick(10);
    expect(acts(b.from(0, prePrepare(0, 2, batchOf("b"))))).toEqual([]);
    expect(acts(b.from(1, prePrepare(1, 1, batchOf("c"))))).toEqual([]);
  });
});
