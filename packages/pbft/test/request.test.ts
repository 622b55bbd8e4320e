/** Requests, relaying and batching (PBFT §4.1). */
import { describe, expect, test } from "vitest";
import { type Batch, type Effect, mintVerified, rejection, replicaId, seqNum, view } from "@narses/core";
import { batchOf, bench, type Bench, bundle, committedOf, configOf, decideSlot, makeBatch, persistPrePrepared, prePrepare, prePrepareOf, send, types, WALL_MS, EPOCH, frameOf, vote, commit } from "./helpers.ts";

const proposal = (n: number, ...names: readonly string[]): readonly Effect[] => [
  persistPrePrepared(0, n, batchOf(...names)),
  { type: "pre-prepare", view: view(0), seq: seqNum(n), digest: batchOf(...names).digest, batch: batchOf(...names) },
];

describe("primary", () => {
  test("proposes at once while nothing is in flight: durable, then sent", () => {
    expect(bench(configOf(0)).request("a")).toEqual(proposal(1, "a"));
  });

  test("proposes while fewer than pipelineDepth slots are in flight, then gathers", () => {
    const b = bench(configOf(0, 4, { pipelineDepth: 2 }));
    expect(b.request("a")).toEqual(proposal(1, "a"));
    expect(b.request("b")).toEqual(proposal(2, "b"));
    expect(b.request("c")).toEqual([]);
    expect(b.request("d")).toEqual([]);
  });

  test("a bundle is proposed once, however often it comes", () => {
    const b = bench(configOf(0));
    b.request("a");
    expect(b.request("a")).toEqual([]);
    expect(b.status().pendingBundles).toBe(1);
  });

  test("gathered bundles go together, in order of arrival, when a slot is executed", () => {
    const b = bench(configOf(0, 4, { pipelineDepth: 1 }));
    b.request("a");
    b.request("b");
    b.request("c");
    expect(executeOwn(b, 1, "a")).toEqual(proposal(2, "b", "c"));
  });

  test("gathers while something is in flight: until as much waits, batchDelayTicks at the longest", () => {
    const b = bench(configOf(0, 4, { pipelineDepth: 2, batchDelayTicks: 3 }));
    for (const name of ["a", "b"]) expect(b.run(name)).toEqual([]);
    expect(b.request("c")).toEqual(proposal(1, "a", "b", "c"));
    expect(b.request("d")).toEqual([]);
    expect(b.request("e")).toEqual([]);
    expect(b.request("f")).toEqual(proposal(2, "d", "e", "f"));

    const late = bench(configOf(0, 4, { pipelineDepth: 2, batchDelayTicks: 3 }));
    late.run("a");
    expect(late.request("b")).toEqual(proposal(1, "a", "b"));
    expect(late.request("c")).toEqual([]);
    expect(late.tick(2)).toEqual([]);
    expect(late.tick()).toEqual(proposal(2, "c"));
  });

  test("a run of requests shares a proposal; the last one, known or not, ends it", () => {
    const b = bench(configOf(0));
    expect(b.run("a")).toEqual([]);
    expect(b.run("b")).toEqual([]);
    expect(b.request("a")).toEqual(proposal(1, "a", "b"));
  });

  test("when not all fit, clients take turns and each client's own bundles stay in order", () => {
    const b = bench(configOf(0, 4, { pipelineDepth: 1, batchOperationsMax: 3 }));
    b.request("first");
    const flood = ["f1", "f2", "f3", "f4"].map((name) => ({ ...bundle(name), client: bundle("flood").client }));
    for (const sent of flood) b.step({ type: "request", bundle: mintVerified(sent) });
    b.request("late");
    const [f1, f2, f3, f4] = flood;
    const orders = (effects: readonly Effect[]): unknown => effects.find((e) => e.type === "pre-prepare")?.batch?.bundles;
    expect(orders(executeOwn(b, 1, "first"))).toEqual([f1, bundle("late"), f2]);
    const second = makeBatch(EPOCH, WALL_MS, [f1, bundle("late"), f2].filter((sent) => sent !== undefined));
    expect(orders(executeOwn(b, 2, second))).toEqual([f3, f4]);
  });

  test("a batch keeps within batchOperationsMax; the rest goes next", () => {
    const b = bench(configOf(0, 4, { pipelineDepth: 1, batchOperationsMax: 2 }));
    for (const name of ["a", "b", "c", "d"]) b.request(name);
    expect(executeOwn(b, 1, "a")).toEqual(proposal(2, "b", "c"));
  });

  test("a batch keeps within batchBytesMax", () => {
    const b = bench(configOf(0, 4, { pipelineDepth: 1, batchBytesMax: 250 }));
    for (const name of ["a", "b", "c", "d"]) b.request(name);
    expect(executeOwn(b, 1, "a")).toEqual(proposal(2, "b", "c"));
  });

  test("never proposes above the high watermark", () => {
    const b = bench(configOf(0, 4, { checkpointInterval: 2, logWindow: 4, pipelineDepth: 2 }));
    for (let n = 1; n <= 4; n++) {
      expect(types(b.request(`r${n}`))).toEqual(["persist", "pre-prepare"]);
      executeOwn(b, n, `r${n}`);
    }
    expect(b.request("r5")).toEqual([]);
    expect(b.status().highWatermark).toBe(4);
  });

  test("takes at most pendingBundlesMax waiting bundles; the client will retry", () => {
    const b = bench(configOf(0, 4, { pipelineDepth: 1, pendingBundlesMax: 2 }));
    for (const name of ["a", "b", "c"]) b.request(name);
    expect(b.status().pendingBundles).toBe(2);
    expect(executeOwn(b, 1, "a")).toEqual(proposal(2, "b"));
  });
});

/** The primary's slot is signed, voted and executed; returns the effects of `executed`. */
function executeOwn(b: Bench, n: number, what: string | Batch): readonly Effect[] {
  const { digest } = typeof what === "string" ? makeBatch(EPOCH, WALL_MS, [bundle(what)]) : what;
  b.own(prePrepareOf(0, n, digest));
  b.own(frameOf(0, vote("commit", 0, n, digest)));
  for (const id of [1, 2]) b.from(id, commit(id, 0, n, digest));
  return b.executed(n);
}

describe("backup", () => {
  test("relays a bundle to the primary, once", () => {
    const b = bench(configOf(1));
    expect(b.request("a")).toEqual([send(0, { type: "forward", bundle: bundle("a") })]);
    expect(b.request("a")).toEqual([]);
  });

  test("relays nothing that an accepted proposal carries", () => {
    const b = bench(configOf(1, 4, { statusIntervalTicks: 2 }));
    b.from(0, prePrepare(0, 1, batchOf("a")));
    expect(b.request("a")).toEqual([]);
    b.request("b");
    const relayed = b.tick(5).flatMap((e) => (e.type === "send" && e.message.type === "forward" ? [e.message.bundle] : []));
    expect(relayed).toEqual([bundle("b"), bundle("b")]);
  });

  test("relays at once while few wait; beyond that the oldest, with each STATUS", () => {
    const b = bench(configOf(1, 4, { statusIntervalTicks: 2 }));
    const names = Array.from({ length: 20 }, (_, i) => `b${i}`);
    const forwards = (effects: readonly Effect[]): number => effects.filter((e) => e.type === "send" && e.message.type === "forward").length;
    expect(names.map((name) => forwards(b.request(name)))).toEqual(names.map((_, i) => (i < 16 ? 1 : 0)));
    expect(forwards(b.tick(3))).toBe(16);
  });

  test("treats a relayed bundle like a request", () => {
    const b = bench(configOf(0));
    expect(b.from(2, { type: "forward", bundle: bundle("a") })).toEqual(proposal(1, "a"));
  });

  test("while a view change is under way a bundle only waits", () => {
    const b = bench(configOf(2));
    b.step({ type: "misbehaviour", replica: replicaId(0), rejection: rejection("SIGNATURE_INVALID", "forged") });
    expect(b.request("a")).toEqual([]);
    expect(b.status().pendingBundles).toBe(1);
  });

  test("drops a waiting bundle when it is executed, or reported obsolete", () => {
    const b = bench(configOf(1));
    b.request("a");
    b.request("b");
    b.request("c");
    decideSlot(b, 1, 0, 1, batchOf("a"));
    expect(b.status().pendingBundles).toBe(2);
    decideSlot(b, 1, 0, 2, batchOf("x"));
    expect(b.status().pendingBundles).toBe(2);
    b.from(0, { type: "decision", certificate: committedOf(0, 3, batchOf("b").digest, [0, 2, 3]), batch: batchOf("b") });
    b.executed(3, [bundle("c").digest]);
    expect(b.status().pendingBundles).toBe(0);
  });

  test("obsolete bundles leave with the slot that made them so", () => {
    const b = bench(configOf(0, 4, { pipelineDepth: 1 }));
    b.request("a");
    b.request("b");
    const { digest } = batchOf("a");
    b.own(prePrepareOf(0, 1, digest));
    b.own(frameOf(0, vote("commit", 0, 1, digest)));
    for (const id of [1, 2]) b.from(id, commit(id, 0, 1, digest));
    expect(b.executed(1, [bundle("b").digest])).toEqual([]);
    expect(b.status().pendingBundles).toBe(0);
  });

  test("the first input is start, and start comes once", () => {
    const b = bench(configOf(1));
    expect(() => b.step({ type: "start", wallMs: WALL_MS })).toThrow(/start comes first and once/);
  });
});
