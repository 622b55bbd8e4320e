/** Many seeds: a chunk of them as one job, and the sum of what happened. */
import process from "node:process";
import { addCounts, type Counts } from "../coverage/coverage.ts";
import { loadApplication } from "./app-module.ts";
import type { FaultKind, SimOptions } from "../options.ts";
import { simulate, simulateEngine, type SimResult } from "../simulate.ts";

/** What a cluster is made of: whole replicas as they ship, or engines in small shells (several times faster). */
export type Depth = "replica" | "engine";

/** What `run` and `--seeds` run: with an application of one's own always as it ships. */
export async function simulateAt(depth: Depth, appPath: string | undefined, options: SimOptions): Promise<SimResult> {
  if (appPath === undefined) return depth === "engine" ? simulateEngine(options) : simulate(options);
  const { app, operation, genesis } = await loadApplication(appPath);
  return simulate(app, { ...options, operation, genesis });
}

export interface SeedsJob {
  readonly type: "seeds";
  readonly depth: Depth;
  readonly appPath: string | undefined;
  readonly first: number;
  readonly count: number;
  readonly options: Omit<SimOptions, "seed">;
  /** Fault kinds taken in turn, seed by seed; empty: as the options say, or drawn. */
  readonly faultsInTurn: readonly FaultKind[];
  /** Stop at the first failure. */
  readonly stopAtFailure: boolean;
}

export interface Failure {
  readonly seed: number;
  readonly faults: FaultKind;
  readonly outcome: Exclude<SimResult["outcome"], "ok">;
  readonly oracle: string;
  readonly detail: string;
}

export interface Totals {
  readonly seeds: number;
  readonly events: number;
  readonly virtualMs: number;
  readonly views: number;
  readonly slots: number;
  readonly crashes: number;
  readonly accepted: number;
  /** CPU time of the runs, milliseconds. */
  readonly cpuMs: number;
  readonly coverage: Counts;
}

export interface SeedsAnswer {
  readonly totals: Totals;
  readonly failures: readonly Failure[];
}

export const NO_TOTALS: Totals = { seeds: 0, events: 0, virtualMs: 0, views: 0, slots: 0, crashes: 0, accepted: 0, cpuMs: 0, coverage: {} };

export const addTotals = (a: Totals, b: Totals): Totals => ({
  seeds: a.seeds + b.seeds, events: a.events + b.events, virtualMs: a.virtualMs + b.virtualMs, views: a.views + b.views, slots: a.slots + b.slots,
  crashes: a.crashes + b.crashes, accepted: a.accepted + b.accepted, cpuMs: a.cpuMs + b.cpuMs, coverage: addCounts(a.coverage, b.coverage),
});

export async function runSeeds(job: SeedsJob): Promise<SeedsAnswer> {
  let totals = NO_TOTALS;
  const failures: Failure[] = [];
  for (let seed = job.first; seed < job.first + job.count; seed++) {
    const faults = job.faultsInTurn[seed % Math.max(1, job.faultsInTurn.length)];
    const before = process.cpuUsage();
    const result = await simulateAt(job.depth, job.appPath, { seed, ...job.options, ...(faults && { faults }) });
    const { user, system } = process.cpuUsage(before);
    const { counters: c } = result;
    totals = addTotals(totals, {
      seeds: 1, events: result.events, virtualMs: result.virtualMs, views: c.viewsEntered, slots: c.executedSlots, crashes: c.crashes,
      accepted: result.accepted, cpuMs: (user + system) / 1000, coverage: result.coverage,
    });
    if (result.outcome === "ok") continue;
    failures.push({ seed, faults: result.plan.faults, outcome: result.outcome, oracle: result.oracle ?? "", detail: result.detail ?? "" });
    if (job.stopAtFailure) break;
  }
  return { totals, failures };
}
