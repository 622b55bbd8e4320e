/** The command line: parses, runs one command, and says how it ended. */
import { setMaxListeners } from "node:events";
import { Command, CommanderError } from "commander";
import { EXIT, type Exit } from "./failure.ts";
import { createOutput, toJson, type Stream } from "./output.ts";
import { createRunner } from "./shell.ts";
import { registerAccount } from "./commands/account.ts";
import { registerBlock } from "./commands/block.ts";
import { registerGovernance } from "./commands/governance.ts";
import { registerImport } from "./commands/import.ts";
import { registerInit } from "./commands/init.ts";
import { registerStart } from "./commands/start.ts";
import { registerStatus } from "./commands/status.ts";
import { registerTransfer } from "./commands/transfer.ts";
import { registerVerify } from "./commands/verify.ts";
import { registerWal } from "./commands/wal.ts";
import { registerWhy } from "./commands/why.ts";

export interface Surroundings {
  readonly stdout: Stream;
  readonly stderr: Stream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

const EXIT_STATUS = `
Exit status:
  0 done            1 defect              2 wrong usage          3 cluster file, key, port or data directory
  4 refused         5 cluster unreachable 6 does not verify      7 file to import has bad lines
  130 interrupted

Start here:
  $ narses-ledger init ./bank && export NARSES_DIR=./bank
  $ for i in 0 1 2 3; do narses-ledger start --home ./bank/replica-$i --log-file ./bank/replica-$i.log & done
  $ narses-ledger account create alice --asset EUR --opening 1000.00
  $ narses-ledger account create bob
  $ narses-ledger transfer alice bob 12.50 EUR --receipt first.receipt
  $ narses-ledger verify receipt first.receipt`;

/** Runs the command line `argv` (without node and script) and returns the exit status; never throws. */
export async function runCommandLine(argv: readonly string[], { stdout, stderr, env, signal }: Surroundings): Promise<Exit> {
  setMaxListeners(0, signal); // every operation under way listens
  const wantsJson = argv.includes("--json");
  const program = new Command("narses-ledger")
    .description("A permissioned ledger that keeps working, and keeps telling the truth, with f of its 3f+1 replicas crashed or hacked.")
    .version("0.1.0")
    .option("--json", "print one JSON document on stdout, errors as JSON on stderr")
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({ writeOut: (text) => void stdout.write(text), writeErr: (text) => void (wantsJson ? undefined : stderr.write(text)) })
    .addHelpText("after", EXIT_STATUS);
  const runner = createRunner((json) => ({ output: createOutput({ json, stdout, stderr, env }), env, signal }));
  for (const register of [
    registerInit,
    registerStart,
    registerAccount,
    registerTransfer,
    registerImport,
    registerStatus,
    registerBlock,
    registerVerify,
    registerGovernance,
    registerWhy,
    registerWal,
  ])
    register(program, runner);
  try {
    await program.parseAsync(argv, { from: "user" });
    return runner.exit;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return EXIT.ok;
    if (wantsJson)
      stderr.write(
        `${toJson({ error: { code: "USAGE", message: error.message.replace(/^error: /, ""), exit: EXIT.usage, data: { reason: error.code } } })}\n`,
      );
    return EXIT.usage;
  }
}
