/** The benchmarks by name, and how one is run and reported. */
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { complexity, complexitySeconds } from "./complexity/run.ts";
import { observeEnvironment } from "./environment.ts";
import { latency, latencySeconds } from "./load/latency.ts";
import { prepare, type Program } from "./load/program.ts";
import { targets, targetsSeconds } from "./load/targets.ts";
import { throughput, throughputSeconds } from "./load/throughput.ts";
import { writeResult } from "./report/write.ts";
import type { BenchResult } from "./result.ts";

export const RESULTS: string = fileURLToPath(new URL("../results", import.meta.url));

export interface Flags {
  readonly quick: boolean;
  readonly tiny: boolean;
}

type Outcome = Pick<BenchResult, "sections" | "metrics"> & Partial<Pick<BenchResult, "checks" | "targets" | "summary">>;

export interface Benchmark {
  readonly name: string;
  readonly title: string;
  /** About, on two quiet cores. */
  readonly seconds: (flags: Flags) => number;
  readonly run: (flags: Flags, progress: (text: string) => void) => Promise<Outcome>;
}

const COMPLEXITY: Benchmark = {
  name: "complexity", title: "Message complexity", seconds: complexitySeconds,
  run: async ({ quick, tiny }, progress) => {
    const { checks, ...found } = await complexity({ quick, tiny, progress });
    return { checks: checks.all, ...found };
  },
};

const onProgram = (measure: typeof throughput): Benchmark["run"] => async (flags, progress) => measure({ ...flags, program: await programOf(progress), progress });
const THROUGHPUT: Benchmark = { name: "throughput", title: "Throughput and CPU per operation", seconds: throughputSeconds, run: onProgram(throughput) };
const LATENCY: Benchmark = { name: "latency", title: "Latency and failover", seconds: latencySeconds, run: onProgram(latency) };
const TARGETS: Benchmark = { name: "targets", title: "Targets", seconds: targetsSeconds, run: onProgram(targets) };

export const BENCHMARKS: readonly Benchmark[] = [COMPLEXITY, THROUGHPUT, LATENCY, TARGETS];
/** What a whole run is made of; `targets` is measured by these as well. */
export const WHOLE: readonly Benchmark[] = [COMPLEXITY, THROUGHPUT, LATENCY];

let prepared: Promise<Program> | undefined;

/** Made once in a run. */
const programOf = (progress: (text: string) => void): Promise<Program> => (prepared ??= prepare(progress));

const minutes = (seconds: number): string => (seconds < 90 ? `${Math.ceil(seconds)} seconds` : `${Math.ceil(seconds / 60)} minutes`);
export const estimate = (benchmarks: readonly Benchmark[], flags: Flags): string => `about ${minutes(benchmarks.reduce((sum, { seconds }) => sum + seconds(flags), 0))} on two quiet cores`;

const flagsOf = ({ quick, tiny }: Flags): string => `${quick ? " --quick" : ""}${tiny ? " --tiny" : ""}`;

export interface RunOptions extends Flags {
  /** Where it goes. Default: a directory of its own below `results`. */
  readonly out?: string;
  /** What was typed after `pnpm bench`, when it is not the benchmark's name. */
  readonly command?: string;
}

/** Runs one, writes its report, says how it went. A closed form that is not met sets the exit status. */
export async function runBenchmark({ name, title, run }: Benchmark, { out, command = name, ...flags }: RunOptions): Promise<BenchResult> {
  const finish = observeEnvironment(`pnpm bench ${command}${flagsOf(flags)}`);
  const startedMs = performance.now();
  const outcome = await run(flags, (text) => process.stderr.write(`${((performance.now() - startedMs) / 1_000).toFixed(1).padStart(6)} s  ${text}\n`));
  const result: BenchResult = { version: 1, benchmark: name, title, environment: finish(), checks: [], targets: [], summary: [], ...outcome };
  const directory = out ?? join(RESULTS, `${result.environment.startedAt.slice(0, 19).replaceAll(":", "-")}-${name}`);
  await writeResult(result, directory);
  const failed = result.checks.filter((check) => !check.ok);
  for (const { name: what, measured, expected } of failed.slice(0, 20)) process.stderr.write(`MISMATCH ${what}: measured ${measured}, theory ${expected}\n`);
  if (result.checks.length > 0) process.stdout.write(`${result.checks.length - failed.length} of ${result.checks.length} closed forms met\n`);
  for (const { name: what, target, measured, met } of result.targets) process.stdout.write(`${met === undefined ? "–" : met ? "met   " : "missed"} ${what}: ${measured} (target ${target})\n`);
  process.stdout.write(`report: ${join(relative(process.cwd(), directory), "report.html")}\n`);
  if (failed.length > 0) process.exitCode = 1;
  return result;
}

/** One after the other, each into a directory of its own below `out`. */
export async function runAll(benchmarks: readonly Benchmark[], out: string, command: string, flags: Flags): Promise<readonly BenchResult[]> {
  process.stderr.write(`${benchmarks.map(({ name }) => name).join(", ")}: ${estimate(benchmarks, flags)}\n`);
  const results: BenchResult[] = [];
  for (const benchmark of benchmarks) {
    process.stderr.write(`${benchmark.name}: ${estimate([benchmark], flags)}\n`);
    results.push(await runBenchmark(benchmark, { ...flags, out: join(out, benchmark.name), command }));
  }
  return results;
}
