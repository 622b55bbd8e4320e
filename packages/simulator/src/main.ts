/**
 * `pnpm sim [seed] [--seeds N] [--faults kind] [--n N] …`: prints what it runs, runs it, and ends with the command that
 * repeats it. Exit code: 0 all well, 1 an exception or broken invariant, 2 safety, 3 liveness, 64 wrong usage.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { POLICY_NAMES } from "./adversaries/index.ts";
import { LEGEND } from "./format.ts";
import { describePlan, FAULT_KINDS, type FaultKind, type SimOptions } from "./options.ts";
import { simulate, simulateEngine, type SimResult } from "./simulate.ts";

const USAGE = `usage: pnpm sim [seed] [options]
  --seeds N       run N seeds: seed, seed+1, …                 (default 1)
  --faults KIND   ${FAULT_KINDS.join(" | ")}    (default: drawn from the seed)
  --n N           replicas, 1 … 13                             (default: drawn)
  --byzantine B   Byzantine replicas; more than f is a negative control (default f with Byzantine faults)
  --policies A,B  what they do: ${POLICY_NAMES.slice(0, 4).join(", ")}, …, twins
  --chaos MS      virtual time under faults                    (default: drawn)
  --depth DEPTH   replica (as it ships) | engine (fast: engines in small shells) (default replica)
  --trace LINES   print the last LINES lines of each run       (default 0; 60 on failure)`;

const EXIT: Readonly<Record<SimResult["outcome"], number>> = { ok: 0, crash: 1, safety: 2, liveness: 3 };
const EXIT_USAGE = 64;
const LINES_ON_FAILURE = 60;

interface Arguments {
  readonly first: number;
  readonly seeds: number;
  readonly lines: number;
  readonly options: Omit<SimOptions, "seed">;
  readonly run: (options: SimOptions) => SimResult | Promise<SimResult>;
  /** As given, to be repeated. */
  readonly flags: string;
}

function integer(name: string, text: string | undefined, min: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < min) throw new RangeError(`${name} must be an integer of at least ${min}, got ${text}`);
  return value;
}

function parse(argv: readonly string[]): Arguments {
  const { values, positionals } = parseArgs({
    args: [...argv], allowPositionals: true,
    options: {
      seeds: { type: "string" }, faults: { type: "string" }, n: { type: "string" }, byzantine: { type: "string" },
      policies: { type: "string" }, chaos: { type: "string" }, trace: { type: "string" }, depth: { type: "string" },
    },
  });
  const faults = values.faults;
  if (faults !== undefined && !(FAULT_KINDS as readonly string[]).includes(faults)) throw new RangeError(`--faults must be one of ${FAULT_KINDS.join(", ")}, got ${faults}`);
  const policies = values.policies?.split(",");
  const known: readonly string[] = ["twins", ...POLICY_NAMES];
  for (const name of policies ?? []) if (!known.includes(name)) throw new RangeError(`no policy ${name}; there are ${known.join(", ")}`);
  const depth = values.depth ?? "replica";
  if (depth !== "replica" && depth !== "engine") throw new RangeError(`--depth must be replica or engine, got ${depth}`);
  const n = integer("--n", values.n, 1);
  const byzantine = integer("--byzantine", values.byzantine, 0);
  const chaosMs = integer("--chaos", values.chaos, 1);
  const { trace: _lines, seeds: _seeds, ...repeated } = values;
  return {
    first: integer("seed", positionals[0], 0) ?? 1,
    seeds: integer("--seeds", values.seeds, 1) ?? 1,
    lines: integer("--trace", values.trace, 0) ?? 0,
    run: depth === "engine" ? simulateEngine : simulate,
    options: {
      ...(faults !== undefined && { faults: faults as FaultKind }), ...(n !== undefined && { n }), ...(byzantine !== undefined && { byzantine }),
      ...(policies !== undefined && { policies: policies as NonNullable<SimOptions["policies"]> }), ...(chaosMs !== undefined && { chaosMs }),
    },
    flags: Object.entries(repeated).map(([key, value]) => ` --${key} ${value}`).join(""),
  };
}

const print = (line: string): void => void process.stdout.write(`${line}\n`);

function printResult(result: SimResult, lines: number): void {
  const { counters: c, outcome } = result;
  print(`${outcome === "ok" ? "ok      " : outcome.toUpperCase().padEnd(8)} ${result.events} events, ${result.virtualMs.toFixed(0)} ms virtual, ${result.accepted} answers, `
    + `${c.executedSlots} slots executed, ${c.viewsLeft} views left, ${c.stableCheckpoints} stable checkpoints, ${c.crashes} crashes`
    + `${result.recoveryMs === undefined ? "" : `, settled ${result.recoveryMs.toFixed(0)} ms after healing`}, trace ${result.traceHash}`);
  if (lines > 0 && result.trace.length > 0) {
    for (const line of LEGEND) print(`  ${line}`);
    for (const line of result.trace.slice(-lines)) print(line);
  }
  if (outcome !== "ok") print(`${outcome} (${result.oracle}): ${result.detail}${result.stack === undefined ? "" : `\n${result.stack}`}`);
}

async function main(): Promise<number> {
  let args: Arguments;
  try {
    args = parse(process.argv.slice(2));
  } catch (error) {
    print(error instanceof Error ? error.message : String(error));
    print(USAGE);
    return EXIT_USAGE;
  }
  let worst: SimResult["outcome"] = "ok";
  let events = 0;
  let failures = 0;
  const started = process.hrtime.bigint();
  for (let seed = args.first; seed < args.first + args.seeds; seed++) {
    const result = await args.run({ seed, ...args.options, traceLines: Math.max(args.lines, LINES_ON_FAILURE) });
    events += result.events;
    const failed = result.outcome !== "ok";
    if (args.seeds === 1 || failed) {
      for (const line of describePlan(result.plan)) print(line);
      if (result.cast.length > 0) print(`Byzantine: ${result.cast.join("; ")}`);
      printResult(result, failed ? Math.max(args.lines, LINES_ON_FAILURE) : args.lines);
      print(`repeat: pnpm sim ${seed}${args.flags} --trace ${Math.max(args.lines, LINES_ON_FAILURE)}`);
    }
    if (failed) failures++;
    if (failed && (worst === "ok" || EXIT[result.outcome] < EXIT[worst])) worst = result.outcome;
  }
  const ms = Number(process.hrtime.bigint() - started) / 1e6;
  if (args.seeds > 1) print(`${args.seeds} seeds, ${failures} failed, ${events} events, ${(ms / Math.max(1, events) * 1000).toFixed(1)} ms per 1,000 events`);
  return EXIT[worst];
}

process.exitCode = await main();
