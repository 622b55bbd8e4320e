/** `start`: runs one replica until SIGTERM. */
import type { Command } from "commander";
import type { StateMachine } from "@narses/core";
import { hasher } from "@narses/crypto";
import { startReplica, tuneProcess } from "@narses/replica";
import { pino } from "pino";
import { createLedger } from "../../state-machine/machine.ts";
import { EXIT, type Exit } from "../failure.ts";
import { examples, readPassphrase } from "../options.ts";
import type { Runner, Shell } from "../shell.ts";
import { Option } from "commander";

interface StartFlags {
  readonly home: string;
  readonly logLevel: string;
  readonly logFile?: string;
  readonly passphraseFile?: string;
  readonly admin?: string;
  readonly guard?: boolean;
  readonly rejoin?: boolean;
}

const LEVELS = ["debug", "info", "warn", "error", "silent"];

async function start(shell: Shell, _args: readonly (string | undefined)[], flags: StartFlags): Promise<Exit> {
  const passphrase = readPassphrase(flags.passphraseFile);
  const destination = pino.destination({ dest: flags.logFile ?? 2, sync: false, mkdir: true });
  const logger = pino({ level: flags.logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination);
  tuneProcess();
  const replica = await startReplica({
    home: flags.home,
    app: createLedger(hasher),
    logger,
    ...(passphrase === undefined ? {} : { passphrase }),
    ...(flags.guard === true ? { guard: { fresh: () => createLedger(hasher) as StateMachine } } : {}),
    ...(flags.rejoin === true ? { rejoin: true } : {}),
    ...(flags.admin === undefined ? {} : { admin: flags.admin }),
  });
  const status = replica.status();
  shell.output.result(
    { ready: true, replica: status.replica, pid: process.pid },
    `ready replica ${status.replica} pid ${process.pid} block ${status.head.seq}`,
  );
  const stopped = new Promise<void>((resolve) => {
    if (shell.signal.aborted) resolve();
    else shell.signal.addEventListener("abort", () => resolve(), { once: true });
  });
  const failure = await Promise.race([replica.stopped, stopped]);
  await replica.stop();
  destination.flushSync();
  if (failure instanceof Error) throw failure;
  return EXIT.ok;
}

export function registerStart(program: Command, runner: Runner): void {
  const command = program
    .command("start")
    .description("run one replica in the foreground; SIGTERM stops it cleanly, it prints one line when it is ready")
    .requiredOption("--home <DIR>", "home directory of the replica, made by `init`")
    .addOption(new Option("--log-level <LEVEL>", "least severe message to log").choices(LEVELS).default("info"))
    .option("--log-file <FILE>", "append the log (JSON lines) to FILE (default: stderr)")
    .option("--guard", "for development: run every operation twice under traps, and stop if the state machine is not deterministic")
    .option("--passphrase-file <FILE>", "file with the passphrase of replica.key, if it is encrypted")
    .option("--rejoin", "the data directory of this replica is lost: fetch the state from the others, and vote only when that cannot contradict what was said before")
    .option("--admin <HOST:PORT>", "serve /health, /ready, /metrics, /status and /why over HTTP (default: \"admin\" in replica.json, else nowhere)");
  runner.run(
    examples(command, [
      "narses-ledger start --home ./bank/replica-0",
      "narses-ledger start --home ./bank/replica-0 --log-file replica-0.log --log-level warn",
    ]),
    start,
  );
}
