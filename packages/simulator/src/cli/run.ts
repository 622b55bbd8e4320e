/** `run [seed]`: one seed with its plan, its outcome and its trace; or, with `--seeds`, a campaign. */
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import { drawChart } from "../chart/chart.ts";
import { LEGEND } from "../format.ts";
import { SEARCHED } from "../oracles/linearizability-search.ts";
import { describePlan, type SimOptions } from "../options.ts";
import type { SimResult } from "../simulate.ts";
import { runCampaign } from "./campaign.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import { PROGRAM } from "./program.ts";
import { type Depth, simulateAt } from "./seeds.ts";

export const LINES_ON_FAILURE = 60;
/** From so many seeds on a campaign keeps a state file by itself. */
const STATE_SEEDS_MIN = 1_000;

/** Lines kept for a chart: more than any run writes in the seconds a chart can show. */
const CHART_LINES_MAX = 1_000_000;

export interface ChartFlags {
  readonly path: string;
  readonly fromMs: number;
  readonly toMs: number | undefined;
}

export interface RunFlags {
  readonly seed: number;
  readonly seeds: number;
  readonly lines: number;
  readonly workers: number | undefined;
  readonly state: string | undefined;
  readonly depth: Depth;
  readonly appPath: string | undefined;
  readonly chart: ChartFlags | undefined;
  readonly options: Omit<SimOptions, "seed">;
  /** As given, to be repeated. */
  readonly flags: string;
  readonly print: (line: string) => void;
}

export async function run(flags: RunFlags): Promise<ExitCode> {
  return flags.seeds === 1 ? runOne(flags) : runMany(flags);
}

async function runOne({ seed, lines, depth, appPath, chart, options, flags, print }: RunFlags): Promise<ExitCode> {
  const kept = chart === undefined ? Math.max(lines, LINES_ON_FAILURE) : CHART_LINES_MAX;
  const result = await simulateAt(depth, appPath, { seed, ...options, traceLines: kept });
  for (const line of describePlan(result.plan)) print(line);
  if (result.cast.length > 0) print(`Byzantine: ${result.cast.join("; ")}`);
  printResult(result, result.outcome === "ok" ? lines : Math.max(lines, LINES_ON_FAILURE), print);
  if (chart !== undefined) {
    writeFileSync(chart.path, drawChart(result.trace, { fromMs: chart.fromMs, toMs: chart.toMs ?? result.virtualMs }));
    print(`chart: ${chart.path}`);
  }
  print(`repeat: ${PROGRAM} ${seed}${flags} --trace ${Math.max(lines, LINES_ON_FAILURE)}`);
  return EXIT[result.outcome];
}

function printResult(result: SimResult, lines: number, print: (line: string) => void): void {
  const { counters: c, outcome } = result;
  print(`${outcome === "ok" ? "ok      " : outcome.toUpperCase().padEnd(8)} ${result.events} events, ${result.virtualMs.toFixed(0)} ms virtual, ${result.accepted} answers, `
    + `${c.executedSlots} slots executed, ${c.viewsLeft} views left, ${c.stableCheckpoints} stable checkpoints, ${c.crashes} crashes`
    + `${result.recoveryMs === undefined ? "" : `, settled ${result.recoveryMs.toFixed(0)} ms after healing`}, trace ${result.traceHash}`);
  if ((result.coverage[SEARCHED.undecided] ?? 0) > 0) print("the search for an order of all operations gave up: linearizability was judged by the log alone");
  if (lines > 0 && result.trace.length > 0) {
    for (const line of LEGEND) print(`  ${line}`);
    for (const line of result.trace.slice(-lines)) print(line);
  }
  if (outcome !== "ok") print(`${outcome} (${result.oracle}): ${result.detail}${result.stack === undefined ? "" : `\n${result.stack}`}`);
}

/** A name for the state file: the same command goes on where it stopped. */
const statePathOf = ({ seed, seeds, flags }: RunFlags): string =>
  resolve("node_modules/.cache/narses-sim", `seeds-${seed}-${seeds}${flags.replace(/[^\w.,]+/g, "-")}.json`);

async function runMany(flags: RunFlags): Promise<ExitCode> {
  const { seed, seeds, depth, appPath, options, workers, state, print } = flags;
  const statePath = state ?? (seeds >= STATE_SEEDS_MIN ? statePathOf(flags) : undefined);
  const started = process.hrtime.bigint();
  const { totals, failures, holes } = await runCampaign({ first: seed, seeds, depth, appPath, options, flags: flags.flags, workers, statePath, print });
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  const perThousand = ((totals.cpuMs / Math.max(1, totals.events)) * 1000).toFixed(2);
  print(`${totals.seeds} seeds, ${failures.length} failed, ${totals.events} events, ${perThousand} ms of CPU per 1,000 events, ${seconds.toFixed(0)} s`);
  const codes = failures.map(({ outcome }) => EXIT[outcome]);
  return codes.length > 0 ? (Math.min(...codes) as ExitCode) : holes.length > 0 ? EXIT.coverage : EXIT.ok;
}
