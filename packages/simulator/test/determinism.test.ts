import { describe, expect, test } from "vitest";
import { FAULT_KINDS, planRun, simulateEngine } from "../src/index.ts";

describe("determinism", () => {
  test.each(FAULT_KINDS)("the same seed twice gives the same trace (%s)", (faults) => {
    for (const seed of [1, 2]) {
      const options = { seed, faults, chaosMs: 800, traceLines: 50_000 };
      const [first, second] = [simulateEngine(options), simulateEngine(options)];
      expect(first.trace).toEqual(second.trace);
      expect(first.traceHash).toBe(second.traceHash);
      expect(first.events).toBe(second.events);
    }
  });

  test("keeping lines or not does not change the hash", () => {
    expect(simulateEngine({ seed: 5, faults: "all", chaosMs: 800 }).traceHash).toBe(simulateEngine({ seed: 5, faults: "all", chaosMs: 800, traceLines: 10 }).traceHash);
  });

  test("different seeds give different traces", () => {
    const hashes = new Set(Array.from({ length: 8 }, (_, seed) => simulateEngine({ seed, n: 4, faults: "network", chaosMs: 300 }).traceHash));
    expect(hashes.size).toBe(8);
  });

  test("options out of range are the caller's mistake", () => {
    expect(() => planRun({ seed: 1, n: 0 })).toThrow(/n must be an integer from 1 to 13/);
    expect(() => planRun({ seed: 1, n: 4, f: 2 })).toThrow(RangeError);
    expect(() => planRun({ seed: 1, n: 4, byzantine: 5 })).toThrow(/byzantine must be/);
  });
});
