/**
 * The benchmarks.
 *
 *   pnpm bench complexity [--quick]     messages, bytes, signatures per decision against theory; fails on a mismatch
 *   pnpm bench throughput [--quick]     operations a second, CPU per operation, memory, saturation
 *   pnpm bench latency [--quick]        percentiles under fixed load, failures, start-up
 *   pnpm bench targets                  the target table of the README in one run, under ten minutes
 *   pnpm bench compare A B              two results side by side
 */
import { fileURLToPath } from "node:url";
import { join, relative } from "node:path";
import { Command } from "commander";
import { compare } from "./compare.ts";
import { complexity } from "./complexity/run.ts";
import { observeEnvironment } from "./environment.ts";
import { latency } from "./load/latency.ts";
import { prepare, type Program } from "./load/program.ts";
import { targets } from "./load/targets.ts";
import { throughput } from "./load/throughput.ts";
import { writeResult } from "./report/write.ts";
import type { BenchResult } from "./result.ts";

const RESULTS = fileURLToPath(new URL("../results", import.meta.url));

interface Flags {
  readonly quick: boolean;
  readonly tiny: boolean;
  readonly out?: string;
}

type Outcome = Pick<BenchResult, "sections" | "metrics"> & Partial<Pick<BenchResult, "checks" | "targets">>;

interface Benchmark {
  readonly name: string;
  readonly title: string;
  readonly run: (flags: Flags, progress: (text: string) => void) => Promise<Outcome>;
}

const BENCHMARKS: readonly Benchmark[] = [
  {
    name: "complexity", title: "Message complexity",
    run: async ({ quick, tiny }, progress) => {
      const { checks, sections, metrics } = await complexity({ quick, tiny, progress });
      return { checks: checks.all, sections, metrics };
    },
  },
  { name: "throughput", title: "Throughput and CPU per operation", run: async (flags, progress) => throughput({ ...flags, program: await programOf(flags, progress), progress }) },
  { name: "latency", title: "Latency and failover", run: async (flags, progress) => latency({ ...flags, program: await programOf(flags, progress), progress }) },
  { name: "targets", title: "Targets", run: async (flags, progress) => targets({ ...flags, program: await programOf(flags, progress), progress }) },
];

/** Bundled where figures count. */
const programOf = async ({ tiny }: Flags, progress: (text: string) => void): Promise<Program> => (tiny ? "sources" : prepare(progress));

async function runBenchmark({ name, title, run }: Benchmark, flags: Flags): Promise<void> {
  const finish = observeEnvironment(`pnpm bench ${name}${flags.quick ? " --quick" : ""}${flags.tiny ? " --tiny" : ""}`);
  const startedMs = performance.now();
  const outcome = await run(flags, (text) => process.stderr.write(`${((performance.now() - startedMs) / 1_000).toFixed(1).padStart(6)} s  ${text}\n`));
  const result: BenchResult = { version: 1, benchmark: name, title, environment: finish(), checks: [], targets: [], ...outcome };
  const directory = flags.out ?? join(RESULTS, `${result.environment.startedAt.slice(0, 19).replaceAll(":", "-")}-${name}`);
  await writeResult(result, directory);
  const failed = result.checks.filter((check) => !check.ok);
  for (const { name: what, measured, expected } of failed.slice(0, 20)) process.stderr.write(`MISMATCH ${what}: measured ${measured}, theory ${expected}\n`);
  if (result.checks.length > 0) process.stdout.write(`${result.checks.length - failed.length} of ${result.checks.length} closed forms met\n`);
  for (const { name: what, target, measured, met } of result.targets) process.stdout.write(`${met === undefined ? "–" : met ? "met   " : "missed"} ${what}: ${measured} (target ${target})\n`);
  process.stdout.write(`report: ${join(relative(process.cwd(), directory), "report.html")}\n`);
  if (failed.length > 0) process.exitCode = 1;
}

const program = new Command("bench").description("Benchmarks of Narses: counted against theory, measured against a baseline.").showHelpAfterError();
for (const benchmark of BENCHMARKS) {
  program
    .command(benchmark.name).description(benchmark.title)
    .option("--quick", "fewer points, shorter runs: one to two minutes", false)
    .option("--tiny", "seconds: shows that it runs, its figures mean nothing", false)
    .option("--out <directory>", "where the report goes (default: bench/results/<time>-<name>)")
    .action((flags: Flags) => runBenchmark(benchmark, flags));
}
program
  .command("compare").description("Sets two results side by side")
  .argument("<A>", "directory or result.json of the earlier run").argument("<B>", "of the later run")
  .option("--threshold <percent>", "differences below are not shown", "5")
  .action((a: string, b: string, { threshold }: { threshold: string }) => {
    process.stdout.write(compare(a, b, Number(threshold)));
  });
await program.parseAsync();
