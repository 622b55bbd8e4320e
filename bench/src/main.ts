/**
 * The benchmarks.
 *
 *   pnpm bench complexity [--quick]     messages, bytes, signatures per decision against theory; fails on a mismatch
 *   pnpm bench throughput [--quick]     operations a second, CPU per operation, memory, saturation
 *   pnpm bench latency [--quick]        percentiles under fixed load, failures, start-up
 *   pnpm bench targets                  the target table of the README in one run, under ten minutes
 *   pnpm bench all [--quick]            the first three, one after the other
 *   pnpm bench reference                the first three into results/reference, and the tables of the README from them
 *   pnpm bench compare A B              two results side by side
 */
import { cpSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { Command } from "commander";
import { BENCHMARKS, RESULTS, runAll, runBenchmark, WHOLE, type Flags, type RunOptions } from "./benchmarks.ts";
import { compare } from "./compare.ts";
import { REFERENCE, writeReadme } from "./reference.ts";

const program = new Command("bench").description("Benchmarks of Narses: counted against theory, measured against a baseline.").showHelpAfterError();
const lengths = (command: Command): Command => command
  .option("--quick", "fewer points, shorter runs: one to two minutes each", false)
  .option("--tiny", "seconds: shows that it runs, its figures mean nothing", false);

for (const benchmark of BENCHMARKS) {
  lengths(program.command(benchmark.name).description(benchmark.title))
    .option("--out <directory>", "where the report goes (default: bench/results/<time>-<name>)")
    .action(async (options: RunOptions) => {
      await runBenchmark(benchmark, options);
    });
}
lengths(program.command("all").description(`${WHOLE.map(({ name }) => name).join(", ")}, one after the other`))
  .option("--out <directory>", "where the reports go, a directory each (default: bench/results/<time>-all)")
  .action(async ({ out, ...flags }: Flags & { readonly out?: string }) => {
    await runAll(WHOLE, out ?? join(RESULTS, `${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}-all`), "all", flags);
  });
program
  .command("reference").description("Runs all on this machine, keeps it as results/reference, and writes the tables of bench/README.md from it")
  .option("--from <directory>", "takes the results of an earlier `bench all` instead of running")
  .option("--tables-only", "writes the tables from results/reference as it is", false)
  .action(async ({ from, tablesOnly }: { readonly from?: string; readonly tablesOnly: boolean }) => {
    if (!tablesOnly) {
      const out = from ?? join(RESULTS, "reference-run");
      if (from === undefined) await runAll(WHOLE, out, "reference", { quick: false, tiny: false });
      rmSync(REFERENCE, { recursive: true, force: true });
      // The pictures are in the pages already.
      cpSync(out, REFERENCE, { recursive: true, filter: (file) => !file.endsWith(".png") });
      if (from === undefined) rmSync(out, { recursive: true, force: true });
    }
    process.stdout.write(`written: ${relative(process.cwd(), writeReadme())}\n`);
  });
program
  .command("compare").description("Sets two results side by side")
  .argument("<A>", "directory or result.json of the earlier run").argument("<B>", "of the later run")
  .option("--threshold <percent>", "differences below are not shown", "5")
  .action((a: string, b: string, { threshold }: { threshold: string }) => {
    process.stdout.write(compare(a, b, Number(threshold)));
  });
await program.parseAsync();
