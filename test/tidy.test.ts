/** House rules as a test: import direction, one entry per package, budgets, banned words and globals. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative, sep } from "node:path";
import ts from "typescript";
import { describe, expect, test } from "vitest";

const root = new URL("..", import.meta.url).pathname;

/** What each package may import of ours. Only downwards; a new line here is a decision about the architecture. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  crypto: ["core"],
  wire: ["core"],
  pbft: ["core"],
  storage: ["core", "crypto", "wire"],
  network: ["core"],
  replica: ["core", "crypto", "wire", "pbft", "storage", "network"],
  client: ["core", "crypto", "wire"],
  // The simulator runs a replica as it ships, so it stands above it; only by the entries that load no LevelDB, libp2p, pino or prom-client.
  simulator: ["core", "crypto", "wire", "pbft", "storage/portable", "network/frames", "replica/core"],
};
/** Second entries of packages, for who must not load what the first one brings. */
const SECOND_ENTRIES: ReadonlySet<string> = new Set(["storage/portable", "network/frames", "replica/core"]);

/** Lines in a source file, and in a function, at most. */
const FILE_LINES_MAX = 400;
const FUNCTION_LINES_MAX = 70;
const LINE_COLUMNS_MAX = 180;

function filesUnder(dir: string): readonly string[] {
  return readdirSync(dir).flatMap((name) => {
    const path = join(dir, name);
    if (name === "node_modules" || name === "dist") return [];
    if (statSync(path).isDirectory()) return filesUnder(path);
    return name.endsWith(".ts") ? [path] : [];
  });
}

const packages = Object.keys(MAY_IMPORT);
const sources = [...packages.flatMap((p) => filesUnder(join(root, "packages", p, "src"))), ...filesUnder(join(root, "apps/ledger/src")), ...filesUnder(join(root, "apps/ledger/verify-page"))];
const tests = [...packages.flatMap((p) => filesUnder(join(root, "packages", p, "test"))), ...filesUnder(join(root, "apps/ledger/test")), ...filesUnder(join(root, "test")), ...filesUnder(join(root, "bench"))];
const name = (path: string): string => relative(root, path).split(sep).join("/");
const text = (path: string): string => readFileSync(path, "utf8");
const parse = (path: string): ts.SourceFile => ts.createSourceFile(path, text(path), ts.ScriptTarget.ES2022, true);

function imports(path: string): readonly string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier !== undefined && ts.isStringLiteral(node.moduleSpecifier)) found.push(node.moduleSpecifier.text);
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword && node.arguments[0] !== undefined && ts.isStringLiteral(node.arguments[0])) found.push(node.arguments[0].text);
    ts.forEachChild(node, visit);
  };
  visit(parse(path));
  return found;
}

/** What loading the file loads: not types, not what is imported later. */
function staticImports(path: string): readonly string[] {
  return parse(path).statements.flatMap((node) => {
    if (ts.isImportDeclaration(node)) return node.importClause?.isTypeOnly === true || !ts.isStringLiteral(node.moduleSpecifier) ? [] : [node.moduleSpecifier.text];
    if (!ts.isExportDeclaration(node) || node.isTypeOnly || node.moduleSpecifier === undefined || !ts.isStringLiteral(node.moduleSpecifier)) return [];
    return [node.moduleSpecifier.text];
  });
}

/** The source that `@narses/…` stands for. */
function entryOf(target: string): string {
  const [other, second] = target.slice("@narses/".length).split("/") as [string, string | undefined];
  return join(root, "packages", other, "src", `${second ?? "index"}.ts`);
}

function functions(path: string): readonly { readonly at: string; readonly lines: number }[] {
  const file = parse(path);
  const found: { at: string; lines: number }[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && "body" in node && node.body !== undefined) {
      const from = file.getLineAndCharacterOfPosition(node.getStart()).line;
      const to = file.getLineAndCharacterOfPosition(node.end).line;
      found.push({ at: `${name(path)}:${from + 1}`, lines: to - from + 1 });
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

describe("tidy", () => {
  test("every package is in the table of import directions", () => {
    expect(readdirSync(join(root, "packages")).sort()).toEqual([...packages].sort());
  });

  test("imports point down the table, and only at a package's entry", () => {
    const wrong = packages.flatMap((p) => filesUnder(join(root, "packages", p, "src")).flatMap((path) => imports(path).flatMap((target) => {
      if (!target.startsWith("@narses/")) return target.startsWith("..") && !join(path, "..", target).startsWith(join(root, "packages", p)) ? [`${name(path)} → ${target}`] : [];
      const entry = target.slice("@narses/".length);
      const [other] = entry.split("/");
      const allowed = MAY_IMPORT[p] ?? [];
      const isEntry = entry === other || SECOND_ENTRIES.has(entry);
      return isEntry && (allowed.includes(entry) || allowed.includes(other as string)) ? [] : [`${name(path)} → ${target}`];
    })));
    expect(wrong).toEqual([]);
  });

  test("a simulation loads no LevelDB, libp2p, pino or prom-client", () => {
    const seen = new Set<string>();
    const foreign = new Set<string>();
    const visit = (path: string): void => {
      if (seen.has(path)) return;
      seen.add(path);
      for (const target of staticImports(path)) {
        if (target.startsWith(".")) visit(join(path, "..", target));
        else if (target.startsWith("@narses/")) visit(entryOf(target));
        else if (!target.startsWith("node:") && !target.startsWith("#")) foreign.add(target);
      }
    };
    visit(join(root, "packages/simulator/src/index.ts"));
    expect(seen.size).toBeGreaterThan(100);
    expect([...foreign].filter((target) => /^(classic-level|libp2p|@libp2p|@chainsafe|pino|prom-client)/.test(target))).toEqual([]);
  });

  test("an import of ours is a declared dependency", () => {
    const wrong = packages.flatMap((p) => {
      const declared = JSON.parse(text(join(root, "packages", p, "package.json"))) as Record<string, Record<string, string> | undefined>;
      const used = new Set(filesUnder(join(root, "packages", p, "src")).flatMap(imports).filter((t) => t.startsWith("@narses/")));
      return [...used].filter((t) => declared["dependencies"]?.[t.split("/").slice(0, 2).join("/")] === undefined).map((t) => `${p} uses ${t} undeclared`);
    });
    expect(wrong).toEqual([]);
  });

  test("the deciding packages know no clock, no randomness, no IO and no promise", () => {
    const banned = /\bDate\b|Math\.random|\basync\b|\bawait\b|\bPromise\b|setTimeout|setInterval|node:/;
    const allowed = new Set(["packages/core/src/ports.ts"]); // names the promises of the thin parts
    const wrong = ["core", "pbft"].flatMap((p) => filesUnder(join(root, "packages", p, "src"))).filter((path) => !allowed.has(name(path))).flatMap((path) =>
      text(path).split("\n").flatMap((line, i) => (banned.test(line.replace(/\/\/.*|^\s*\*.*|\/\*.*\*\//, "")) ? [`${name(path)}:${i + 1}: ${line.trim()}`] : [])));
    expect(wrong).toEqual([]);
  });

  test("only verifiers mint Verified", () => {
    const minters = sources.filter((path) => /\bmintVerified\(/.test(text(path))).map(name);
    for (const path of minters) expect(path).toMatch(/^packages\/(replica\/src\/(verify|admission)|simulator\/src\/)/);
  });

  test("files and functions stay within their budgets", () => {
    const long = [...sources, ...tests].map((path) => ({ at: name(path), lines: text(path).split("\n").length })).filter(({ at, lines }) => lines > FILE_LINES_MAX && !at.includes("vectors"));
    expect(long).toEqual([]);
    expect(sources.flatMap(functions).filter((f) => f.lines > FUNCTION_LINES_MAX)).toEqual([]);
  });

  test("no line is wider than the limit", () => {
    const wide = sources.flatMap((path) => text(path).split("\n").flatMap((line, i) => (line.length > LINE_COLUMNS_MAX ? [`${name(path)}:${i + 1} has ${line.length} columns`] : [])));
    expect(wide).toEqual([]);
  });

  test("nothing unfinished, silenced or skipped lands", () => {
    const banned = /\b(TODO|FIXME|XXX)\b|@ts-(ignore|nocheck|expect-error)|\bas any\b|\b(it|test|describe)\.(only|todo)\b|expect\(true\)\.toBe\(true\)/;
    const self = name(new URL(import.meta.url).pathname);
    const wrong = [...sources, ...tests].filter((path) => name(path) !== self).flatMap((path) => text(path).split("\n").flatMap((line, i) => (banned.test(line) ? [`${name(path)}:${i + 1}: ${line.trim()}`] : [])));
    expect(wrong).toEqual([]);
  });

  test("quorums come from the formula: no literal 2f+1 in code", () => {
    const wrong = sources.flatMap((path) => text(path).split("\n").flatMap((line, i) => (/\b2 ?\* ?\w*\.?f ?\+ ?1\b/.test(line.replace(/\/\/.*|^\s*\*.*/, "")) ? [`${name(path)}:${i + 1}`] : [])));
    expect(wrong).toEqual([]);
  });

  test("every package has a README that says what it owns", () => {
    for (const p of packages) expect(text(join(root, "packages", p, "README.md"))).toMatch(/owns/i);
  });
});
