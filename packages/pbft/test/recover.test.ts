/** Coming back from the log: a replica never contradicts what it may have said ("what before what"). */
import { describe, expect, test } from "vitest";
import { type Effect, type LogRecord, type PreparedCertificate, type PrePrepare, type Recovered, seqNum, type Signed, view } from "@narses/core";
import {
  acts, batchOf, bench, castVote, codes, commit, committedOf, configOf, executeOf, frameOf, GENESIS, newViewOf, persistPrepared, prepare, preparedOf, prePrepare, prePrepareOf,
  recoveredOf, stableOf, types, viewChangeOf, vote, vouch, digestOf,
} from "./helpers.ts";

const a = batchOf("a");
const c = batchOf("c");
const D = a.digest;
const accepted = (v: number, n: number, batch = a, signed: Signed<PrePrepare> | undefined = prePrepareOf(v, n, batch.digest)): LogRecord =>
  ({ type: "pre-prepared", view: view(v), seq: seqNum(n), digest: batch.digest, batch, ...(signed && { signed }) });
const proposed = (v: number, n: number, batch = a): LogRecord => ({ type: "pre-prepared", view: view(v), seq: seqNum(n), digest: batch.digest, batch });
const prepared = (certificate: PreparedCertificate): LogRecord => ({ type: "prepared", certificate });
const left = (v: number, list: readonly PreparedCertificate[] = [], stable = GENESIS): LogRecord => ({ type: "view-left", view: view(v), stable, prepared: list });
const stable = (n: number): LogRecord => ({ type: "stable", stable: stableOf(n, [0, 1, 3]) });

describe("nothing, or next to nothing, survived", () => {
  test("an empty log is a fresh replica, and says nothing", () => {
    const b = bench(configOf(1), recoveredOf(0));
    expect(b.started).toEqual([]);
    expect([b.status().view, b.status().active]).toEqual([0, true]);
  });

  test("state beyond the log is fine: execution goes on above it", () => {
    const b = bench(configOf(1), recoveredOf(4, stable(2)));
    expect([b.status().executedSeq, b.status().stableSeq]).toEqual([4, 2]);
    expect(types(b.from(0, prePrepare(0, 5, a)))).toEqual(["persist", "vote"]);
  });

  test("state below the stable checkpoint: it cannot be replayed, so it is fetched", () => {
    expect(bench(configOf(1), recoveredOf(0, stable(2))).started).toEqual([{ type: "transfer", target: stableOf(2, [0, 1, 3]), reason: "behind" }]);
  });
});

describe("each row of the table: durable, then the crash, before or after the message", () => {
  test("own proposal durable, PRE-PREPARE perhaps not sent: the same one is sent again, the number is not reused", () => {
    const b = bench(configOf(0), recoveredOf(0, proposed(0, 1)));
    expect(b.started).toEqual([{ type: "pre-prepare", view: view(0), seq: seqNum(1), digest: D, batch: a }]);
    expect(b.request("b").find((e: Effect) => e.type === "pre-prepare")).toMatchObject({ seq: 2 });
  });

  test("accepted proposal durable, PREPARE perhaps not sent: the same PREPARE, and no other proposal for the slot", () => {
    const b = bench(configOf(1), recoveredOf(0, accepted(0, 1)));
    expect(b.started).toEqual([castVote("prepare", 0, 1, D)]);
    expect(codes(b.from(0, prePrepare(0, 1, c)))).toEqual(["EQUIVOCATION"]);
  });

  test("prepared certificate durable, COMMIT perhaps not sent: PREPARE and COMMIT again", () => {
    const b = bench(configOf(1), recoveredOf(0, accepted(0, 1), prepared(preparedOf(0, 1, D, [1, 2]))));
    expect(b.started).toEqual([castVote("prepare", 0, 1, D), castVote("commit", 0, 1, D)]);
  });

  test("prepared certificate durable: VIEW-CHANGE reports it", () => {
    const certificate = preparedOf(0, 1, D, [1, 2]);
    const b = bench(configOf(1), recoveredOf(0, accepted(0, 1), prepared(certificate)));
    expect(b.tick(10).find((e: Effect) => e.type === "view-change")).toEqual({ type: "view-change", view: view(1), stable: GENESIS, prepared: [certificate] });
  });

  test("departure durable, VIEW-CHANGE perhaps not sent: back inactive, the same VIEW-CHANGE, no vote", () => {
    const certificate = preparedOf(0, 1, D, [1, 2]);
    const b = bench(configOf(2), recoveredOf(0, accepted(0, 1), prepared(certificate), left(1, [certificate])));
    expect(b.started).toEqual([{ type: "view-change", view: view(1), stable: GENESIS, prepared: [certificate] }]);
    expect([b.status().view, b.status().active]).toEqual([1, false]);
    expect(acts(b.from(0, prePrepare(0, 2, c)))).toEqual([]);
  });

  test("own V durable, NEW-VIEW perhaps not sent: the same NEW-VIEW is made again, nothing else is said before", () => {
    const viewChanges = [viewChangeOf(0, 1, [preparedOf(0, 1, D, [2, 3])]), viewChangeOf(1, 1), viewChangeOf(3, 1)];
    const b = bench(configOf(1), recoveredOf(0, left(1), { type: "new-view", view: view(1), viewChanges }));
    expect(b.started).toEqual([{ type: "new-view", view: view(1), viewChanges, proposals: [{ seq: seqNum(1), digest: D }] }]);
    expect(b.status().active).toBe(false);
    expect(types(b.own(newViewOf(1, viewChanges)))).toContain("view-entered");
    expect(b.status().active).toBe(true);
  });

  test("NEW-VIEW durable, no vote in it yet: active in it, its proposals taken up", () => {
    const viewChanges = [viewChangeOf(0, 1), viewChangeOf(1, 1, [preparedOf(0, 1, D, [2, 3])]), viewChangeOf(3, 1)];
    const signed = newViewOf(1, viewChanges);
    const b = bench(configOf(2), recoveredOf(0, accepted(0, 1), left(1), { type: "new-view", view: view(1), viewChanges, signed }));
    expect([b.status().view, b.status().active]).toEqual([1, true]);
    expect(b.started).toContainEqual(castVote("prepare", 1, 1, D));
    expect(b.started).not.toContainEqual(castVote("prepare", 0, 1, D));
  });

  test("NEW-VIEW and votes in it durable: the votes again, no slot settled by it is proposed anew", () => {
    const viewChanges = [viewChangeOf(0, 1), viewChangeOf(1, 1, [preparedOf(0, 1, D, [2, 3])]), viewChangeOf(3, 1)];
    const signed = newViewOf(1, viewChanges);
    const b = bench(configOf(1), recoveredOf(0, left(1), { type: "new-view", view: view(1), viewChanges }, { type: "new-view", view: view(1), viewChanges, signed }, accepted(1, 1)));
    expect(b.started).toEqual([]);
    expect(b.request("b").find((e: Effect) => e.type === "pre-prepare")).toMatchObject({ view: 1, seq: 2 });
  });

  test("checkpoint durable, CHECKPOINT perhaps not sent: the shell reports it again, it is signed again", () => {
    const b = bench(configOf(1), recoveredOf(2, accepted(0, 1)));
    expect(b.checkpointed(2)).toEqual(vouch(2));
  });

  test("proof durable, log perhaps not cut: what lies below is dead", () => {
    const b = bench(configOf(1), recoveredOf(2, accepted(0, 1), accepted(0, 2), prepared(preparedOf(0, 2, D, [1, 2])), stable(2), accepted(0, 3, c)));
    expect(b.started).toEqual([castVote("prepare", 0, 3, c.digest)]);
    expect([b.status().stableSeq, b.status().highWatermark]).toEqual([2, 6]);
  });

  test("decided and not yet in the durable state: executed again, from the log", () => {
    const certificate = committedOf(0, 3, D, [0, 2, 3]);
    const b = bench(configOf(1), recoveredOf(2, stable(2), accepted(0, 3), { type: "committed", certificate }));
    expect(b.started).toEqual([executeOf(certificate, a, false)]);
    const learned = bench(configOf(1), recoveredOf(2, stable(2), { type: "committed", certificate, batch: a }));
    expect(learned.started).toEqual([executeOf(certificate, a, false)]);
  });
});

describe("a log that reaches far beyond the durable state", () => {
  // A slow state disk: this replica followed the others by decisions, slot after slot, and its own checkpoint never became durable.
  const decided = Array.from({ length: 20 }, (_, i): LogRecord => ({ type: "committed", certificate: committedOf(0, i + 1, D, [0, 2, 3]), batch: a }));

  test("is executed again from the durable state, a window at a time", () => {
    const b = bench(configOf(1), recoveredOf(0, ...decided));
    expect(b.started).toEqual([1, 2, 3, 4].map((n) => executeOf(committedOf(0, n, D, [0, 2, 3]), a, n % 2 === 0)));
    for (let n = 1; n <= 20; n++) b.executed(n);
    expect(b.status().executedSeq).toBe(20);
  });
});

describe("after the restart", () => {
  test("the repeated votes count again, and the slot completes", () => {
    const b = bench(configOf(1), recoveredOf(0, accepted(0, 1)));
    b.own(frameOf(1, vote("prepare", 0, 1, D)));
    expect(b.from(2, prepare(2, 0, 1, D))).toEqual([persistPrepared(preparedOf(0, 1, D, [1, 2])), castVote("commit", 0, 1, D)]);
    b.own(frameOf(1, vote("commit", 0, 1, D)));
    for (const id of [0, 2]) b.from(id, commit(id, 0, 1, D));
    expect(b.status().openSlots).toBe(1);
  });

  test("an own proposal is never paired with the PRE-PREPARE of an older view", () => {
    // r1 had accepted r0's proposal of view 0 for slot 1, then led view 1 and proposed another batch for the same slot.
    const viewChanges = [0, 1, 3].map((id) => viewChangeOf(id, 1));
    const records = [accepted(0, 1, c), left(1), { type: "new-view", view: view(1), viewChanges, signed: newViewOf(1, viewChanges) } as const, proposed(1, 1)];
    const b = bench(configOf(1), recoveredOf(0, ...records));
    expect(b.started).toEqual([{ type: "pre-prepare", view: view(1), seq: seqNum(1), digest: D, batch: a }]);
    for (const id of [2, 3]) expect(b.from(id, prepare(id, 1, 1, D))).toEqual([]);
    expect(b.own(prePrepareOf(1, 1, D))).toEqual([persistPrepared(preparedOf(1, 1, D, [2, 3])), castVote("commit", 1, 1, D)]);
  });

  test("the order of records about views does not matter: the highest counts", () => {
    const viewChanges = [0, 1, 3].map((id) => viewChangeOf(id, 1));
    const entered: LogRecord = { type: "new-view", view: view(1), viewChanges, signed: newViewOf(1, viewChanges) };
    for (const records of [[left(2), entered, left(1)], [entered, left(1), left(2)]]) {
      const b = bench(configOf(3), recoveredOf(0, ...records));
      expect([b.status().view, b.status().active]).toEqual([2, false]);
    }
  });

  test("a log with two proposals for one view and slot is not believed", () => {
    expect(() => bench(configOf(1), recoveredOf(0, accepted(0, 1), accepted(0, 1, c)))).toThrow(/two proposals/);
  });

  test("a proposal of a later view replaces that of an earlier one, whatever their order", () => {
    const viewChanges = [0, 1, 3].map((id) => viewChangeOf(id, 1));
    const entered: LogRecord = { type: "new-view", view: view(1), viewChanges, signed: newViewOf(1, viewChanges) };
    for (const records of [[accepted(0, 1, c), entered, accepted(1, 1)], [accepted(1, 1), entered, accepted(0, 1, c)]]) {
      expect(bench(configOf(2), recoveredOf(0, ...records)).started).toEqual([castVote("prepare", 1, 1, D)]);
    }
  });
});

describe("every crash point", () => {
  /** Replica 2 through proposal, prepared, departure and a new view: effects in order. */
  function life(): readonly Effect[] {
    const b = bench(configOf(2));
    const out: Effect[] = [];
    const vcs = [viewChangeOf(0, 1), viewChangeOf(1, 1, [preparedOf(0, 1, D, [1, 2])]), viewChangeOf(3, 1)];
    out.push(...b.from(0, prePrepare(0, 1, a)), ...b.own(frameOf(2, vote("prepare", 0, 1, D))));
    out.push(...b.from(1, prepare(1, 0, 1, D)), ...b.own(frameOf(2, vote("commit", 0, 1, D))));
    out.push(...b.tick(10), ...b.from(1, { type: "new-view", signed: newViewOf(1, vcs) }), ...b.own(frameOf(2, vote("prepare", 1, 1, D))));
    out.push(...b.from(0, prepare(0, 1, 1, D)), ...b.own(frameOf(2, vote("commit", 1, 1, D))));
    for (const id of [0, 1, 3]) out.push(...b.from(id, commit(id, 1, 1, D)));
    return out;
  }

  test("whatever prefix of records survives, the replica says again only what it may have said, and nothing that contradicts it", () => {
    const effects = life();
    const statements = (list: readonly Effect[]): readonly string[] => list.flatMap((e) => {
      if (e.type === "vote") return [`${e.vote.phase} v${e.vote.view} n${e.vote.seq} ${e.vote.digest}`];
      return e.type === "view-change" ? [`VC v${e.view} ${e.prepared.map((p) => p.prePrepare.body.digest).join()}`] : [];
    });
    const said = statements(effects);
    expect(said).toHaveLength(5);
    const records = effects.flatMap((e) => (e.type === "persist" ? [e.record] : []));
    for (let kept = 0; kept <= records.length; kept++) {
      const recovered: Recovered = recoveredOf(0, ...records.slice(0, kept));
      const again = statements(bench(configOf(2), recovered).started);
      for (const statement of again) expect(said).toContain(statement);
      // Everything that may have left before this crash and still matters in its view is said again.
      const view1 = records.slice(0, kept).some((r) => r.type === "new-view");
      const gone = records.slice(0, kept).some((r) => r.type === "view-left");
      expect(again.some((s) => s.startsWith("VC"))).toBe(gone && !view1);
      expect(again.some((s) => s.includes("v0 n1") && !s.startsWith("VC"))).toBe(kept > 0 && !gone);
    }
  });

  test("a restored state that differs from a certified checkpoint is replaced", () => {
    const b = bench(configOf(1), recoveredOf(2, accepted(0, 1)));
    b.checkpointed(2, digestOf("x"));
    expect(types(b.from(0, { type: "stable", stable: stableOf(2, [0, 2, 3]) }))).toEqual(["diverged", "transfer"]);
  });
});
