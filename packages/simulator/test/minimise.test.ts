/** Scenarios: chance written down, replayed without a generator, and made small; past failures are kept as files beside this test. */
import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { StateMachine } from "@narses/core";
import { planRun } from "../src/index.ts";
import { ddmin } from "../src/minimise/ddmin.ts";
import { minimise } from "../src/minimise/minimise.ts";
import { packTapes, parseScenario, replay, replayTapes } from "../src/minimise/scenario.ts";
import { ComponentTapeRandom, RecordingRandom, TapeRandom } from "../src/minimise/tape.ts";
import { Random } from "../src/random.ts";
import { runPlan } from "../src/simulate.ts";

describe("delta debugging", () => {
  test("finds exactly what is needed, whatever stands around it", async () => {
    await fc.assert(fc.asyncProperty(fc.uniqueArray(fc.nat(60), { minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 4 }), async (parts, count) => {
      const needed = parts.slice(0, count);
      const kept = await ddmin(parts, (some) => Promise.resolve(needed.every((part) => some.includes(part))));
      expect([...kept].sort()).toEqual([...needed].sort());
    }));
  });

  test("keeps nothing when nothing is needed", async () => {
    expect(await ddmin([1, 2, 3], () => Promise.resolve(true))).toEqual([]);
  });
});

describe("chance on tape", () => {
  test("recording draws what the generator draws", () => {
    const [plain, recording] = [new Random("p"), new RecordingRandom("p", new Map())];
    const draw = (r: Random): readonly unknown[] => [r.word(), r.float(), r.int(3, 9), r.chance(0.5), r.exponential(10), r.pick(["a", "b", "c"]), r.shuffle([1, 2, 3, 4]), r.split("x").word()];
    expect(draw(recording)).toEqual(draw(plain));
  });

  test("a recorded run replays to the same trace, and other values on the tape change it", async () => {
    for (const seed of [3, 4]) {
      const tapes = new Map<string, number[]>();
      const plan = planRun({ seed, n: 4, faults: "all", chaosMs: 400 });
      const recorded = await runPlan({ ...plan, randomOf: (path) => new RecordingRandom(path, tapes) }, "engine");
      expect((await runPlan(plan, "engine")).traceHash).toBe(recorded.traceHash);
      expect((await replayTapes(plan, "engine", tapes, 0)).traceHash).toBe(recorded.traceHash);
      expect((await replayTapes(plan, "engine", new Map(), 0)).traceHash).not.toBe(recorded.traceHash);
    }
  });

  test("the same at the depth of whole replicas", async () => {
    const tapes = new Map<string, number[]>();
    const plan = planRun({ seed: 5, n: 4, faults: "crash", chaosMs: 300 });
    const recorded = await runPlan({ ...plan, randomOf: (path) => new RecordingRandom(path, tapes) }, "replica");
    expect((await replayTapes(plan, "replica", tapes, 0)).traceHash).toBe(recorded.traceHash);
  });

  test("what the tape does not say is the quiet choice", () => {
    const random = new TapeRandom("p", new Map());
    expect([random.chance(), random.int(4, 9), random.exponential(7), random.pick(["a", "b"]), random.float(), random.word(), random.shuffle([1, 2, 3])]).toEqual([false, 4, 7, "a", 0.5, 0, [2, 3, 1]]);
  });

  test("each act has decisions of its own: one that is left out does not shift those of the others", () => {
    const tapes = new Map<string, number[]>();
    const draw = (random: Random): readonly number[] => ["a", "b", "c"].map((act) => random.within(act, () => random.int(1, 1000)));
    const [a, b, c] = draw(new RecordingRandom("p", tapes));
    expect(draw(new TapeRandom("p", tapes))).toEqual([a, b, c]);
    expect(draw(new TapeRandom("p", new Map([...tapes].filter(([path]) => path !== "p#b"))))).toEqual([a, 1, c]);
    // The act within an act is another one, and after it the outer one goes on.
    const nested = (random: Random): readonly number[] => random.within("a", () => [random.word(), random.within("b", () => random.word()), random.word()]);
    const recorded = nested(new RecordingRandom("q", tapes));
    expect(tapes.get("q#a")).toEqual([recorded[0], recorded[2]]);
    expect(nested(new TapeRandom("q", tapes))).toEqual(recorded);
  });

  test("files from before acts had tapes of their own are read as they were written", () => {
    const tapes = new Map([["p", [11, 12, 13]]]);
    const draw = (random: Random): readonly number[] => ["a", "b", "c"].map((act) => random.within(act, () => random.word()));
    expect(draw(new ComponentTapeRandom("p", tapes))).toEqual([11, 12, 13]);
    expect(draw(new ComponentTapeRandom("r", new Map([["r/x", [4, 5, 6]]])).split("x"))).toEqual([4, 5, 6]);
  });

  test("packed tapes hold the stretches that say something", () => {
    expect(packTapes(new Map([["b", [null, 1, 2, null, 3]], ["a", [null]]]))).toEqual({ b: [[1, 1, 2], [4, 3]] });
  });
});

describe("minimising", () => {
  test("a failing run becomes a small scenario that fails in the same way", async () => {
    const options = { n: 4, byzantine: 2, faults: "byzantine", policies: ["equivocate"], chaosMs: 800 } as const;
    for (let seed = 1; seed < 10; seed++) {
      const minimised = await minimise({ seed, ...options }, "engine", () => undefined);
      if (minimised === undefined || "again" in minimised) continue;
      expect(minimised.after).toBeLessThan(minimised.before / 2);
      const again = parseScenario(JSON.stringify(minimised.scenario), "again");
      const result = await replay(again, 50);
      expect([result.outcome, result.oracle]).toEqual([again.expect.outcome, again.expect.oracle]);
      expect((await replay(again, 0)).traceHash).toBe(result.traceHash);
      return;
    }
    throw new RangeError("no seed failed: more than f liars must be able to break agreement");
  });

  const tiny = { n: 1, faults: "none", chaosMs: 100, clients: 1, habits: [] } as const;
  const ofThree: StateMachine = {
    apply: (_operation, { store }) => {
      const count = ((store.get("count") as number | undefined) ?? 0) + 1;
      if (count === 3) throw new RangeError("three is too many");
      store.put("count", count);
      return count;
    },
  };

  test("so does one of an application: the scenario names its module, and replays with it", async () => {
    const application = { app: ofThree, operation: () => 1, genesis: null, name: "./three.ts" };
    const seed = 2;
    const minimised = await minimise({ seed, ...tiny }, "replica", () => undefined, application);
    if (minimised === undefined || "again" in minimised) throw new RangeError("the application fails at its third operation, each time");
    expect(minimised.scenario).toMatchObject({ app: "./three.ts", expect: { outcome: "crash", oracle: "application" } });
    expect(minimised.after).toBeLessThan(minimised.before);
    const again = await replay(parseScenario(JSON.stringify(minimised.scenario), "again"), 0, application);
    expect([again.outcome, again.oracle]).toEqual(["crash", "application"]);
    expect(again.detail).toContain("three is too many");
  });

  test("what no decision of the run governs cannot be replayed, and is said to be so", async () => {
    let calls = 0;
    const app: StateMachine = {
      apply: () => {
        if (++calls === 3) throw new RangeError("the third call of this process");
        return null;
      },
    };
    const minimised = await minimise({ seed: 2, ...tiny }, "replica", () => undefined, { app, operation: () => 1, genesis: null, name: "./app.ts" });
    expect(minimised).toMatchObject({ failure: { outcome: "safety" }, again: { outcome: "ok" } });
  });

  test("a seed that does not fail gives no scenario", async () => {
    expect(await minimise({ seed: 1, n: 4, faults: "none", chaosMs: 200 }, "engine", () => undefined)).toBeUndefined();
  });

  test("files that are no scenarios say why", () => {
    expect(() => parseScenario("{", "x.json")).toThrow(/x.json is not JSON/);
    expect(() => parseScenario("{\"format\":\"other\"}", "x.json")).toThrow(/of format other/);
    expect(() => parseScenario("{\"format\":\"narses-scenario-1\"}", "x.json")).toThrow(/lacks plan/);
    const { chaosMs: _, ...older } = planRun({ seed: 3 });
    const earlier = JSON.stringify({ format: "narses-scenario-1", title: "", expect: { outcome: "ok" }, depth: "engine", decisions: {}, plan: older });
    expect(() => parseScenario(earlier, "x.json")).toThrow(/x.json has no number, text or list at plan.chaosMs/);
  });
});

describe("past failures", () => {
  const dir = new URL("scenarios/", import.meta.url);
  test.each(readdirSync(dir).filter((name) => name.endsWith(".json")))("%s ends as it should", async (name) => {
    const scenario = parseScenario(readFileSync(new URL(name, dir), "utf8"), name);
    const result = await replay(scenario, 60);
    expect([result.outcome, result.detail ?? ""]).toEqual([scenario.expect.outcome, scenario.expect.outcome === "ok" ? "" : expect.any(String) as string]);
  });
});
