/** Requests, relaying and batching (PBFT §4.1). */
import { describe, expect, test } from "vitest";
import { type Effect, rejection, replicaId, seqNum, view } from "@narses/core";
import { batchOf, bench, type Bench, bundle, committedOf, configOf, decideSlot, makeBatch, persistPrePrepared, prePrepareOf, send, types, WALL_MS, EPOCH, frameOf, vote, commit } from "./helpers.ts";

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

  test("waits batchDelayTicks for more while something is in flight", () => {
    const b = bench(configOf(0, 4, { pipelineDepth: 2, batchDelayTicks: 3 }));
    expect(b.request("a")).toEqual(proposal(1, "a"));
    expect(b.request("b")).toEqual([]);
    expect(b.tick(2)).toEqual([]);
    expect(b.tick()).toEqual(proposal(2, "b"));
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
function executeOwn(b: Bench, n: number, name: string): readonly Effect[] {
  const { digest } = makeBatch(EPOCH, WALL_MS, [bundle(name)]);
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
