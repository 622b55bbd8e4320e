/** Checkpoints, watermarks, truncation (PBFT §4.3). */
import { describe, expect, test } from "vitest";
import { type Effect, epoch, seqNum } from "@narses/core";
import { batchOf, bench, type Bench, checkpointOf, codes, configOf, decideSlot, digestOf, frameOf, newViewOf, persistPrePrepared, prePrepare, prePrepareOf, rootOf, sign, stableOf, types, viewChangeOf, vote, vouch, commit, castVote } from "./helpers.ts";

const from = (b: Bench, sender: number, n: number, root = rootOf(n)): readonly Effect[] => b.from(sender, { type: "checkpoint", signed: checkpointOf(sender, n, root) });
/** Replica 1 with slots 1 … n executed. */
function ahead(n: number): Bench {
  const b = bench(configOf(1));
  for (let i = 1; i <= n; i++) decideSlot(b, 1, 0, i, batchOf(`s${i}`));
  return b;
}
const stablePersisted = (n: number, senders: readonly number[]): readonly Effect[] => [
  { type: "persist", lazy: false, record: { type: "stable", stable: stableOf(n, senders) } },
  { type: "truncate", seq: seqNum(n) },
];

describe("the own checkpoint", () => {
  test("is signed when the state is durable", () => {
    expect(ahead(2).checkpointed(2)).toEqual(vouch(2));
  });

  test("counts when it comes back signed", () => {
    const b = ahead(2);
    b.checkpointed(2);
    from(b, 0, 2);
    from(b, 2, 2);
    expect(b.status().stableSeq).toBe(0);
    expect(b.own(checkpointOf(1, 2, rootOf(2)))).toEqual(stablePersisted(2, [0, 1, 2]));
    expect([b.status().stableSeq, b.status().highWatermark]).toEqual([2, 6]);
  });

  test("at or below h it is of no interest", () => {
    const b = ahead(2);
    b.checkpointed(2);
    for (const id of [0, 2, 3]) from(b, id, 2);
    expect(b.checkpointed(2)).toEqual([]);
  });
});

describe("stability", () => {
  test("Q matching CHECKPOINTs: proof durable first, then the log is cut", () => {
    const b = ahead(2);
    b.checkpointed(2);
    expect(from(b, 0, 2)).toEqual([]);
    expect(from(b, 2, 2)).toEqual([]);
    expect(from(b, 3, 2)).toEqual(stablePersisted(2, [0, 2, 3]));
    expect(from(b, 3, 2)).toEqual([]);
  });

  test("different roots do not add up", () => {
    const b = ahead(2);
    b.checkpointed(2);
    from(b, 0, 2);
    expect(from(b, 2, 2, digestOf("lie"))).toEqual([]);
    expect(b.status().stableSeq).toBe(0);
    expect(types(from(b, 3, 2))).toEqual([]);
  });

  test("a sender counts once; its second root is evidence", () => {
    const b = ahead(2);
    b.checkpointed(2);
    from(b, 0, 2);
    expect(from(b, 0, 2)).toEqual([]);
    expect(codes(from(b, 0, 2, digestOf("lie")))).toEqual(["EQUIVOCATION"]);
    expect(b.status().stableSeq).toBe(0);
  });

  test("not a multiple of K, or of another epoch, is refused", () => {
    const b = bench(configOf(1));
    expect(codes(from(b, 0, 3))).toEqual(["CERTIFICATE_INVALID"]);
    const foreign = sign({ ...checkpointOf(0, 2, rootOf(2)).body, epoch: epoch(1) });
    expect(codes(b.from(0, { type: "checkpoint", signed: foreign }))).toEqual(["EPOCH_FOREIGN"]);
  });

  test("the watermark waits until this replica holds the state itself", () => {
    const b = ahead(1);
    for (const id of [0, 2, 3]) expect(from(b, id, 2)).toEqual([]);
    expect(b.status().stableSeq).toBe(0);
    decideSlot(b, 1, 0, 2, batchOf("s2"));
    expect(b.checkpointed(2)).toEqual([...vouch(2), ...stablePersisted(2, [0, 2, 3])]);
  });

  test("a proof from a peer counts like the votes; an invalid one is misbehaviour", () => {
    const b = ahead(2);
    b.checkpointed(2);
    expect(codes(b.from(0, { type: "stable", stable: stableOf(2, [0, 2]) }))).toEqual(["CERTIFICATE_INVALID"]);
    expect(b.from(0, { type: "stable", stable: stableOf(2, [0, 2, 3]) })).toEqual(stablePersisted(2, [0, 2, 3]));
  });

  test("a certified root that differs from the own: this replica stops, and fetches the certified state", () => {
    const b = ahead(2);
    b.checkpointed(2, digestOf("mine"));
    for (const id of [0, 2]) from(b, id, 2);
    expect(from(b, 3, 2)).toEqual([
      { type: "diverged", seq: seqNum(2), own: digestOf("mine"), stable: rootOf(2) },
      { type: "transfer", target: stableOf(2, [0, 2, 3]), reason: "diverged" },
    ]);
    expect(b.status().stableSeq).toBe(0);
  });
});

describe("when the window moves", () => {
  test("slots below are forgotten: late votes are silence", () => {
    const b = ahead(2);
    b.checkpointed(2);
    for (const id of [0, 2, 3]) from(b, id, 2);
    expect(b.from(3, commit(3, 0, 1, batchOf("s1").digest))).toEqual([]);
    expect(codes(b.from(0, prePrepare(0, 2, batchOf("again"))))).toEqual(["SEQ_BELOW_WINDOW"]);
  });

  test("the primary goes on above the old H", () => {
    const b = bench(configOf(0));
    for (let n = 1; n <= 4; n++) {
      b.request(`s${n}`);
      const { digest } = batchOf(`s${n}`);
      b.own(prePrepareOf(0, n, digest));
      b.own(frameOf(0, vote("commit", 0, n, digest)));
      for (const id of [1, 2]) b.from(id, commit(id, 0, n, digest));
      b.executed(n);
    }
    expect(b.request("s5")).toEqual([]);
    b.checkpointed(2);
    for (const id of [1, 2]) from(b, id, 2);
    expect(from(b, 3, 2)).toEqual([
      ...stablePersisted(2, [1, 2, 3]), persistPrePrepared(0, 5, batchOf("s5")),
      { type: "pre-prepare", view: 0, seq: 5, digest: batchOf("s5").digest, batch: batchOf("s5") },
    ]);
  });

  test("an early proposal of an older view gives way to one of a newer", () => {
    const b = bench(configOf(2));
    b.from(0, prePrepare(0, 5, batchOf("old")));
    b.from(1, { type: "new-view", signed: newViewOf(1, [0, 1, 3].map((id) => viewChangeOf(id, 1))) });
    b.from(1, prePrepare(1, 5, batchOf("new")));
    for (const n of [1, 2]) decideSlot(b, 2, 1, n, batchOf(`s${n}`));
    for (const id of [0, 1, 3]) from(b, id, 2);
    expect(b.checkpointed(2)).toContainEqual(castVote("prepare", 1, 5, batchOf("new").digest));
  });
});

describe("bounds", () => {
  test("per sender only the highest CHECKPOINTs are kept: far claims do not displace other senders", () => {
    const b = ahead(2);
    b.checkpointed(2);
    for (let n = 1_000; n < 1_400; n += 2) expect(from(b, 3, n)).toEqual([]);
    from(b, 0, 2);
    from(b, 2, 2);
    expect(b.own(checkpointOf(1, 2, rootOf(2)))).toEqual(stablePersisted(2, [0, 1, 2]));
  });
});
