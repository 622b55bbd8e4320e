/** NEW-VIEW: choosing O, judging it, installing it (PBFT §4.4). */
import { describe, expect, test } from "vitest";
import fc from "fast-check";
import { epoch, InvariantViolation, type NewView, NULL_DIGEST, type PreparedCertificate, replicaId, seqNum, type Signed, view, type ViewChange } from "@narses/core";
import { selectProposals } from "../src/index.ts";
import {
  acts, batchOf, bench, type Bench, bundle, castVote, codes, commit, committedOf, configOf, decideSlot, digestOf, executeOf, frameOf, leaving, newViewOf, persistPrePrepared,
  preparedOf, prePrepareOf, prepareSlot, send, sign, stableOf, types, viewChangeOf, vote,
} from "./helpers.ts";

const a = batchOf("a");
const c = batchOf("c");
const p = (v: number, n: number, digest = a.digest): PreparedCertificate => preparedOf(v, n, digest, [0, 1, 2, 3].filter((id) => id !== v % 4).slice(0, 2));
const bodies = (...list: readonly Signed<ViewChange>[]): readonly ViewChange[] => list.map((vc) => vc.body);
const newView = (b: Bench, signed: Signed<NewView>, from = 1): ReturnType<Bench["from"]> => b.from(from, { type: "new-view", signed });

describe("selecting O", () => {
  test("nothing prepared, nothing proposed", () => {
    expect(selectProposals(bodies(viewChangeOf(0, 1), viewChangeOf(1, 1), viewChangeOf(3, 1))).proposals).toEqual([]);
  });

  test("a prepared slot keeps its digest; gaps below the highest become null", () => {
    const { proposals } = selectProposals(bodies(viewChangeOf(0, 1), viewChangeOf(1, 1, [p(0, 3)]), viewChangeOf(3, 1)));
    expect(proposals).toEqual([{ seq: 1, digest: NULL_DIGEST }, { seq: 2, digest: NULL_DIGEST }, { seq: 3, digest: a.digest }]);
  });

  test("of several views the highest wins", () => {
    const { proposals } = selectProposals(bodies(viewChangeOf(0, 4, [p(1, 1, c.digest)]), viewChangeOf(1, 4, [p(2, 1)]), viewChangeOf(3, 4, [p(0, 1, c.digest)])));
    expect(proposals).toEqual([{ seq: 1, digest: a.digest }]);
  });

  test("min-s is the highest stable checkpoint of all V; certificates at or below it are settled", () => {
    const stable = stableOf(2, [0, 1, 3]);
    const { stable: chosen, proposals } = selectProposals(bodies(viewChangeOf(0, 1, [p(0, 1), p(0, 2)]), viewChangeOf(1, 1, [p(0, 3)], stable), viewChangeOf(3, 1)));
    expect(chosen).toEqual(stable);
    expect(proposals).toEqual([{ seq: 3, digest: a.digest }]);
  });

  test("two digests certified in one view: more than f are faulty, stop", () => {
    expect(() => selectProposals(bodies(viewChangeOf(0, 1, [p(0, 1)]), viewChangeOf(1, 1, [p(0, 1, c.digest)])))).toThrow(InvariantViolation);
  });

  test("V is never empty", () => {
    expect(() => selectProposals([])).toThrow(InvariantViolation);
  });

  test("does not depend on the order of V; every certified slot is kept, every slot of (min-s, max-s] is there once", () => {
    const slots = fc.uniqueArray(fc.record({ seq: fc.integer({ min: 1, max: 4 }), view: fc.integer({ min: 0, max: 3 }) }), { selector: (s) => s.seq, maxLength: 4 });
    const viewChange = fc.record({ sender: fc.integer({ min: 0, max: 3 }), slots });
    // One digest per (view, slot): what quorums guarantee.
    const digestAt = (v: number, n: number): ReturnType<typeof digestOf> => digestOf(`d ${v} ${n}`);
    fc.assert(fc.property(fc.array(viewChange, { minLength: 3, maxLength: 4 }), fc.infiniteStream(fc.nat()), (list, order) => {
      const vcs = list.map((vc) => viewChangeOf(vc.sender, 9, [...vc.slots].sort((x, y) => x.seq - y.seq).map((s) => p(s.view, s.seq, digestAt(s.view, s.seq)))).body);
      const { proposals } = selectProposals(vcs);
      const shuffled = vcs.map((vc) => ({ vc, key: order.next().value as number })).sort((x, y) => x.key - y.key).map((x) => x.vc);
      expect(selectProposals(shuffled).proposals).toEqual(proposals);
      const highest = new Map<number, number>();
      for (const { slots: all } of list) for (const s of all) highest.set(s.seq, Math.max(s.view, highest.get(s.seq) ?? -1));
      const max = Math.max(0, ...highest.keys());
      expect(proposals).toEqual(Array.from({ length: max }, (_, i) => {
        const v = highest.get(i + 1);
        return { seq: i + 1, digest: v === undefined ? NULL_DIGEST : digestAt(v, i + 1) };
      }));
    }), { numRuns: 300 });
  });
});

describe("the new primary", () => {
  /** Replica 1, which leads view 1, has left view 0. */
  const leader = (): Bench => {
    const b = bench(configOf(1));
    b.request("x");
    b.tick(10);
    return b;
  };

  test("with Q VIEW-CHANGEs, its own signed one among them: V durable, then NEW-VIEW", () => {
    const b = leader();
    b.from(0, { type: "view-change", signed: viewChangeOf(0, 1, [p(0, 1)]) });
    b.from(3, { type: "view-change", signed: viewChangeOf(3, 1) });
    const viewChanges = [viewChangeOf(0, 1, [p(0, 1)]), viewChangeOf(1, 1), viewChangeOf(3, 1)];
    expect(b.own(viewChangeOf(1, 1))).toEqual([
      { type: "persist", lazy: false, record: { type: "new-view", view: view(1), viewChanges } },
      { type: "new-view", view: view(1), viewChanges, proposals: [{ seq: seqNum(1), digest: a.digest }] },
    ]);
  });

  test("makes one NEW-VIEW only, whatever comes after", () => {
    const b = leader();
    b.own(viewChangeOf(1, 1));
    b.from(0, { type: "view-change", signed: viewChangeOf(0, 1) });
    expect(types(b.from(2, { type: "view-change", signed: viewChangeOf(2, 1) }))).toEqual(["persist", "new-view"]);
    expect(b.from(3, { type: "view-change", signed: viewChangeOf(3, 1) })).toEqual([]);
  });

  test("VIEW-CHANGEs for other views do not count", () => {
    const b = leader();
    b.own(viewChangeOf(1, 1));
    b.from(0, { type: "view-change", signed: viewChangeOf(0, 2) });
    expect(b.from(2, { type: "view-change", signed: viewChangeOf(2, 1) })).toEqual([]);
  });

  test("installs its own NEW-VIEW when it is signed, and proposes what waits above max-s", () => {
    const b = leader();
    const vcs = [viewChangeOf(0, 1), viewChangeOf(1, 1), viewChangeOf(3, 1, [p(0, 1)])];
    for (const vc of vcs) if (vc.body.sender !== 1) b.from(vc.body.sender, { type: "view-change", signed: vc });
    b.own(viewChangeOf(1, 1));
    const signed = newViewOf(1, vcs);
    const effects = b.own(signed);
    expect(effects[0]).toEqual({ type: "persist", lazy: false, record: { type: "new-view", view: view(1), viewChanges: vcs, signed } });
    expect(effects[1]).toEqual({ type: "view-entered", view: view(1), primary: replicaId(1) });
    expect(effects).toContainEqual(send(2, { type: "fetch-batch", digest: a.digest }));
    expect(effects).toContainEqual({ type: "pre-prepare", view: view(1), seq: seqNum(2), digest: batchOf("x").digest, batch: batchOf("x") });
  });
});

describe("installing", () => {
  test("NEW-VIEW durable, then each proposal of O durable, then its PREPARE", () => {
    const b = bench(configOf(2));
    const certificate = prepareSlot(b, 2, 0, 1, a);
    const vcs = [viewChangeOf(0, 1), viewChangeOf(1, 1), viewChangeOf(2, 1, [certificate])];
    const signed = newViewOf(1, vcs);
    expect(newView(b, signed)).toEqual([
      { type: "persist", lazy: false, record: { type: "new-view", view: view(1), viewChanges: vcs, signed } },
      { type: "view-entered", view: view(1), primary: replicaId(1) },
      persistPrePrepared(1, 1, a, prePrepareOf(1, 1, a.digest)),
      castVote("prepare", 1, 1, a.digest),
    ]);
    expect([b.status().view, b.status().active]).toEqual([1, true]);
  });

  test("an executed slot is prepared and committed again, not executed again", () => {
    const b = bench(configOf(2));
    const certificate = decideSlot(b, 2, 0, 1, a);
    newView(b, newViewOf(1, [viewChangeOf(0, 1), viewChangeOf(1, 1), viewChangeOf(3, 1, [certificate])]));
    expect(b.own(frameOf(2, vote("prepare", 1, 1, a.digest)))).toEqual([]);
    expect(types(b.from(3, { type: "votes", signed: frameOf(3, vote("prepare", 1, 1, a.digest)) }))).toEqual(["persist", "vote"]);
    for (const id of [0, 1, 3]) expect(types(b.from(id, commit(id, 1, 1, a.digest)))).toEqual([]);
  });

  test("a null slot is executed as nothing", () => {
    const b = bench(configOf(2));
    newView(b, newViewOf(1, [viewChangeOf(0, 1), viewChangeOf(1, 1, [p(0, 2)]), viewChangeOf(3, 1)]));
    for (const id of [0, 1]) b.from(id, commit(id, 1, 1, NULL_DIGEST));
    expect(b.from(3, commit(3, 1, 1, NULL_DIGEST))).toContainEqual(executeOf(committedOf(1, 1, NULL_DIGEST, [0, 1, 3]), undefined, false));
  });

  test("relayed by anyone, and once", () => {
    const b = bench(configOf(2));
    const signed = newViewOf(1, [0, 1, 3].map((id) => viewChangeOf(id, 1)));
    expect(types(newView(b, signed, 3))).toEqual(["persist", "view-entered"]);
    expect(newView(b, signed)).toEqual([]);
  });

  test("from any older view, without a VIEW-CHANGE of its own", () => {
    const b = bench(configOf(2));
    expect(types(newView(b, newViewOf(5, [0, 1, 3].map((id) => viewChangeOf(id, 5)))))).toEqual(["persist", "view-entered"]);
    expect(b.status().view).toBe(5);
  });

  test("waiting bundles go to the new primary", () => {
    const b = bench(configOf(2));
    b.request("x");
    expect(newView(b, newViewOf(1, [0, 1, 3].map((id) => viewChangeOf(id, 1))))).toContainEqual(send(1, { type: "forward", bundle: bundle("x") }));
  });

  test("min-s ahead of this replica: it is behind, and votes only within its own window", () => {
    const b = bench(configOf(2));
    const stable = stableOf(4, [0, 1, 3]);
    const effects = newView(b, newViewOf(1, [viewChangeOf(0, 1, [], stable), viewChangeOf(1, 1, [p(0, 6)], stable), viewChangeOf(3, 1)]));
    expect(effects.filter((e) => e.type === "vote")).toEqual([]);
    expect([b.status().stableSeq, b.status().executedSeq]).toEqual([0, 0]);
    expect(b.status().waitingFor.join("; ")).toContain("decided slots up to the stable checkpoint 4");
  });

  test("O against a decided slot: more than f are faulty, stop", () => {
    const b = bench(configOf(2));
    decideSlot(b, 2, 0, 1, a);
    expect(() => newView(b, newViewOf(1, [viewChangeOf(0, 1), viewChangeOf(1, 1, [p(0, 1, c.digest)]), viewChangeOf(3, 1)]))).toThrow(/is decided: more than f/);
  });

  test("a NEW-VIEW that comes late, of a view before the one in which its slots were decided otherwise, stops nobody", () => {
    const b = bench(configOf(3));
    const certificate = prepareSlot(b, 3, 0, 1, a); // by this replica alone
    for (const id of [1, 2]) b.from(id, { type: "view-change", signed: viewChangeOf(id, 1) });
    // NEW-VIEW 1 proposes it again, and is under way for long. The others go on to view 2 without this replica, where slot 1 is free.
    const late = newViewOf(1, [viewChangeOf(1, 1), viewChangeOf(2, 1), viewChangeOf(3, 1, [certificate])]);
    expect(selectProposals([0, 1, 2].map((id) => viewChangeOf(id, 2).body)).proposals).toEqual([]);
    b.from(2, { type: "decision", certificate: committedOf(2, 1, c.digest, [0, 1, 2]), batch: c });
    const effects = newView(b, late);
    expect(types(effects)).toEqual(["persist", "view-entered"]);
    expect([b.status().view, b.status().active]).toEqual([1, true]);
    expect(b.executed(1)).toEqual([]);
  });
});

describe("an invalid NEW-VIEW of the view waited for: refused, and the next view tried at once", () => {
  const vcs = [viewChangeOf(0, 1), viewChangeOf(1, 1, [p(0, 1), p(0, 2, c.digest)]), viewChangeOf(3, 1)];
  const good = newViewOf(1, vcs).body;
  const pp = (n: number, digest: typeof NULL_DIGEST): NewView["prePrepares"][number] => prePrepareOf(1, n, digest);

  test.each<readonly [string, Partial<NewView>]>([
    ["Q−1 view-changes", { viewChanges: vcs.slice(1) }],
    ["one sender twice", { viewChanges: [vcs[0] as Signed<ViewChange>, vcs[1] as Signed<ViewChange>, viewChangeOf(0, 1, [p(0, 1)])] }],
    ["one sender twice, beside a quorum", { viewChanges: [...vcs, viewChangeOf(0, 1)] }],
    ["an invalid view-change that changes nothing in O", { viewChanges: [viewChangeOf(0, 1, [preparedOf(0, 1, a.digest, [1])]), ...vcs.slice(1)] }],
    ["a view-change of another epoch", { viewChanges: [sign({ ...viewChangeOf(0, 1).body, epoch: epoch(1) }), ...vcs.slice(1)] }],
    ["a view-change to another view", { viewChanges: [viewChangeOf(0, 2), ...vcs.slice(1)] }],
    ["an invalid view-change", { viewChanges: [viewChangeOf(0, 1, [], stableOf(2, [0, 1])), ...vcs.slice(1)] }],
    ["a certified slot dropped at the end", { prePrepares: good.prePrepares.slice(0, 1) }],
    ["a certified slot dropped at the start", { prePrepares: good.prePrepares.slice(1) }],
    ["null for a certified slot", { prePrepares: [pp(1, a.digest), pp(2, NULL_DIGEST)] }],
    ["another digest for a certified slot", { prePrepares: [pp(1, digestOf("x")), pp(2, c.digest)] }],
    ["O shifted by one", { prePrepares: [pp(2, a.digest), pp(3, c.digest)] }],
    ["one proposal too many", { prePrepares: [...good.prePrepares, pp(3, NULL_DIGEST)] }],
    ["a proposal of another view", { prePrepares: [prePrepareOf(2, 1, a.digest, 1), pp(2, c.digest)] }],
    ["a proposal signed by another", { prePrepares: [prePrepareOf(1, 1, a.digest, 3), pp(2, c.digest)] }],
    ["a proposal of another epoch", { prePrepares: [sign({ ...pp(1, a.digest).body, epoch: epoch(1) }), pp(2, c.digest)] }],
  ])("%s", (_name, change) => {
    const b = bench(configOf(2));
    b.request("x");
    b.tick(10);
    const effects = newView(b, sign({ ...good, ...change }));
    expect(codes(effects)).toEqual(["NEW_VIEW_INVALID"]);
    expect(acts(effects)).toEqual(leaving(2));
  });

  test("of a view far ahead it moves nobody: one liar drags no one", () => {
    const b = bench(configOf(2));
    const far = sign({ ...good, view: view(1_000_001), viewChanges: [], prePrepares: [] });
    expect(acts(newView(b, far))).toEqual([]);
    expect(b.status().view).toBe(0);
  });

  test("not signed by its primary, of another epoch, or of an old view: nothing happens", () => {
    const b = bench(configOf(2));
    expect(codes(newView(b, sign({ ...good, sender: replicaId(3) })))).toEqual(["NOT_PRIMARY"]);
    expect(codes(newView(b, sign({ ...good, epoch: epoch(1) })))).toEqual(["EPOCH_FOREIGN"]);
    newView(b, newViewOf(5, [0, 1, 3].map((id) => viewChangeOf(id, 5))));
    expect(newView(b, newViewOf(1, vcs))).toEqual([]);
    expect(b.status().view).toBe(5);
  });
});
