/** FAULTS.md names what coverage counts, all of it and nothing else; and the rows that were hardest to produce are produced. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { HABITS, type Habit, habitId, isServed, needsBytes } from "../src/clients/habits.ts";
import { catalogueOf, RULE_IDS } from "../src/coverage/catalogue.ts";
import { simulate, simulateEngine, type SimOptions, type SimResult } from "../src/index.ts";

const page = readFileSync(new URL("../FAULTS.md", import.meta.url), "utf8");
const rules: ReadonlySet<string> = new Set(RULE_IDS);
const faultsOf = (depth: "engine" | "replica"): readonly string[] => catalogueOf(depth).filter((id) => !rules.has(id));

describe("FAULTS.md", () => {
  const counters = [...page.matchAll(/`([a-z]+: [^`]+)`( \(r\))?/g)].map(([, id, only]) => ({ id: id as string, only: only !== undefined }));

  test("every fault that is counted has a row, and every counter of a row is counted", () => {
    expect([...new Set(counters.map(({ id }) => id))].sort()).toEqual([...faultsOf("replica")].sort());
  });

  test("what only whole replicas have is marked", () => {
    const engine = new Set(faultsOf("engine"));
    const wrong = page.split("\n").filter((line) => line.startsWith("|")).flatMap((line) => {
      const cell = line.split("|").at(-2) ?? "";
      return [...cell.matchAll(/`([a-z]+: [^`]+)`( \(r\))?/g)].flatMap(([, id, only]) => (engine.has(id as string) === (only === undefined) ? [] : [id]));
    });
    expect(wrong).toEqual([]);
  });

  test("rows 1 to 100 are all there", () => {
    const rows = new Set<number>();
    for (const [, cell] of page.matchAll(/^\| ([\d–, ]+) \|/gm)) {
      for (const part of (cell as string).split(", ")) {
        const [from, to] = part.split("–").map(Number);
        for (let row = from as number; row <= (to ?? (from as number)); row++) rows.add(row);
      }
    }
    expect(Array.from({ length: 100 }, (_, i) => i + 1).filter((row) => !rows.has(row))).toEqual([]);
  });
});

/** Seeds until `id` was counted; every one of them must end well. */
async function seedsUntil(id: string, run: (seed: number) => SimResult | Promise<SimResult>, seedsMax: number): Promise<number> {
  for (let seed = 1; seed <= seedsMax; seed++) {
    const result = await run(seed);
    expect([seed, result.outcome, result.detail]).toEqual([seed, "ok", undefined]);
    if ((result.coverage[id] ?? 0) > 0) return seed;
  }
  return Number.POSITIVE_INFINITY;
}

describe("misbehaving clients", () => {
  const options = (habit: Habit): Omit<SimOptions, "seed"> => ({ n: 4, faults: "network", chaosMs: 1_200, clients: 1, habits: [habit] });

  test.each(HABITS.filter((habit) => !needsBytes(habit)))("%s: has its effect on engines, and harms nobody", async (habit) => {
    expect(await seedsUntil(habitId(habit), (seed) => simulateEngine({ seed, ...options(habit), chaosMs: 4_000 }), 12)).toBeLessThan(13);
  });

  test.each(HABITS.filter((habit) => needsBytes(habit)))("%s: has its effect on whole replicas, and harms nobody", async (habit) => {
    expect(await seedsUntil(habitId(habit), (seed) => simulate({ seed, ...options(habit) }), 8)).toBeLessThan(9);
  });

  test("clumsy ones are served", () => {
    expect(HABITS.filter(isServed)).toEqual(["partial", "never-acks"]);
  });
});
