/** `kill`: every seeded bug must die. A table in Markdown; a state file to go on from; no bug, no kill: the control comes first. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { hunt, type HuntResult } from "../kill/hunt.ts";
import { type Control, NEGATIVE_CONTROLS } from "../kill/controls.ts";
import { MUTATIONS } from "../kill/mutations.ts";
import type { Mutation } from "../kill/mutation.ts";
import { killPage, killTable } from "../kill/table.ts";
import { ORACLE_NAMES } from "../oracles/index.ts";
import { checkoutRoot, createSandbox, fingerprint, type Sandbox } from "../kill/sandbox.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import { defaultWorkers } from "./pool.ts";
import { createProgress } from "./progress.ts";

/** Seeds that the unaltered copy must survive, at both depths: else the table says nothing. */
const CONTROLS: readonly Mutation[] = [
  { name: "no bug (engine)", edits: [], seedsMax: 80 },
  { name: "no bug (replica)", edits: [], seedsMax: 16, depth: "replica" },
];

/** A run that is interrupted takes its copies with it; one that is killed leaves them to the next. */
const SIGNALS: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];

export interface KillFlags {
  readonly only: string | undefined;
  readonly workers: number | undefined;
  readonly out: string | undefined;
  readonly state: string | undefined;
  readonly print: (line: string) => void;
}

interface State {
  readonly fingerprint: string;
  readonly results: readonly HuntResult[];
}

function load(path: string, print: string): State {
  try {
    const held = JSON.parse(readFileSync(path, "utf8")) as State;
    if (held.fingerprint === print) return held;
  } catch {
    // Nothing kept, or unreadable: start over.
  }
  return { fingerprint: print, results: [] };
}

function save(path: string, state: State): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, JSON.stringify(state));
  renameSync(`${path}.new`, path);
}

export async function kill({ only, workers, out, state, print }: KillFlags): Promise<ExitCode> {
  const root = checkoutRoot();
  const statePath = state ?? join(root, "node_modules/.cache/narses-sim/kill.json");
  let held = load(statePath, fingerprint(root));
  const isWanted = ({ name }: Mutation): boolean => only === undefined || name.toLowerCase().includes(only.toLowerCase());
  const wanted = MUTATIONS.filter(isWanted);
  const overloaded = NEGATIVE_CONTROLS.filter(isWanted);
  if (wanted.length + overloaded.length === 0) {
    throw new RangeError(`--only ${String(only)} matches no seeded bug and no control; there are: ${[...MUTATIONS, ...NEGATIVE_CONTROLS].map(({ name }) => name).join("; ")}`);
  }
  const results = new Map(held.results.map((result) => [result.name, result]));
  const queue = [...CONTROLS, ...overloaded, ...wanted].filter(({ name }) => !results.has(name));
  const total = queue.length;
  const progress = createProgress(total, "seeded bugs");
  const sandboxes = new Set<Sandbox>();
  const stop = (signal: NodeJS.Signals): void => {
    for (const sandbox of sandboxes) sandbox.dispose();
    process.exit(128 + constants.signals[signal]);
  };
  for (const signal of SIGNALS) process.once(signal, stop);
  let done = 0;
  const work = async (): Promise<void> => {
    const sandbox = createSandbox(root);
    sandboxes.add(sandbox);
    try {
      for (let mutation = queue.shift(); mutation !== undefined; mutation = queue.shift()) {
        const result = await hunt(sandbox, mutation);
        results.set(result.name, result);
        held = { ...held, results: [...results.values()] };
        save(statePath, held);
        const { kill: found, name, seeds, unsound } = result;
        for (const seed of unsound) progress.say(`the engine itself fails on seed ${seed} of "${name}": no kill`);
        progress.say(found === undefined ? `lives  ${name}: ${seeds} seeds` : `killed ${name}: ${found.kind} (${found.oracle}), seed ${found.seed}`);
        progress.update(++done, "");
      }
    } finally {
      sandbox.dispose();
      sandboxes.delete(sandbox);
    }
  };
  await Promise.all(Array.from({ length: Math.min(Math.max(1, total), workers ?? defaultWorkers()) }, work));
  for (const signal of SIGNALS) process.off(signal, stop);
  progress.end();
  const resultsOf = (hunted: readonly Mutation[]): readonly HuntResult[] => hunted.flatMap(({ name }) => results.get(name) ?? []);
  print(killTable(resultsOf(wanted)));
  if (overloaded.length > 0) print(`\n${killTable(resultsOf(overloaded), "control")}`);
  if (out !== undefined) writeFileSync(out, killPage(resultsOf(wanted), resultsOf(overloaded), held.fingerprint));
  return verdict(results, wanted, overloaded, only === undefined, print);
}

function verdict(
  results: ReadonlyMap<string, HuntResult>, bugs: readonly Mutation[], overloaded: readonly Control[], complete: boolean, print: (line: string) => void,
): ExitCode {
  const broken = CONTROLS.flatMap(({ name }) => results.get(name) ?? []).filter((result) => result.kill !== undefined);
  for (const { name, kill: found } of broken) print(`the control failed: ${name}, seed ${found?.seed}: ${found?.detail}`);
  const alive = bugs.filter(({ name }) => results.get(name)?.kill === undefined);
  const mute = overloaded.filter(({ name, oracle }) => results.get(name)?.kill?.oracle !== oracle);
  for (const { name, oracle } of mute) print(`${oracle} said nothing: ${name}`);
  const spoke = new Set([...results.values()].map((result) => result.kill?.oracle));
  const silent = complete ? ORACLE_NAMES.filter((name) => !spoke.has(name)) : [];
  if (silent.length > 0) print(`never spoke, neither over a seeded bug nor over a control: ${silent.join(", ")}`);
  print(`${bugs.length - alive.length} of ${bugs.length} seeded bugs killed, ${overloaded.length - mute.length} of ${overloaded.length} negative controls noticed`
    + `${broken.length > 0 ? "; the CONTROL FAILED, so this says nothing" : ""}`);
  return broken.length > 0 ? EXIT.crash : alive.length + mute.length + silent.length > 0 ? EXIT.coverage : EXIT.ok;
}
