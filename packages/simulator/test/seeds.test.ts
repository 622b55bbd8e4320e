/** Seeds across fault kinds and sizes. Failures print everything needed to repeat them. */
import { describe, expect, test } from "vitest";
import { describePlan, type FaultKind, simulate, simulateEngine, type SimResult } from "../src/index.ts";

const failure = (result: SimResult): string | undefined => (result.outcome === "ok" ? undefined
  : [...describePlan(result.plan), ...result.cast, `${result.outcome} (${result.oracle}): ${result.detail}`, `repeat: pnpm sim ${result.plan.seed} --n ${result.plan.quorums.n} --faults ${result.plan.faults} --chaos ${result.plan.chaosMs}`].join("\n"));

/** Short, to leave room for more seeds; `pnpm sim` runs longer ones. */
const CHAOS_MS = 1_000;

interface Sum {
  readonly failures: string[];
  viewsLeft: number;
  crashes: number;
  executed: number;
  stable: number;
}

/** Runs `count` seeds; returns what went wrong, and what happened in sum. */
function runSeeds(faults: FaultKind, n: number | undefined, first: number, count: number): Readonly<Sum> {
  const sum: Sum = { failures: [], viewsLeft: 0, crashes: 0, executed: 0, stable: 0 };
  for (let seed = first; seed < first + count; seed++) {
    const result = simulateEngine({ seed, faults, chaosMs: CHAOS_MS, ...(n !== undefined && { n }) });
    const problem = failure(result);
    if (problem !== undefined) sum.failures.push(problem);
    sum.viewsLeft += result.counters.viewsLeft;
    sum.crashes += result.counters.crashes;
    sum.executed += result.counters.executedSlots;
    sum.stable += result.counters.stableCheckpoints;
  }
  return sum;
}

describe("seeds", () => {
  test.each([1, 2, 3, 4, 5, 6, 7])("n = %i: crashes, bad networks and liars, alone and together", (n) => {
    for (const faults of ["none", "crash", "network", "byzantine", "all"] as const) {
      expect(runSeeds(faults, n, 100 * n, 4).failures).toEqual([]);
    }
  });

  test.each(["crash", "network", "byzantine", "all"] as const)("%s: the faults really happen, and the cluster gets over them", (faults) => {
    const { failures, viewsLeft, crashes, executed, stable } = runSeeds(faults, undefined, 5_000, 36);
    expect(failures).toEqual([]);
    expect(viewsLeft).toBeGreaterThan(faults === "byzantine" ? 10 : 30);
    expect(crashes > 100).toBe(faults === "crash" || faults === "all");
    expect(executed).toBeGreaterThan(1_000);
    expect(stable).toBeGreaterThan(200);
  });

  test("without faults no view is ever left and nobody is rejected for misbehaviour", () => {
    const { failures, viewsLeft } = runSeeds("none", undefined, 1, 20);
    expect(failures).toEqual([]);
    expect(viewsLeft).toBe(0);
  });

  test("twins of one key, f of them, change nothing", () => {
    for (let seed = 1; seed <= 20; seed++) expect(failure(simulateEngine({ seed, n: 4, faults: "byzantine", policies: ["twins"], chaosMs: CHAOS_MS }))).toBeUndefined();
  });
});

describe("negative control: with more than f liars the oracles must be able to fire", () => {
  const broken = (policy: "equivocate" | "twins"): readonly SimResult[] => Array.from({ length: 30 }, (_, seed) =>
    simulateEngine({ seed, n: 4, byzantine: 2, faults: "byzantine", policies: [policy] })).filter((r) => r.outcome === "safety" || r.outcome === "crash");

  test("f + 1 equivocating replicas break agreement", () => {
    const results = broken("equivocate");
    expect(results.length).toBeGreaterThan(10);
    expect(results.some((r) => r.oracle === "agreement")).toBe(true);
  });

  test("f + 1 twinned replicas break agreement, or make clients believe in two histories", () => {
    const results = broken("twins");
    expect(results.length).toBeGreaterThan(5);
    // Nothing but the theorem breaks: agreement, what follows from it (two correct sides blame each other as well), or an engine that stops before it lies.
    for (const r of results) expect(["agreement", "validity", "state", "engine", "execution", "accusation"]).toContain(r.oracle);
  });

  test.each(["linearizability", "linearizability-search"] as const)("f + 1 liars tell clients one lie: %s alone notices", async (oracle) => {
    const options = { n: 4, byzantine: 2, faults: "byzantine", policies: ["status-liar"], oracles: [oracle], chaosMs: 800 } as const;
    const seeds = [1, 3];
    const engine = seeds.map((seed) => simulateEngine({ seed, ...options }));
    const replica = await Promise.all(seeds.map((seed) => simulate({ seed, ...options })));
    for (const results of [engine, replica]) {
      const told = results.filter((r) => r.outcome !== "ok");
      expect(told.length).toBeGreaterThan(0);
      for (const r of told) expect([r.outcome, r.oracle]).toEqual(["safety", oracle]);
    }
  });
});
