import { getEventListeners } from "node:events";
import { InvariantViolation, digest, quorums, replicaId, seqNum, view, type BlockHeader, type Operation } from "@narses/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Patience, retransmitDelayMs, seededRandom } from "../src/backoff.ts";
import { CERTIFIED_BLOCKS_MAX, createBlockRegistry, recordCertifiedBlock } from "../src/block-registry.ts";
import { setBounded } from "../src/bounded.ts";
import { BUNDLE_OVERHEAD_BYTES, operationBytes, splitIntoUnits } from "../src/bundle-size.ts";
import { Outbox } from "../src/outbox.ts";
import { Unit, type Submission } from "../src/unit.ts";
import { SessionIds } from "../src/session-ids.ts";
import { believedPrimary, believedView, createViewHint, reportView } from "../src/view-hint.ts";
import { FakeTimers } from "./support/fake-timers.ts";

const operation = (bytes: number): Operation => ({ kind: "apply", payload: new Uint8Array(bytes) });

describe("retransmission delays", () => {
  it("double up to the maximum and lose at most a quarter to jitter", () => {
    const backoff = { firstMs: 500, maxMs: 4_000 };
    const random = seededRandom(7);
    for (const [attempt, full] of [500, 1_000, 2_000, 4_000, 4_000, 4_000].entries()) {
      const delay = retransmitDelayMs(attempt, backoff, random);
      expect(delay).toBeGreaterThanOrEqual(0.75 * full);
      expect(delay).toBeLessThanOrEqual(full);
    }
    expect(retransmitDelayMs(1_000_000, backoff, () => 0)).toBe(4_000);
  });

  it("follow the answers: a slow cluster is given time, a fast one no less than configured", () => {
    const patience = new Patience();
    expect(patience.delayMs(500)).toBe(500);
    for (let i = 0; i < 50; i++) patience.answered(5);
    expect(patience.delayMs(500)).toBe(500);
    for (let i = 0; i < 50; i++) patience.answered(1_200);
    expect(patience.delayMs(500)).toBeGreaterThan(1_200);
    expect(patience.delayMs(500)).toBeLessThan(2_400);
  });

  it("repeat with the seed and differ between seeds", () => {
    const draw = (seed: number): number[] => Array.from({ length: 8 }, seededRandom(seed));
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
    expect(draw(3).every((value) => value >= 0 && value < 1)).toBe(true);
  });
});

describe("the view hint", () => {
  const four = quorums(4);

  it("is the W-th highest report: one liar of f = 1 cannot move it", () => {
    const hint = createViewHint(4);
    reportView(hint, replicaId(3), view(Number.MAX_SAFE_INTEGER));
    expect(believedView(hint, four)).toBe(0);
    reportView(hint, replicaId(1), view(5));
    expect(believedView(hint, four)).toBe(5);
    expect(believedPrimary(hint, four)).toBe(1);
  });

  it("does not go back", () => {
    const hint = createViewHint(1);
    reportView(hint, replicaId(0), view(4));
    reportView(hint, replicaId(0), view(2));
    expect(believedView(hint, quorums(1))).toBe(4);
  });
});

describe("request ids", () => {
  it("acknowledge what is answered without a gap", () => {
    const ids = new SessionIds();
    expect([ids.next, ids.ackLow, ids.outstanding]).toEqual([1, 0, 0]);
    expect([ids.take(3), ids.take(2), ids.take(1)]).toEqual([1, 4, 6]);
    ids.answered(4, 2);
    expect([ids.ackLow, ids.outstanding]).toEqual([0, 6]);
    ids.answered(1, 3);
    expect([ids.ackLow, ids.outstanding]).toEqual([5, 1]);
    ids.answered(6, 1);
    expect([ids.ackLow, ids.outstanding]).toEqual([6, 0]);
  });

  it("acknowledge exactly the longest answered prefix, in any order of answers", () => {
    const runs = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(runs, fc.infiniteStream(fc.nat()), (lengths, order) => {
        const ids = new SessionIds();
        const ranges = lengths.map((count) => ({ first: ids.take(count), count, key: order.next().value }));
        const answered = new Set<number>();
        for (const { first, count } of [...ranges].sort((a, b) => a.key - b.key)) {
          ids.answered(first, count);
          for (let i = 0; i < count; i++) answered.add(first + i);
          let prefix = 0;
          while (answered.has(prefix + 1)) prefix++;
          expect(ids.ackLow).toBe(prefix);
        }
      }),
    );
  });

  it("cannot be answered twice or before they are given out", () => {
    const ids = new SessionIds();
    ids.take(1);
    expect(() => ids.answered(2, 1)).toThrow(InvariantViolation);
    ids.answered(1, 1);
    expect(() => ids.answered(1, 1)).toThrow(InvariantViolation);
  });
});

describe("the registry of certified blocks", () => {
  const hash = (n: number): ReturnType<typeof digest> => digest(n.toString(16).padStart(64, "0"));
  const header = (seq: number, parent: number): BlockHeader => ({
    seq: seqNum(seq),
    parent: hash(parent),
    timestampMs: 0,
    batchDigest: hash(0),
    bundleRoot: hash(0),
    resultRoot: hash(0),
    stateRoot: hash(0),
  });

  it("takes a chain in any order, and a block again", () => {
    const registry = createBlockRegistry();
    for (const seq of [3, 1, 2, 2]) recordCertifiedBlock(registry, header(seq, seq - 1), hash(seq));
    expect(registry.certified.size).toBe(3);
  });

  it.each([
    ["two blocks in one slot", header(2, 1), hash(0xbad)],
    ["a block on another parent", header(3, 0xbad), hash(3)],
    ["a block that is not the parent of the next", header(1, 0), hash(0xbad)],
  ])("stops at %s", (_, contradiction, itsHash) => {
    const registry = createBlockRegistry();
    recordCertifiedBlock(registry, header(2, 1), hash(2));
    expect(() => recordCertifiedBlock(registry, contradiction, itsHash)).toThrow(InvariantViolation);
  });

  it("is bounded", () => {
    const registry = createBlockRegistry();
    for (let seq = 1; seq <= CERTIFIED_BLOCKS_MAX + 10; seq++) recordCertifiedBlock(registry, header(seq, seq - 1), hash(seq));
    expect(registry.certified.size).toBe(CERTIFIED_BLOCKS_MAX);
    expect(registry.certified.has(10)).toBe(false);
  });
});

describe("a bounded map", () => {
  it("forgets the oldest entry, and none when a key is set again", () => {
    const map = new Map<number, string>();
    for (const key of [1, 2, 2, 3]) setBounded(map, key, "x", 2);
    expect([...map.keys()]).toEqual([2, 3]);
  });
});

describe("splitting operations into bundles", () => {
  it("keeps order, fills each bundle, exceeds no cap", () => {
    const sizes = fc.array(fc.nat(60), { maxLength: 40 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 8 }), (bytes, operationsMax) => {
        const operations = bytes.map(operation);
        const bundleBytesMax = BUNDLE_OVERHEAD_BYTES + 200;
        const units = splitIntoUnits(operations, { operationsMax, bundleBytesMax });
        expect(units.flat()).toEqual(operations);
        const total = (unit: readonly Operation[]): number => unit.reduce((sum, one) => sum + operationBytes(one), BUNDLE_OVERHEAD_BYTES);
        for (const [i, unit] of units.entries()) {
          expect(unit.length).toBeGreaterThan(0);
          expect(unit.length).toBeLessThanOrEqual(operationsMax);
          expect(total(unit)).toBeLessThanOrEqual(bundleBytesMax);
          const next = units[i + 1]?.[0];
          if (next !== undefined) expect(unit.length === operationsMax || total(unit) + operationBytes(next) > bundleBytesMax).toBe(true);
        }
      }),
    );
  });
});

describe("the outbox", () => {
  const timers = { now: () => 0, set: () => undefined, clear: () => undefined };
  const unitOf = (...bytes: readonly number[]): Unit =>
    new Unit({ operations: bytes.map(operation), timers, timeoutMs: Number.POSITIVE_INFINITY, timeoutError: () => new Error("late"), signal: undefined, onGivenUp: () => undefined });
  const limits = (operationsMax: number, bytesMax = 1_000): Parameters<Outbox["take"]>[0] => ({ operationsMax, bytesMax, bytesOf: (one) => one.payload.length });

  it("hands out whole units, first in first out", () => {
    const outbox = new Outbox();
    const units = [unitOf(1), unitOf(2, 3), unitOf(4)];
    const [[a], [b, c], [d]] = units.map(({ submissions }) => submissions) as [Unit["submissions"], Unit["submissions"], Unit["submissions"]];
    for (const unit of units) outbox.add(unit);
    expect([outbox.operations, outbox.bytes]).toEqual([4, 10]);
    expect(outbox.take(limits(2))).toEqual([a]);
    expect(outbox.take(limits(3, 5))).toEqual([b, c]);
    expect(outbox.take(limits(3, 3))).toEqual([]);
    expect(outbox.take(limits(3, 4))).toEqual([d]);
    expect([outbox.operations, outbox.bytes]).toEqual([0, 0]);
  });

  it("forgets operations given up, at once and for good", async () => {
    const outbox = new Outbox();
    const unit = unitOf(5, 6);
    const [a, b] = unit.submissions as [Submission, Submission];
    outbox.add(unit);
    a.reject("a");
    outbox.forget(unit, a);
    expect([outbox.operations, outbox.bytes]).toEqual([1, 6]);
    expect(outbox.drain()).toEqual([b]);
    b.reject("b");
    b.reject("too late");
    outbox.forget(unit, b);
    expect([outbox.operations, outbox.bytes]).toEqual([0, 0]);
    expect(await unit.settled).toEqual([{ status: "rejected", reason: "a" }, { status: "rejected", reason: "b" }]);
  });
});

describe("operations that are waited for together", () => {
  it("have one timer and one listener, which go with the last of them; the first outcome of each counts", async () => {
    const timers = new FakeTimers();
    const abort = new AbortController();
    const given: unknown[] = [];
    const unit = new Unit({
      operations: [operation(1), operation(2), operation(3)], timers, timeoutMs: 1_000, signal: abort.signal,
      timeoutError: () => new Error("late"), onGivenUp: (_unit, submission) => given.push(submission),
    });
    const [a, b, c] = unit.submissions as [Submission, Submission, Submission];
    b.reject("refused");
    b.reject("again");
    expect([timers.pending, getEventListeners(abort.signal, "abort").length, a.settled, b.settled]).toEqual([1, 1, false, true]);
    abort.abort("stop");
    a.reject("after the abort");
    await timers.advance(2_000);
    expect(given).toEqual([a, c]);
    expect([timers.pending, getEventListeners(abort.signal, "abort").length]).toEqual([0, 0]);
    expect(await unit.settled).toEqual(["stop", "refused", "stop"].map((reason) => ({ status: "rejected", reason })));
  });
});
