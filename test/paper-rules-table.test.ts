/** The table "Rule → where it is held" of the protocol page names files and tests: all of them must exist. */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

const root = new URL("..", import.meta.url).pathname;
const page = readFileSync(`${root}packages/pbft/PROTOCOL.md`, "utf8");
const at = (path: string): string => `${root}${path.startsWith("test/") || path.startsWith("apps/") ? "" : "packages/"}${path}`;

interface Rule {
  readonly id: string;
  readonly held: string;
  readonly tests: string;
}
const rules: readonly Rule[] = page.split("\n").flatMap((line) => {
  const cells = line.split(" | ").map((cell) => cell.replace(/^\| | \|$/g, ""));
  const [id, , held, tests] = cells;
  return id !== undefined && /^[A-Z]\d+$/.test(id) ? [{ id, held: held ?? "", tests: tests ?? "" }] : [];
});

/** Titles in quotes belong to the path before them. */
function named(cell: string): readonly { readonly path: string; readonly titles: readonly string[] }[] {
  return cell.split(/(?=`[\w./-]+\.ts`)/).flatMap((part) => {
    const path = /^`([\w./-]+\.ts)`/.exec(part)?.[1];
    return path === undefined ? [] : [{ path, titles: [...part.matchAll(/"([^"]+)"/g)].map((m) => m[1] as string) }];
  });
}

describe("rule → where it is held", () => {
  test("the table is there, its rules are numbered once each, and each is held and tested, or said not to be built", () => {
    expect(rules.length).toBeGreaterThan(60);
    expect(new Set(rules.map((r) => r.id)).size).toBe(rules.length);
    const loose = rules.filter(({ held, tests }) => (held === "–" ? !tests.startsWith("not built: ") : named(held).length === 0 || named(tests).length === 0));
    expect(loose.map((r) => r.id)).toEqual([]);
  });

  test("every file it names exists", () => {
    const missing = rules.flatMap(({ id, held, tests }) => [...named(held), ...named(tests)].filter(({ path }) => !existsSync(at(path))).map(({ path }) => `${id}: ${path}`));
    expect(missing).toEqual([]);
  });

  test("every test it names is in that file", () => {
    const missing = rules.flatMap(({ id, tests }) => named(tests).filter(({ path }) => existsSync(at(path))).flatMap(({ path, titles }) => {
      const text = readFileSync(at(path), "utf8");
      return titles.filter((title) => !text.includes(title)).map((title) => `${id}: ${path} has no test "${title}"`);
    }));
    expect(missing).toEqual([]);
  });
});
