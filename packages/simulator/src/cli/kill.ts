/** `kill`: every seeded bug must die. A table in Markdown; a state file to go on from; no bug, no kill: the control comes first. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { hunt, type HuntResult } from "../kill/hunt.ts";
import { MUTATIONS } from "../kill/mutations.ts";
import type { Mutation } from "../kill/mutation.ts";
import { killPage, killTable } from "../kill/table.ts";
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
  const wanted = MUTATIONS.filter(({ name }) => only === undefined || name.toLowerCase().includes(only.toLowerCase()));
  if (wanted.length === 0) throw new RangeError(`--only ${String(only)} matches no seeded bug; there are: ${MUTATIONS.map(({ name }) => name).join("; ")}`);
  const results = new Map(held.results.map((result) => [result.name, result]));
  const queue = [...CONTROLS, ...wanted].filter(({ name }) => !results.has(name));
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
  const found = wanted.flatMap(({ name }) => results.get(name) ?? []);
  print(killTable(found));
  if (out !== undefined) writeFileSync(out, killPage(found));
  const controls = CONTROLS.flatMap(({ name }) => results.get(name) ?? []).filter((result) => result.kill !== undefined);
  for (const { name, kill: found } of controls) print(`the control failed: ${name}, seed ${found?.seed}: ${found?.detail}`);
  const alive = wanted.filter(({ name }) => results.get(name)?.kill === undefined);
  print(`${wanted.length - alive.length} of ${wanted.length} seeded bugs killed${controls.length > 0 ? "; the CONTROL FAILED, so this says nothing" : ""}`);
  return controls.length > 0 ? EXIT.crash : alive.length > 0 ? EXIT.coverage : EXIT.ok;
}
