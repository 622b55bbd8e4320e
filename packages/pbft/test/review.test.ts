/**
 * Sequences that an adversarial review broke the engine with, kept as they were found. Each names what went wrong.
 */
import { NULL_DIGEST, seqNum, view, type Effect } from "@narses/core";
import { describe, expect, test } from "vitest";
import {
  acts, batchOf, bench, checkpointOf, codes, commit, committedOf, configOf, decideSlot, digestOf, GENESIS, newViewOf, persistPrePrepared, prePrepare, prePrepareOf, prepareSlot, preparedOf,
  recoveredOf, rootOf, stableOf, statusOf, types, viewChangeOf,
} from "./helpers.ts";

const B1 = batchOf("a");
const B2 = batchOf("b");
const EVIL = batchOf("evil");

describe("between a certified checkpoint and the own one, a replica remembers what it voted", () => {
  /** Replica 3 has executed 1 and 2; the others certified checkpoint 2 while its own state is still being written. */
  function waiting(): ReturnType<typeof bench> {
    const b = bench(configOf(3));
    decideSlot(b, 3, 0, 1, B1);
    decideSlot(b, 3, 0, 2, B2);
    for (const id of [0, 1, 2]) b.from(id, { type: "checkpoint", signed: checkpointOf(id, 2, rootOf(2)) });
    expect(b.status()).toMatchObject({ stableSeq: 0, executedSeq: 2 });
    return b;
  }

  test("a second proposal for a slot it voted in is equivocation, not a new slot", () => {
    const effects = waiting().from(0, prePrepare(0, 2, EVIL));
    expect(codes(effects)).toEqual(["EQUIVOCATION"]);
    expect(types(effects)).not.toContain("vote");
  });

  test("its view-change still reports the certificates above its stable checkpoint", () => {
    const b = waiting();
    const left = acts(b.from(0, prePrepare(0, 1, EVIL))).find((e): e is Extract<Effect, { type: "view-change" }> => e.type === "view-change");
    expect(left?.stable).toEqual(GENESIS);
    expect(left?.prepared.map((p) => [p.prePrepare.body.seq, p.prePrepare.body.digest])).toEqual([[1, B1.digest], [2, B2.digest]]);
  });
});

test("slots it only learnt, and a certified checkpoint covers, are let go while it catches up", () => {
  const b = bench(configOf(3));
  b.from(1, { type: "stable", stable: stableOf(4, [0, 1, 2]) });
  b.from(1, { type: "decision", certificate: committedOf(0, 1, B1.digest, [0, 1, 2]), batch: B1 });
  b.executed(1);
  // Not held any more: a vote for it makes the slot anew instead of completing anything.
  expect(b.from(1, { type: "fetch-batch", digest: B1.digest })).toEqual([]);
});

test("a view that brings nothing doubles the next timeout, one that executes does not", () => {
  const b = bench(configOf(1));
  b.from(2, { type: "forward", bundle: B1.bundles[0] as (typeof B1.bundles)[number] });
  expect(types(b.tick(10))).toContain("view-left");
  for (const id of [2, 3]) b.from(id, { type: "view-change", signed: viewChangeOf(id, 2) });
  b.from(2, { type: "new-view", signed: newViewOf(2, [0, 2, 3].map((id) => viewChangeOf(id, 2))) });
  expect(b.status()).toMatchObject({ view: 2, active: true });
  expect(types(b.tick(19))).not.toContain("view-left");
  expect(types(b.tick(1))).toContain("view-left");
});

test("a primary that works through a long queue is not blamed for its length; one that overtakes is", () => {
  const b = bench(configOf(3, 4, { logWindow: 400, checkpointInterval: 200 }));
  b.request("waits");
  const serve = (n: number, name: string): void => {
    b.request(name);
    const certificate = committedOf(0, n, batchOf(name).digest, [0, 1, 2]);
    b.from(0, prePrepare(0, n, batchOf(name)));
    b.from(1, { type: "decision", certificate, batch: batchOf(name) });
    b.executed(n);
  };
  for (let n = 1; n <= 30; n++) {
    serve(n, `later ${n}`);
    expect(types(b.tick(1))).not.toContain("view-left");
  }
  for (let n = 31; n <= 300; n++) serve(n, `later ${n}`);
  expect(types(b.tick(1))).toContain("view-left");
});

test("decisions are taken in and handed over only a window ahead of execution, whoever streams them", () => {
  const b = bench(configOf(3));
  for (let n = 1; n <= 20; n++) b.from(1, { type: "decision", certificate: committedOf(0, n, NULL_DIGEST, [0, 1, 2]), batch: undefined });
  const before = b.status();
  expect(before.executedSeq).toBe(0);
  const handed = (effects: readonly Effect[]): readonly number[] => effects.flatMap((e) => (e.type === "execute" ? [e.seq] : []));
  expect(handed(b.executed(1))).toEqual([5]);
  expect(codes(b.from(1, { type: "decision", certificate: committedOf(0, 10, NULL_DIGEST, [0, 1, 2]), batch: undefined }))).toEqual(["SEQ_ABOVE_WINDOW"]);
});

test("after a restart, an own proposal is never paired with the pre-prepare of an older view", () => {
  const old = persistPrePrepared(0, 1, B1, prePrepareOf(0, 1, B1.digest));
  const own = persistPrePrepared(1, 1, B1);
  const records = [old, own].flatMap((e) => (e.type === "persist" ? [e.record] : []));
  const newView = { type: "new-view" as const, view: view(1), viewChanges: [0, 1, 2].map((id) => viewChangeOf(id, 1)), signed: newViewOf(1, [0, 1, 2].map((id) => viewChangeOf(id, 1))) };
  const b = bench(configOf(1), recoveredOf(0, ...records, newView));
  expect(types(b.from(2, commit(2, 1, 1, B1.digest)))).toEqual([]);
  expect(types(b.started)).toContain("pre-prepare");
});

describe("screening, before any signature is checked", () => {
  test("certificates that do not add up end there, and so does what is settled", () => {
    const b = bench(configOf(3));
    const screen = (message: Parameters<typeof b.engine.screen>[0]): string | undefined => b.engine.screen(message)?.code;
    const short = preparedOf(0, 1, B1.digest, [1]);
    expect(screen({ type: "view-change", signed: viewChangeOf(1, 1, [short]) })).toBe("VIEW_CHANGE_INVALID");
    expect(screen({ type: "view-change", signed: viewChangeOf(1, 1, [preparedOf(0, 1, B1.digest, [1, 2])]) })).toBeUndefined();
    expect(screen({ type: "decision", certificate: committedOf(0, 1, B1.digest, [0, 0, 1]), batch: B1 })).toBe("CERTIFICATE_INVALID");
    expect(screen({ type: "stable", stable: { ...stableOf(2, [0, 1]), root: rootOf(2) } })).toBe("CERTIFICATE_INVALID");
    expect(screen(prePrepare(4, 1, B1, 0))).toBe("VIEW_FUTURE");
    expect(screen(prePrepare(0, 1, B1, 1))).toBe("NOT_PRIMARY");
    expect(screen(prePrepare(0, 99, B1))).toBe("SEQ_ABOVE_WINDOW");
    decideSlot(b, 3, 0, 1, B1);
    expect(screen(commit(2, 0, 1, B1.digest))).toBe("DUPLICATE");
    expect(screen(prePrepare(0, 1, B1))).toBe("DUPLICATE");
    expect(screen(prePrepare(0, 1, EVIL))).toBeUndefined(); // equivocation must be seen
  });

  test("two digests certified for one view in unverified bytes are refused, not an invariant violation", () => {
    const b = bench(configOf(3));
    const conflicting = [viewChangeOf(0, 5, [preparedOf(0, 1, B1.digest, [1, 2])]), viewChangeOf(1, 5, [preparedOf(0, 1, B2.digest, [1, 2])]), viewChangeOf(2, 5)];
    const honest = newViewOf(5, [0, 1, 2].map((id) => viewChangeOf(id, 5)));
    const forged = { ...honest, body: { ...honest.body, viewChanges: conflicting } };
    expect(b.engine.screen({ type: "new-view", signed: forged })?.code).toBe("NEW_VIEW_INVALID");
  });

  test("it changes nothing", () => {
    const b = bench(configOf(3));
    prepareSlot(b, 3, 0, 1, B1);
    const before = JSON.stringify(b.status());
    b.engine.screen(prePrepare(0, 2, B2));
    b.engine.screen(commit(1, 0, 3, digestOf("x")));
    b.engine.screen(statusOf({ executedSeq: seqNum(9) }));
    b.engine.screen({ type: "new-view", signed: newViewOf(2, [0, 1, 2].map((id) => viewChangeOf(id, 2))) });
    expect(JSON.stringify(b.status())).toBe(before);
  });
});

test("a primary that missed a view change and follows by decisions does not propose below them", () => {
  const b = bench(configOf(0));
  for (let n = 1; n <= 3; n++) {
    b.from(1, { type: "decision", certificate: committedOf(1, n, NULL_DIGEST, [1, 2, 3]), batch: undefined });
    b.executed(n);
  }
  const proposed = b.request("late").flatMap((e) => (e.type === "pre-prepare" ? [e.seq] : []));
  expect(proposed).toEqual([4]);
});
