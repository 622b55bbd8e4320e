/** Whole replicas, as they ship, in simulated clusters: seeds across fault kinds, and the same seed twice. */
import { describe, expect, test } from "vitest";
import { describePlan, FAULT_KINDS, simulate, type SimResult } from "../src/index.ts";

const CHAOS_MS = 600;

const failure = (result: SimResult): string | undefined => (result.outcome === "ok" ? undefined
  : [...describePlan(result.plan), ...result.cast, `${result.outcome} (${result.oracle}): ${result.detail}`, `repeat: pnpm sim ${result.plan.seed} --faults ${result.plan.faults} --chaos ${result.plan.chaosMs}`].join("\n"));

describe("whole replicas", () => {
  test.each(FAULT_KINDS)("%s: seeds", async (faults) => {
    let accepted = 0;
    for (let seed = 1; seed <= 4; seed++) {
      const result = await simulate({ seed, faults, chaosMs: CHAOS_MS });
      expect(failure(result)).toBeUndefined();
      accepted += result.accepted;
    }
    expect(accepted).toBeGreaterThan(20);
  });

  test("real signatures give the same answers as fake ones", async () => {
    const [real, fake] = await Promise.all([true, false].map((realCrypto) => simulate({ seed: 3, n: 4, faults: "none", chaosMs: 200, realCrypto })));
    expect(failure(real as SimResult)).toBeUndefined();
    expect(real?.accepted).toBe(fake?.accepted);
    expect(real?.traceHash).not.toBe(fake?.traceHash); // digests cover keys and signatures
  });

  test("the same seed twice gives the same trace, byte for byte", async () => {
    for (const seed of [1, 2]) {
      const options = { seed, faults: "all", chaosMs: CHAOS_MS, traceLines: 50_000 } as const;
      const [first, second] = [await simulate(options), await simulate(options)];
      expect(first.trace).toEqual(second.trace);
      expect(first.traceHash).toBe(second.traceHash);
      expect(first.trace.length).toBeGreaterThan(100);
    }
  });

  test.each([
    ["disk", ["slow-disk", "full-disk", "failing-disk", "damage", "misdirected-write", "backup", "lying-disk", "power-loss", "crash-in-turn"]],
    ["network", ["weather", "uneven-weather", "partition", "flapping", "narrow-replica", "clog", "reset"]],
  ] as const)("%s: the catalogue is drawn from, and damage is noticed", async (faults, acts) => {
    const met = new Map<string, number>();
    let damageNoticed = 0;
    for (let seed = 1; seed <= 10; seed++) {
      const result = await simulate({ seed, n: 4, faults, chaosMs: 1_500, traceLines: 50_000 });
      expect(failure(result)).toBeUndefined();
      for (const [name, count] of result.counters.acts) met.set(name, (met.get(name) ?? 0) + count);
      damageNoticed += result.trace.filter((line) => /# stops: .*(is damaged|does not validate|has a damaged header|is missing)/.test(line)).length;
    }
    for (const act of acts) expect(met.get(act), act).toBeGreaterThan(0);
    if (faults === "disk") expect(damageNoticed).toBeGreaterThan(0);
  });

  test("f + 1 equivocating replicas break it (negative control)", async () => {
    const outcomes: string[] = [];
    for (let seed = 0; seed < 8; seed++) outcomes.push((await simulate({ seed, n: 4, byzantine: 2, faults: "byzantine", policies: ["equivocate"], chaosMs: CHAOS_MS })).outcome);
    expect(outcomes.filter((outcome) => outcome === "safety" || outcome === "crash").length).toBeGreaterThan(2);
  });
});
