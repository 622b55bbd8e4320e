/** The kill table, as KILLS.md has it. */
import type { HuntResult } from "./hunt.ts";
import type { Mutation } from "./mutation.ts";

const OF_DETAIL_MAX = 110;

const HEAD = `# Seeded bugs, and what noticed them

Made by \`pnpm sim kill --out packages/simulator/KILLS.md\`. Each bug is text replaced in a copy of the sources; the unaltered copy survives its seeds first, and
a kill counts only when the unaltered copy does well on that very seed. *Seed* is the first that fails, counted from 1; *within* is what is promised, and a bug
that lives longer fails the command. Seeds move when generators or the engine change; that each bug still fits the sources is part of the tests.
`;

const CONTROLS_HEAD = `## Negative controls

The sources as they are, with more faulty replicas than f, and one oracle that judges alone: it must speak.
`;

const ROW_HEAD = ["noticed by | seed | within | in its words |", "--- | --- | --- | --- |"] as const;

/** Numbers and hashes of one run say little: enough of the words to see what it is about. */
const cell = (text: string): string => {
  const short = text.replaceAll("|", "\\|").replaceAll("\n", " ").replaceAll(/[0-9a-f]{16,}/g, (hash) => `${hash.slice(0, 6)}…`);
  return short.length > OF_DETAIL_MAX ? `${short.slice(0, OF_DETAIL_MAX)}…` : short;
};

export function killTable(results: readonly HuntResult[], what: string = "seeded bug"): string {
  const rows = results.map(({ name, kill, seedsMax }) => (kill === undefined
    ? `| ${name} | **LIVES** | | ${seedsMax} | |`
    : `| ${name} | ${kill.kind}: ${kill.oracle} | ${kill.seed} | ${seedsMax} | ${cell(kill.detail)} |`));
  return [`| ${what} | ${ROW_HEAD[0]}`, `| --- | ${ROW_HEAD[1]}`, ...rows].join("\n");
}

/** @param sources the fingerprint of what was altered and run. */
export const killPage = (bugs: readonly HuntResult[], controls: readonly HuntResult[], sources: string): string =>
  [HEAD, killTable(bugs), "", CONTROLS_HEAD, killTable(controls, "control"), "", sourcesLine(sources), ""].join("\n");

const sourcesLine = (sources: string): string => `Of the sources with the fingerprint ${sources}.`;

interface Row {
  readonly name: string;
  readonly by: string;
  readonly seed: number;
  readonly seedsMax: number;
}

const rowsOf = (page: string): readonly Row[] => [...page.matchAll(/^\| ([^|]+) \| ([^|]+) \| (\d*) ?\| (\d+) \|/gm)]
  .map(([, name, by, seed, seedsMax]) => ({ name: name as string, by: by as string, seed: Number(seed), seedsMax: Number(seedsMax) }));

const isDead = ({ by, seed, seedsMax }: Row): boolean => !by.includes("LIVES") && seed >= 1 && seed <= seedsMax;

/** What a page tells: how many of its rows are dead, and of which sources it is. */
export function toldBy(page: string): { readonly dead: number; readonly all: number; readonly sources: string | undefined } {
  const rows = rowsOf(page);
  return { dead: rows.filter(isDead).length, all: rows.length, sources: /^Of the sources with the fingerprint ([0-9a-f]+)\.$/m.exec(page)?.[1] };
}

/** Whether a page tells of these bugs and controls, no other ones, all dead within their seeds. Returns what is wrong. */
export function staleness(page: string, mutations: readonly Mutation[]): readonly string[] {
  const told = new Map(rowsOf(page).map((row) => [row.name, row] as const));
  const names = new Set(mutations.map(({ name }) => name));
  return [
    ...mutations.flatMap(({ name, seedsMax }) => {
      const row = told.get(name);
      if (row === undefined) return [`"${name}" has no row`];
      return isDead({ ...row, seedsMax }) ? [] : [`"${name}" did not die within ${seedsMax} seeds`];
    }),
    ...[...told.keys()].filter((name) => !names.has(name)).map((name) => `"${name}" is no seeded bug any more`),
  ];
}
