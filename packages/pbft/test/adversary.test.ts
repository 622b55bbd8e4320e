/** "Find the message sequence that breaks this": each story is a plan of a liar, or of a network at its worst, and why it fails. */
import { describe, expect, test } from "vitest";
import { type Batch, type Effect, mintVerified, replicaId, seqNum, type Signed, type ViewChange } from "@narses/core";
import {
  acts, batchOf, bench, type Bench, bundle, codes, configOf, decideSlot, EPOCH, frameOf, makeBatch, newViewOf, prepare, prePrepare, preparedOf, statusOf, types, viewChangeOf, vote, WALL_MS,
} from "./helpers.ts";
import { Net } from "./net.ts";

const proposed = (effects: readonly Effect[]): readonly string[] => effects.flatMap((e) => (e.type === "pre-prepare" ? (e.batch?.bundles ?? []).map((b) => b.digest) : []));
const beginView = (b: Bench, v: number, viewChanges: readonly Signed<ViewChange>[]): readonly Effect[] => b.from(v % 4, { type: "new-view", signed: newViewOf(v, viewChanges) });

describe("a certificate kept back for many views", () => {
  /** Replica 3 voted PREPARE for D0 in view 0, and then for another batch in each view after it, none of which prepared anywhere. */
  const views = [1, 2, 4, 5, 6, 8, 9, 10, 12, 13];
  const first = batchOf("first");
  const voted = (): Bench => {
    const b = bench(configOf(3));
    b.from(0, prePrepare(0, 1, first));
    for (const v of views) {
      beginView(b, v, [0, 1, 2].map((id) => viewChangeOf(id, v)));
      expect(types(b.from(v % 4, prePrepare(v, 1, batchOf(`view ${v}`))))).toContain("vote");
    }
    return b;
  };

  test("a liar shows it at last: whoever voted for the payload still has it, so the slot is no dead end", () => {
    const b = voted();
    const effects = beginView(b, 14, [viewChangeOf(0, 14), viewChangeOf(1, 14, [preparedOf(0, 1, first.digest, [1, 3])]), viewChangeOf(2, 14)]);
    expect(effects).toContainEqual({ type: "vote", vote: expect.objectContaining({ phase: "prepare", digest: first.digest }) as never });
    expect(b.from(0, { type: "fetch-batch", digest: first.digest })).toEqual([{ type: "send", to: replicaId(0), message: { type: "batch", batch: first } }]);
  });
});

describe("a bundle that a new view carries over", () => {
  const carried = batchOf("a", "b");
  const V = [viewChangeOf(0, 1), viewChangeOf(1, 1), viewChangeOf(2, 1, [preparedOf(0, 1, carried.digest, [1, 2])])];
  /** Replica 1 becomes primary of view 1, which carries {a, b} over at slot 1. */
  const newPrimary = (holdsPayload: boolean): Bench => {
    const b = bench(configOf(1, 4, { batchDelayTicks: 0 }));
    if (holdsPayload) b.from(0, prePrepare(0, 1, carried));
    b.from(2, { type: "view-change", signed: viewChangeOf(2, 1) });
    b.from(3, { type: "view-change", signed: viewChangeOf(3, 1) });
    b.own(newViewOf(1, V));
    expect(b.status()).toMatchObject({ view: 1, active: true });
    return b;
  };

  test("and that clients repeat afterwards is not proposed again", () => {
    const b = newPrimary(true);
    expect(proposed([...b.request("a"), ...b.request("c"), ...b.tick(2)])).toEqual([bundle("c").digest]);
  });

  test("nor when its payload comes after the repetition", () => {
    const b = newPrimary(false);
    b.from(0, prePrepare(0, 9, carried));
    const late = [...b.from(2, { type: "batch", batch: carried }), ...b.request("b"), ...b.tick(2)];
    expect(proposed(late)).toEqual([]);
  });
});

describe("amplification", () => {
  test("asking for a large payload again and again brings a bounded number of bytes in a status interval", () => {
    const b = bench(configOf(1, 4, { statusIntervalTicks: 10, batchBytesMax: 4 << 20 }));
    const large: Batch = { ...makeBatch(EPOCH, WALL_MS, [bundle("large")]), bytes: new Uint8Array(3 << 20) };
    b.from(0, prePrepare(0, 1, large));
    const sent = Array.from({ length: 20 }, () => b.from(3, { type: "fetch-batch", digest: large.digest })).flat().filter((e) => e.type === "send");
    expect(sent.length).toBeGreaterThanOrEqual(1);
    expect(sent.length * large.bytes.length).toBeLessThanOrEqual(12 << 20);
    b.tick(10);
    expect(types(b.from(3, { type: "fetch-batch", digest: large.digest }))).toEqual(["send"]);
  });

  test("a VIEW-CHANGE padded with more votes than a quorum is invalid: NEW-VIEW is sized for quorums", () => {
    const b = bench(configOf(2));
    const padded = viewChangeOf(3, 1, [preparedOf(0, 1, batchOf("a").digest, [1, 2, 3])]);
    expect(b.engine.screen({ type: "view-change", signed: padded })?.code).toBe("VIEW_CHANGE_INVALID");
    expect(codes(b.from(3, { type: "view-change", signed: padded }))).toEqual(["VIEW_CHANGE_INVALID"]);
  });

  test("STATUS of a liar that claims every height and every view keeps a replica asking, no more: no view, no target and no vote follows", () => {
    const b = bench(configOf(1, 4, { statusIntervalTicks: 5 }));
    for (let i = 0; i < 50; i++) {
      const claim = { view: 1e9 as never, active: true, executedSeq: seqNum(Number.MAX_SAFE_INTEGER - i), stableSeq: seqNum(Number.MAX_SAFE_INTEGER - i) };
      b.from(3, statusOf(claim));
      const effects = b.tickAll(1);
      expect(effects.filter((e) => e.type !== "send")).toEqual([]);
      expect(effects.length).toBeLessThanOrEqual(2);
    }
    expect(b.status()).toMatchObject({ view: 0, active: true, executedSeq: 0 });
  });
});

describe("clients against a correct primary", () => {
  test("a flood that reaches the backups only does not make it look slow: it is judged from when it was told", () => {
    const b = bench(configOf(1, 4, { logWindow: 64, checkpointInterval: 32, requestTimeoutTicks: 200, proposalDelayTicksMax: 8, statusIntervalTicks: 5 }));
    // 16 are relayed at once, then the 16 oldest with each STATUS; the primary proposes what it hears two ticks later.
    let heard: readonly Effect[] = Array.from({ length: 200 }, (_, i) => b.request(`f${i}`)).flat();
    for (let n = 1; n <= 12; n++) {
      const told = heard.flatMap((e) => (e.type === "send" && e.message.type === "forward" ? [e.message.bundle] : []));
      expect(told.length).toBe(16);
      b.tick(2);
      decideSlot(b, 1, 0, n, makeBatch(EPOCH, WALL_MS, told));
      heard = b.tick(5);
      expect(b.status()).toMatchObject({ view: 0, active: true });
    }
  });
});

describe("equivocation by a primary, told to different replicas", () => {
  test("two batches for one slot: at most one is decided, the cluster goes on in the next view, and nothing is lost", () => {
    for (const split of [[1], [2], [3], [1, 2], [1, 3], [2, 3]]) {
      const net = new Net({ parameters: { requestTimeoutTicks: 20, checkpointInterval: 4, logWindow: 16 } });
      net.down.add(0);
      for (const id of [1, 2, 3]) net.input(id, { type: "request", bundle: mintVerified(bundle("x")) });
      for (const to of [1, 2, 3]) net.send(0, to, prePrepare(0, 1, batchOf(split.includes(to) ? "x" : "y")));
      for (const to of [1, 2, 3]) net.send(0, to, { type: "votes", signed: frameOf(0, vote("commit", 0, 1, batchOf("x").digest)) });
      net.run(400, () => [1, 2, 3].every((id) => net.has(id, "x")));
      net.agree();
      expect([1, 2, 3].map((id) => net.has(id, "x"))).toEqual([true, true, true]);
    }
  });

  test("two NEW-VIEWs for one view, one to each half: votes name (view, slot, digest), so their quorums never mix, and the next view unites all", () => {
    const net = new Net({ parameters: { requestTimeoutTicks: 20, checkpointInterval: 4, logWindow: 16 } });
    net.down.add(1);
    const a = batchOf("a");
    const p = preparedOf(0, 1, a.digest, [2, 3]);
    for (const id of [0, 2, 3]) net.input(id, { type: "request", bundle: mintVerified(bundle("a")) });
    // The liar, replica 1, is primary of view 1: to 0 and 2 it shows V with the certificate, to 3 V without it.
    net.send(1, 0, { type: "new-view", signed: newViewOf(1, [viewChangeOf(1, 1), viewChangeOf(2, 1, [p]), viewChangeOf(3, 1)]) });
    net.send(1, 2, { type: "new-view", signed: newViewOf(1, [viewChangeOf(1, 1), viewChangeOf(2, 1, [p]), viewChangeOf(3, 1)]) });
    net.send(1, 3, { type: "new-view", signed: newViewOf(1, [viewChangeOf(0, 1), viewChangeOf(1, 1), viewChangeOf(3, 1)]) });
    net.run(600, () => [0, 2, 3].every((id) => net.has(id, "a")));
    net.agree();
    expect([0, 2, 3].map((id) => net.has(id, "a"))).toEqual([true, true, true]);
  });
});

test("a vote of the primary of a view for its own proposal, and votes of a later view, never complete a quorum of this one", () => {
  const b = bench(configOf(1));
  const a = batchOf("a");
  b.from(0, prePrepare(0, 1, a));
  b.own(frameOf(1, vote("prepare", 0, 1, a.digest)));
  expect(codes(b.from(0, prepare(0, 0, 1, a.digest)))).toEqual(["PRIMARY_PREPARE"]);
  expect(acts(b.from(2, prepare(2, 1, 1, a.digest)))).toEqual([]);
  expect(acts(b.from(3, prepare(3, 2, 1, a.digest)))).toEqual([]);
});
