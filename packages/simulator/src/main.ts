/**
 * `pnpm sim [seed] …`, `pnpm sim twins`, `pnpm sim kill`, `pnpm sim replay FILE`: prints what it runs, runs it, and ends with the command
 * that repeats it. The exit code names the class of failure (`cli/exit.ts`).
 */
import process from "node:process";
import { Command, CommanderError, InvalidArgumentError } from "commander";
import { POLICY_NAMES } from "./adversaries/index.ts";
import { EXIT, type ExitCode } from "./cli/exit.ts";
import { defaultWorkers, WORKER_COMMAND } from "./cli/pool.ts";
import { HELP_AFTER } from "./cli/help.ts";
import { kill } from "./cli/kill.ts";
import { PROGRAM } from "./cli/program.ts";
import { minimiseSeed, replayFile } from "./cli/replay.ts";
import { run } from "./cli/run.ts";
import { ToolError } from "./cli/tool-error.ts";
import { twins } from "./cli/twins.ts";
import type { Depth } from "./cli/seeds.ts";
import { depth, faultKind, integer, leaders, oracles, policies } from "./cli/values.ts";
import { serve } from "./cli/worker.ts";
import { FAULT_KINDS, type FaultKind, type SimOptions } from "./options.ts";
import type { Leaders } from "./twins/enumerate.ts";

const print = (line: string): void => void process.stdout.write(`${line}\n`);

/** A RangeError of a parser is a wrong flag. */
const checked = <T>(parse: (text: string) => T) => (text: string): T => {
  try {
    return parse(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
};

interface RunCommand {
  readonly seeds: number;
  readonly trace: number;
  readonly faults?: FaultKind;
  readonly n?: number;
  readonly byzantine?: number;
  readonly policies?: NonNullable<SimOptions["policies"]>;
  readonly oracles?: NonNullable<SimOptions["oracles"]>;
  readonly chaos?: number;
  readonly workers?: number;
  readonly depth?: Depth;
  readonly seed?: number;
  readonly app?: string;
  readonly chart?: string;
  readonly from: number;
  readonly to?: number;
  readonly state?: string;
}

function addRun(program: Command, done: (code: ExitCode) => void): Command {
  return program.command("run", { isDefault: true }).description("run one seed, or many; the default: the word may be left out")
    .argument("[seed]", "the seed; everything is drawn from it (default: 1)", checked(integer("seed", 0)))
    .option("--seed <S>", "the same as a flag", checked(integer("--seed", 0)))
    .option("--app <file>", "a module that exports `app`, a state machine, and `operation(random, client)`")
    .option("--seeds <N>", "run N seeds: seed, seed+1, …", checked(integer("--seeds", 1)), 1)
    .option("--faults <kind>", `${FAULT_KINDS.join(", ")} (default: drawn)`, checked(faultKind))
    .option("--n <N>", "replicas, 1 … 13 (default: drawn)", checked(integer("--n", 1)))
    .option("--byzantine <B>", "Byzantine replicas; more than f is a negative control (default: f with Byzantine faults)", checked(integer("--byzantine", 0)))
    .option("--policies <names>", `what they do: ${POLICY_NAMES.slice(0, 3).join(",")}, …, twins`, checked(policies))
    .option("--oracles <names>", "who judges: for controls of a single oracle (default: all)", checked(oracles))
    .option("--chaos <ms>", "virtual time under faults (default: drawn)", checked(integer("--chaos", 1)))
    .option("--trace <lines>", "print the last lines of the trace (60 on failure)", checked(integer("--trace", 0)), 0)
    .option("--depth <what>", "replica (as it ships) or engine (in small shells: fast) (default: replica)", checked(depth))
    .option("--chart <file>", "draw the messages of a window as SVG")
    .option("--from <ms>", "where the chart begins", checked(integer("--from", 0)), 0)
    .option("--to <ms>", "where it ends (default: the end of the run)", checked(integer("--to", 1)))
    .option("--workers <N>", `worker processes with --seeds (default: ${defaultWorkers()})`, checked(integer("--workers", 1)))
    .option("--state <file>", "where a campaign keeps its state, to go on after an interruption")
    .action(async (argument: number | undefined, o: RunCommand) => {
      const seed = argument ?? o.seed ?? 1;
      const repeated: Readonly<Record<string, unknown>> = {
        faults: o.faults, n: o.n, byzantine: o.byzantine, policies: o.policies?.join(","), oracles: o.oracles?.join(","), chaos: o.chaos, depth: o.depth, app: o.app,
      };
      done(await run({
        seed, seeds: o.seeds, depth: o.depth ?? "replica", appPath: o.app, lines: o.trace, workers: o.workers, state: o.state, print,
        chart: o.chart === undefined ? undefined : { path: o.chart, fromMs: o.from, toMs: o.to },
        flags: Object.entries(repeated).filter(([, value]) => value !== undefined).map(([key, value]) => ` --${key} ${String(value)}`).join(""),
        options: simOptions(o),
      }));
    });
}

function addTwins(program: Command, done: (code: ExitCode) => void): void {
  program.command("twins").description("enumerate all two-way partitions with replicas that exist twice")
    .option("--n <N>", "replicas", checked(integer("--n", 1)), 4)
    .option("--twins <T>", "how many of them exist twice; more than f is a negative control", checked(integer("--twins", 0)), 1)
    .option("--rounds <R>", "rounds of a scenario", checked(integer("--rounds", 1)), 7)
    .option("--leaders <who>", "in-turn: from each first one; same-or-next: a view may last for rounds; any: each in each round", checked(leaders), "in-turn")
    .option("--workers <N>", "worker processes", checked(integer("--workers", 1)))
    .option("--state <file>", "where finished shares are kept, to go on after an interruption")
    .action(async (o: { readonly n: number; readonly twins: number; readonly rounds: number; readonly leaders: Leaders; readonly workers?: number; readonly state?: string }) => {
      done(await twins({ n: o.n, twins: o.twins, rounds: o.rounds, leaders: o.leaders, workers: o.workers, state: o.state, print }));
    });
}

function addKill(program: Command, done: (code: ExitCode) => void): void {
  program.command("kill").description("put seeded bugs into copies of the sources: each must be noticed within its number of seeds")
    .option("--only <text>", "those whose name contains the text")
    .option("--out <file>", "write the table to a file as well")
    .option("--state <file>", "where results are kept, to go on after an interruption")
    .option("--workers <N>", "bugs hunted at one time", checked(integer("--workers", 1)))
    .action(async (o: { readonly only?: string; readonly out?: string; readonly state?: string; readonly workers?: number }) => {
      done(await kill({ only: o.only, out: o.out, state: o.state, workers: o.workers, print }));
    });
}

function addScenarios(program: Command, done: (code: ExitCode) => void): void {
  program.command("replay").description("run a scenario file: nothing in it is left to chance").argument("<file>")
    .option("--app <file>", "the application's module, if it is no longer where the scenario says")
    .option("--trace <lines>", "print the last lines of the trace", checked(integer("--trace", 0)), 60)
    .option("--chart <file>", "draw the messages of a window as SVG")
    .option("--from <ms>", "where the chart begins", checked(integer("--from", 0)), 0)
    .option("--to <ms>", "where it ends", checked(integer("--to", 1)))
    .action(async (file: string, o: { readonly app?: string; readonly trace: number; readonly chart?: string; readonly from: number; readonly to?: number }) => {
      done(await replayFile({ file, appPath: o.app, lines: o.trace, chart: o.chart === undefined ? undefined : { path: o.chart, fromMs: o.from, toMs: o.to }, print }));
    });
  program.command("minimise").description("make a scenario file of a failing seed, without what it does not need").argument("<seed>", "the seed", checked(integer("seed", 0)))
    .requiredOption("--out <file>", "the scenario file")
    .option("--app <file>", "as given to the failing run")
    .option("--faults <kind>", "as given to the failing run", checked(faultKind))
    .option("--n <N>", "as given to the failing run", checked(integer("--n", 1)))
    .option("--byzantine <B>", "as given to the failing run", checked(integer("--byzantine", 0)))
    .option("--policies <names>", "as given to the failing run", checked(policies))
    .option("--oracles <names>", "as given to the failing run", checked(oracles))
    .option("--chaos <ms>", "as given to the failing run", checked(integer("--chaos", 1)))
    .option("--depth <what>", "as given to the failing run", checked(depth))
    .action(async (seed: number, o: Partial<RunCommand> & { readonly out: string }) => {
      done(await minimiseSeed({ options: { seed, ...simOptions(o) }, depth: o.depth ?? "replica", appPath: o.app, out: o.out, print }));
    });
}

const simOptions = (o: Partial<RunCommand>): Omit<SimOptions, "seed"> => ({
  ...(o.faults !== undefined && { faults: o.faults }), ...(o.n !== undefined && { n: o.n }), ...(o.byzantine !== undefined && { byzantine: o.byzantine }),
  ...(o.policies !== undefined && { policies: o.policies }), ...(o.chaos !== undefined && { chaosMs: o.chaos }),
  ...(o.oracles !== undefined && { oracles: o.oracles }),
});

async function main(argv: readonly string[]): Promise<ExitCode | undefined> {
  if (argv[0] === WORKER_COMMAND && process.send !== undefined) {
    serve();
    return undefined;
  }
  let code: ExitCode = EXIT.ok;
  const done = (result: ExitCode): void => {
    code = result;
  };
  const program = new Command(PROGRAM)
    .description("A whole Narses cluster in one thread from one seed, with faults and oracles. The same seed gives the same trace, byte for byte.")
    .exitOverride().showHelpAfterError(`(${PROGRAM} --help says what there is)`).configureOutput({ writeErr: (text) => void process.stdout.write(text) });
  const runs = addRun(program, done);
  program.addHelpText("after", () => `\n${runs.helpInformation()}${HELP_AFTER}`);
  addTwins(program, done);
  addKill(program, done);
  addScenarios(program, done);
  try {
    await program.parseAsync([...argv], { from: "user" });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    if (error instanceof ToolError || error instanceof RangeError) {
      print(error.message);
      return EXIT.usage;
    }
    if (error instanceof Error && "syscall" in error) {
      print(`${error.message}: give another path`);
      return EXIT.usage;
    }
    print(`the simulator itself failed, which says nothing about what it ran: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    return EXIT.tool;
  }
}

const exitCode = await main(process.argv.slice(2));
if (exitCode !== undefined) process.exitCode = exitCode;
