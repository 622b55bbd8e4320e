/** The kill table, as KILLS.md has it. */
import type { HuntResult } from "./hunt.ts";
import type { Mutation } from "./mutation.ts";

const OF_DETAIL_MAX = 110;

const HEAD = `# Seeded bugs, and what noticed them

Made by \`pnpm sim kill --out packages/simulator/KILLS.md\`. Each bug is text replaced in a copy of the sources; the unaltered copy survives its seeds first, and
a kill counts only when the unaltered copy does well on that very seed. *Seed* is the first that fails, counted from 1; *within* is what is promised, and a bug
that lives longer fails the command. Seeds move when generators or the engine change; that each bug still fits the sources is part of the tests.
`;

/** Numbers and hashes of one run say little: enough of the words to see what it is about. */
const cell = (text: string): string => {
  const short = text.replaceAll("|", "\\|").replaceAll("\n", " ").replaceAll(/[0-9a-f]{16,}/g, (hash) => `${hash.slice(0, 6)}…`);
  return short.length > OF_DETAIL_MAX ? `${short.slice(0, OF_DETAIL_MAX)}…` : short;
};

export function killTable(results: readonly HuntResult[]): string {
  const rows = results.map(({ name, kill, seedsMax }) => (kill === undefined
    ? `| ${name} | **LIVES** | | ${seedsMax} | |`
    : `| ${name} | ${kill.kind}: ${kill.oracle} | ${kill.seed} | ${seedsMax} | ${cell(kill.detail)} |`));
  return ["| seeded bug | noticed by | seed | within | in its words |", "| --- | --- | --- | --- | --- |", ...rows].join("\n");
}

export const killPage = (results: readonly HuntResult[]): string => `${HEAD}\n${killTable(results)}\n`;

/** Whether a page tells of these bugs, no other ones, all dead within their seeds. Returns what is wrong. */
export function staleness(page: string, mutations: readonly Mutation[]): readonly string[] {
  const rows = [...page.matchAll(/^\| ([^|]+) \| ([^|]+) \| (\d*) ?\| (\d+) \|/gm)];
  const told = new Map(rows.map(([, name, by, seed]) => [name as string, { by: by as string, seed: Number(seed) }] as const));
  const names = new Set(mutations.map(({ name }) => name));
  return [
    ...mutations.flatMap(({ name, seedsMax }) => {
      const row = told.get(name);
      if (row === undefined) return [`"${name}" has no row`];
      return row.by.includes("LIVES") || row.seed < 1 || row.seed > seedsMax ? [`"${name}" did not die within ${seedsMax} seeds`] : [];
    }),
    ...[...told.keys()].filter((name) => !names.has(name)).map((name) => `"${name}" is no seeded bug any more`),
  ];
}
