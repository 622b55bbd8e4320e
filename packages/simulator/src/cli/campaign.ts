/** `--seeds N`: many seeds on all cores, with progress, a state file to go on from, and a summary at the end. */
import { readFileSync, rmSync } from "node:fs";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { catalogueOf } from "../coverage/catalogue.ts";
import { neverHappened } from "../coverage/coverage.ts";
import { SEARCHED } from "../oracles/linearizability-search.ts";
import type { SimOptions } from "../options.ts";
import { EXIT } from "./exit.ts";
import { writeWhole } from "./files.ts";
import { killsRow, sourcesHere } from "./kills-row.ts";
import { runPool } from "./pool.ts";
import { PROGRAM } from "./program.ts";
import { createProgress } from "./progress.ts";
import { addTotals, type Depth, type Failure, NO_TOTALS, type SeedsAnswer, type SeedsJob, type Totals } from "./seeds.ts";
import { ToolError } from "./tool-error.ts";

/** Seeds per job: small enough for a lively bar, large enough for the workers to work. */
const CHUNK_SEEDS: Readonly<Record<Depth, number>> = { engine: 20, replica: 4 };
/** A state file is written so often, at an interruption, and at the end. What a SIGKILL takes is run again. */
const SAVE_EVERY_MS = 5_000;
/** Failures kept in words; more are only counted. */
const FAILURES_KEPT_MAX = 100;
/** From so many seeds on, when everything is drawn, something in the catalogue that never happened is a failure: the run did not test what it claims to. */
export const COVERAGE_SEEDS_MIN = 5_000;

/** Rules and faults that the summary names: those that happened least often, and those that did not yet. */
const RAREST = 5;
const MISSING_NAMED_MAX = 40;
const INTERRUPTIONS = ["SIGINT", "SIGTERM"] as const;

export interface CampaignOptions {
  readonly first: number;
  readonly seeds: number;
  readonly depth: Depth;
  readonly appPath: string | undefined;
  readonly options: Omit<SimOptions, "seed">;
  /** The flags as given: a state file holds for the same ones only, and repeat commands show them. */
  readonly flags: string;
  readonly workers: number | undefined;
  readonly statePath: string | undefined;
  readonly print: (line: string) => void;
}

interface State {
  readonly first: number;
  readonly seeds: number;
  readonly flags: string;
  /** Fingerprint of what ran: numbers of different sources do not add up. */
  readonly sources: string;
  /** Chunks that are done, by number. */
  readonly chunks: readonly number[];
  readonly totals: Totals;
  readonly failures: readonly Failure[];
  readonly failed: number;
}

export interface CampaignResult {
  readonly totals: Totals;
  readonly failures: readonly Failure[];
  /** Ids of the catalogue that never happened, when there were seeds enough to say so. */
  readonly holes: readonly string[];
}

function load({ statePath, first, seeds, flags }: CampaignOptions): State {
  const sources = sourcesHere();
  const empty: State = { first, seeds, flags, sources, chunks: [], totals: NO_TOTALS, failures: [], failed: 0 };
  if (statePath === undefined) return empty;
  let text: string;
  try {
    text = readFileSync(statePath, "utf8");
  } catch {
    return empty;
  }
  let held: State;
  try {
    held = JSON.parse(text) as State;
  } catch (error) {
    throw new ToolError("STATE_INVALID", `${statePath} is not JSON: delete it to start over`, { cause: error });
  }
  if (held.first !== first || held.seeds !== seeds || held.flags !== flags) {
    const of = `seeds ${held.first} … ${held.first + held.seeds - 1}${held.flags}`;
    throw new ToolError("STATE_INVALID", `${statePath} is of another campaign (${of}): give another --state, or delete it`);
  }
  if (held.sources !== sources) throw new ToolError("STATE_INVALID", `${statePath} was begun with other sources (${held.sources}, these are ${sources}): delete it to start over`);
  return held;
}

function save(path: string | undefined, state: State): void {
  if (path !== undefined) writeWhole(path, JSON.stringify(state));
}

export async function runCampaign(campaign: CampaignOptions): Promise<CampaignResult> {
  const { first, seeds, depth, appPath, options, print, statePath } = campaign;
  let state = load(campaign);
  const finished = new Set(state.chunks);
  const chunkSeeds = CHUNK_SEEDS[depth];
  const chunks = Array.from({ length: Math.ceil(seeds / chunkSeeds) }, (_, i) => i).filter((i) => !finished.has(i));
  if (finished.size > 0) print(`goes on from ${statePath}: ${state.totals.seeds} seeds done`);
  const progress = createProgress(seeds, "seeds", state.totals.seeds);
  let savedAt = performance.now();
  const jobs = new Map<SeedsJob, number>();
  const next = (): SeedsJob | undefined => {
    const chunk = chunks.shift();
    if (chunk === undefined) return undefined;
    const from = first + chunk * chunkSeeds;
    const job: SeedsJob = { type: "seeds", depth, appPath, first: from, count: Math.min(chunkSeeds, first + seeds - from), options, faultsInTurn: [], stopAtFailure: false };
    jobs.set(job, chunk);
    return job;
  };
  const done = (job: SeedsJob, answer: SeedsAnswer): boolean => {
    state = {
      ...state, chunks: [...state.chunks, jobs.get(job) as number], totals: addTotals(state.totals, answer.totals),
      failures: [...state.failures, ...answer.failures].slice(0, FAILURES_KEPT_MAX), failed: state.failed + answer.failures.length,
    };
    jobs.delete(job);
    for (const { outcome, oracle, detail, seed } of answer.failures) {
      progress.say(`${outcome} (${oracle}): ${detail}\n  repeat: ${PROGRAM} ${seed}${campaign.flags} --trace 60`);
    }
    if (performance.now() - savedAt > SAVE_EVERY_MS) {
      save(statePath, state);
      savedAt = performance.now();
    }
    progress.update(state.totals.seeds, `${state.failed} failed, ${(state.totals.events / 1e6).toFixed(1)} M events`);
    return true;
  };
  const interrupted = (signal: NodeJS.Signals): void => {
    save(statePath, state);
    progress.end();
    print(`${signal} after ${state.totals.seeds} seeds, ${state.failed} failed; ${statePath === undefined ? "nothing was kept" : `the same command goes on from ${statePath}`}`);
    process.exit(EXIT.interrupted);
  };
  for (const signal of INTERRUPTIONS) process.once(signal, interrupted);
  try {
    await runPool<SeedsJob, SeedsAnswer>(next, done, { workers: campaign.workers });
  } finally {
    for (const signal of INTERRUPTIONS) process.off(signal, interrupted);
  }
  progress.end();
  const judged = seeds >= COVERAGE_SEEDS_MIN && appPath === undefined && Object.values(options).every((choice) => choice === undefined);
  const holes = judged ? neverHappened(state.totals.coverage, depth) : [];
  // What is finished and fine needs no state; what failed is worth keeping.
  if (state.failed === 0 && statePath !== undefined) rmSync(statePath, { force: true });
  else save(statePath, state);
  summarise(state, depth, holes, print);
  return { totals: state.totals, failures: state.failures, holes };
}

function searched({ coverage, seeds }: Totals): string {
  const [found, gaveUp] = [coverage[SEARCHED.linearizable] ?? 0, coverage[SEARCHED.undecided] ?? 0];
  return `${number(found)} linearizable, ${number(gaveUp)} undecided, ${number(seeds - found - gaveUp)} not searched (they failed before, or the application has no model)`;
}

const number = (value: number): string => Math.round(value).toLocaleString("en");

function summarise({ totals: t, failed }: State, depth: Depth, holes: readonly string[], print: (line: string) => void): void {
  const ids = catalogueOf(depth);
  const covered = ids.length - neverHappened(t.coverage, depth).length;
  const rows: readonly (readonly [string, string])[] = [
    ["seeds", `${number(t.seeds)}, ${number(failed)} failed`],
    ["events", number(t.events)],
    ["simulated time", `${(t.virtualMs / 3_600_000).toFixed(2)} h`],
    ["views entered", number(t.views)],
    ["slots executed", number(t.slots)],
    ["answers accepted", number(t.accepted)],
    ["processes died", number(t.crashes)],
    ["histories searched", searched(t)],
    ["coverage", `${covered} of ${ids.length} rules and faults happened`],
    ["kills", killsRow()],
    ["time per 1,000 events", `${((t.cpuMs / Math.max(1, t.events)) * 1000).toFixed(2)} ms of CPU`],
  ];
  for (const [name, value] of rows) print(`${name.padEnd(22)} ${value}`);
  const rarest = ids.flatMap((id): [string, number][] => ((t.coverage[id] ?? 0) > 0 ? [[id, t.coverage[id] as number]] : [])).sort(([, a], [, b]) => a - b).slice(0, RAREST);
  print(`${"rarest".padEnd(22)} ${rarest.map(([id, count]) => `${id} ×${count}`).join(", ")}`);
  const missing = neverHappened(t.coverage, depth);
  if (holes.length === 0 && missing.length > 0 && missing.length <= MISSING_NAMED_MAX) print(`${"not yet".padEnd(22)} ${missing.join(", ")}`);
  for (const id of holes) print(`never happened         ${id}`);
}
