/**
 * Every bound of every package, read from the source: constants whose name says that they bound something, the parameters of a cluster, and the
 * options with defaults. What a bound is for, and what happens when it is reached, is its comment; here it becomes a page.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import ts from "typescript";

export interface Bound {
  readonly name: string;
  readonly value: string;
  readonly where: string;
  readonly text: string;
}

const root = new URL("..", import.meta.url).pathname;
const PACKAGES = ["core", "crypto", "wire", "pbft", "storage", "network", "replica", "client"] as const;

function sourcesOf(dir: string): readonly string[] {
  return readdirSync(dir).sort().flatMap((name) => {
    const path = join(dir, name);
    if (statSync(path).isDirectory()) return sourcesOf(path);
    return name.endsWith(".ts") ? [path] : [];
  });
}

const parse = (path: string): ts.SourceFile => ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.ES2022, true);
const where = (path: string): string => relative(root, path).replace(/^packages\//, "").replace("/src/", "/");

/** The comment before a declaration, as one line; that of the declaration before, if several share one. */
function comment(node: ts.Node): string {
  const docs = ts.getJSDocCommentsAndTags(node).map((doc) => doc.getText());
  return docs.join(" ").replace(/^\/\*\*|\*\/$/g, "").replace(/\n\s*\*/g, " ").replace(/\s+/g, " ").trim();
}

/** Bounds end so. Sizes of layouts and unit conversions do not. */
const NAME = /_(MAX|MIN)(_DEFAULT)?$|_(MAX)_[A-Z]+$|_DEFAULT$|_(PER_TICK|BURST_BYTES|TICKS|WINDOW)$/;

function constants(path: string): readonly Bound[] {
  const found: Bound[] = [];
  let shared = "";
  for (const statement of parse(path).statements) {
    // A declaration right below another one, without a line between them, shares its comment.
    const apart = /^\s*\n\s*\n/.test(statement.getFullText());
    shared = comment(statement) || (apart ? "" : shared);
    if (!ts.isVariableStatement(statement)) continue;
    for (const { name, initializer } of statement.declarationList.declarations) {
      const id = name.getText();
      if (!/^[A-Z][A-Z0-9_]*$/.test(id) || !NAME.test(id) || initializer === undefined) continue;
      found.push({ name: id, value: readable(initializer.getText()), where: where(path), text: shared });
    }
  }
  return found;
}

/** Fields of an interface with the values of the object that has their defaults. */
function fields(path: string, interfaceName: string, defaultsName: string): readonly Bound[] {
  const file = parse(path);
  const defaults = new Map<string, string>();
  const found: Bound[] = [];
  for (const statement of file.statements) {
    if (!ts.isVariableStatement(statement)) continue;
    for (const { name, initializer } of statement.declarationList.declarations) {
      if (name.getText() !== defaultsName || initializer === undefined || !ts.isObjectLiteralExpression(initializer)) continue;
      for (const property of initializer.properties) if (ts.isPropertyAssignment(property)) defaults.set(property.name.getText(), readable(property.initializer.getText()));
    }
  }
  for (const statement of file.statements) {
    if (!ts.isInterfaceDeclaration(statement) || statement.name.text !== interfaceName) continue;
    for (const member of statement.members) {
      const name = member.name?.getText() ?? "";
      found.push({ name, value: defaults.get(name) ?? "", where: where(path), text: comment(member) });
    }
  }
  return found;
}

/** Numbers as people read them: `64 << 20` is 64 MiB. */
function readable(expression: string): string {
  const shifted = /^(\d+) << (10|20|30)$/.exec(expression);
  if (shifted !== null) return `${shifted[1] ?? ""} ${{ 10: "Ki", 20: "Mi", 30: "Gi" }[shifted[2] ?? ""] ?? ""}`;
  if (/^[\d_]+$/.test(expression)) return Number(expression.replaceAll("_", "")).toLocaleString("en-GB");
  return `\`${expression}\``;
}

const table = (bounds: readonly Bound[]): string =>
  ["| bound | default | what it bounds, and what happens then | where |", "| --- | --- | --- | --- |", ...bounds.map(({ name, value, where: at, text }) =>
    `| \`${name}\` | ${value} | ${text.replaceAll("|", "\\|")} | \`${at}\` |`)].join("\n");

export interface Section {
  readonly title: string;
  readonly intro: string;
  readonly bounds: readonly Bound[];
}

export function sections(): readonly Section[] {
  const at = (path: string): string => join(root, "packages", path);
  return [
    {
      title: "Parameters of a cluster", intro: "In the cluster file, alike everywhere; `checkParameters` refuses what is out of range. Times are ticks of 10 ms.",
      bounds: fields(at("core/src/config.ts"), "Parameters", "DEFAULT_PARAMETERS"),
    },
    { title: "Options of a transport", intro: "`createTransport({ limits })`.", bounds: fields(at("network/src/limits.ts"), "NetworkLimits", "DEFAULT_LIMITS") },
    { title: "Options of a client", intro: "`connect({ limits })`; defaults that depend on the cluster are in the text.", bounds: fields(at("client/src/options.ts"), "Limits", "") },
    { title: "Timeouts of a client", intro: "`connect({ timeouts })`, milliseconds.", bounds: fields(at("client/src/options.ts"), "Timeouts", "DEFAULT_TIMEOUTS") },
    ...PACKAGES.map((name) => ({
      title: `Constants of \`${name}\``, intro: "Fixed in this version.",
      bounds: sourcesOf(at(`${name}/src`)).flatMap(constants),
    })),
  ].filter(({ bounds }) => bounds.length > 0);
}

export function limitsPage(): string {
  const head = [
    "# Limits", "",
    "Every queue, table, window, frame and batch of Narses has a bound and an outcome. This page is made from the source and checked against it by `test/limits.test.ts`:",
    "`LIMITS_REWRITE=1 pnpm vitest run test/limits.test.ts` writes it anew. To change a text, change the comment of the constant.", "",
  ];
  return [...head, ...sections().flatMap(({ title, intro, bounds }) => [`## ${title}`, "", intro, "", table(bounds), ""])].join("\n");
}
