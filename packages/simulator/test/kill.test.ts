/** Seeded bugs: every one still fits the sources, and a few that die fast do. All of them: `pnpm sim kill`. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { NEGATIVE_CONTROLS } from "../src/kill/controls.ts";
import { MUTATIONS } from "../src/kill/mutations.ts";
import { applied, checkoutRoot } from "../src/kill/sandbox.ts";
import { staleness } from "../src/kill/table.ts";

const root = checkoutRoot();

describe("seeded bugs", () => {
  test.each(MUTATIONS.map((mutation) => [mutation.name, mutation] as const))("%s: its text is in the sources, and is changed", (_name, mutation) => {
    expect(mutation.edits.length).toBeGreaterThan(0);
    for (const file of new Set(mutation.edits.map((edit) => edit.file))) {
      const source = readFileSync(join(root, "packages", file), "utf8");
      expect(applied(source, mutation, file)).not.toBe(source);
    }
  });

  test("there are about forty, each with a name of its own", () => {
    expect(new Set(MUTATIONS.map(({ name }) => name)).size).toBe(MUTATIONS.length);
    expect(MUTATIONS.length).toBeGreaterThanOrEqual(40);
  });

  test("KILLS.md has them all, dead within their seeds", () => {
    const page = readFileSync(join(root, "packages/simulator/KILLS.md"), "utf8");
    const hunted = [...MUTATIONS, ...NEGATIVE_CONTROLS];
    expect(staleness(page, hunted)).toEqual([]);
    const [first, ...others] = MUTATIONS;
    const row = page.split("\n").find((line) => line.includes(`| ${first?.name} |`)) as string;
    const lives = page.replace(row, `| ${first?.name} | **LIVES** | | ${first?.seedsMax} | |`);
    expect(staleness(lives, hunted)).toEqual([`"${first?.name}" did not die within ${first?.seedsMax} seeds`]);
    expect(staleness(page.replace(`${row}\n`, ""), hunted)).toEqual([`"${first?.name}" has no row`]);
    expect(staleness(page, [...others, ...NEGATIVE_CONTROLS])).toEqual([`"${first?.name}" is no seeded bug any more`]);
  });

  test("a text that is gone is an error that names bug, file and text", () => {
    const stale = { name: "stale", seedsMax: 1, edits: [{ file: "pbft/src/vote.ts", find: "no such text", replace: "" }] };
    expect(() => applied("something else", stale, "pbft/src/vote.ts")).toThrow(/seeded bug "stale": packages\/pbft\/src\/vote.ts no longer holds "no such text"/);
  });

  test("a line that was edited is pointed at; one that is there twice is an error", () => {
    const [edits, file] = [[{ file: "f.ts", find: "if (count >= strong(r)) return yes;", replace: "" }], "f.ts"];
    const bug = { name: "b", seedsMax: 1, edits };
    expect(() => applied("x\nif (count > strong(r)) return yes;\n", bug, file)).not.toThrow(/perhaps line 1/);
    expect(() => applied("x\nif (count > strong(r)) return yes;\n", bug, file)).toThrow(/no longer holds \(but perhaps line 2: if \(count > strong\(r\)\) return yes;\)/);
    expect(() => applied(`${edits[0]?.find}${edits[0]?.find}`, bug, file)).toThrow(/holds 2 times, not 1, "if/);
  });
});
