/**
 * The demo: four replicas as four processes, a payment day, the primary killed half-way. Exits 0 only if everything held.
 *
 *   node --import tsx --conditions=@narses/source apps/ledger/src/demo/main.ts [--full-speed] [--keep]
 */
import { setMaxListeners } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { failureOf, interrupted } from "../cli/failure.ts";
import { createOutput } from "../cli/output.ts";
import { bar, count } from "../cli/table.ts";
import { investigate } from "./findings.ts";
import { loadDay, play, REPLICAS, setStage, type Events, type Stage } from "./scenario.ts";
import type { ReplicaProcess } from "./replica-process.ts";
import { createScreen, stamp } from "./screen.ts";
import { summarize } from "./summary.ts";

/** Payments per second, so that a person can follow; --full-speed does without. */
const PACE = 300;

const USAGE = `Usage: npm run demo [-- --full-speed --keep]

Starts a throw-away ledger of ${REPLICAS} replicas on this machine, imports a payment day, kills the primary
half-way, restarts it, and checks that nothing was lost, doubled or forged.

  --full-speed  submit as fast as the cluster takes it (default: ${PACE} payments a second, to watch)
  --keep        keep the data directories
`;

const output = createOutput({ json: false, stdout: process.stdout, stderr: process.stderr, env: process.env });
const live = process.stdout.isTTY && process.env["TERM"] !== "dumb";

function eventsOn(screen: ReturnType<typeof createScreen>, startedMs: number): Events {
  let tenth = 0;
  return {
    happened: (text) => screen.say(`${stamp(output, startedMs)}${text}`),
    progress: (done, total, reports) => {
      const line = `payments ${bar(done, total, 32)} ${count(done)} of ${count(total)}`;
      const states = reports.map(({ replica, status }) =>
        status === undefined
          ? `  replica ${replica}  ${output.style("red", "down")}`
          : `  replica ${replica}  view ${status.view}${status.primary === replica ? ", primary" : ""}`.padEnd(30) + `block ${status.seq}`,
      );
      screen.show(["", `        ${line}`, ...states.map((state) => `      ${state}`)]);
      const reached = Math.floor((10 * done) / total);
      if (reached > tenth) screen.milestone(`${stamp(output, startedMs)}${line}`);
      tenth = Math.max(tenth, reached);
    },
  };
}

/** Leaves what the printed command needs: the receipt and the cluster file. Everything when something did not hold. */
function tidy(directory: string, { keep, all }: { readonly keep: boolean; readonly all: boolean }): void {
  if (keep) {
    process.stdout.write(`data and logs are in ${directory}\n`);
    return;
  }
  const throwAway = Array.from({ length: REPLICAS }, (_, i) => `replica-${i}`).concat("admin.key");
  for (const path of all ? [directory] : throwAway.map((name) => join(directory, name))) rmSync(path, { recursive: true, force: true });
}

async function run(options: { readonly fullSpeed: boolean; readonly keep: boolean }, signal: AbortSignal): Promise<boolean> {
  const startedMs = performance.now();
  const screen = createScreen(process.stdout, { live });
  const events = eventsOn(screen, startedMs);
  const directory = mkdtempSync(join(tmpdir(), "narses-demo-"));
  let processes: readonly ReplicaProcess[] = [];
  let stage: Stage | undefined;
  let everythingHeld = false;
  const abandon = (): void => processes.forEach((replica) => replica.abandon());
  process.on("exit", abandon);
  try {
    screen.say(output.style("bold", `Narses: a ledger of ${REPLICAS} replicas that survives the loss of any one of them\n`));
    stage = await setStage(directory, (made) => (processes = made));
    events.happened(`${REPLICAS} replicas run as processes ${processes.map((replica) => String(replica.pid)).join(", ")} in ${directory}`);
    const plan = loadDay();
    events.happened(`a payment day of ${count(plan.payments.length)} payments between ${plan.accounts.length} accounts of 12 banks begins`);
    const played = await play(stage, plan, { perSecond: options.fullSpeed ? undefined : PACE, events, signal });
    screen.clear();
    events.happened("the day is over; waiting for every replica, importing the same file again, verifying the chain");
    const findings = await investigate(stage, played, plan);
    const { text, held } = summarize(findings, { plan, pace: options.fullSpeed ? undefined : PACE, output });
    process.stdout.write(text);
    everythingHeld = held;
    return held;
  } finally {
    screen.clear();
    await Promise.allSettled([stage?.main.close(), stage?.observer.close()]);
    await Promise.allSettled(processes.map((replica) => replica.end("SIGTERM")));
    process.off("exit", abandon);
    tidy(directory, { keep: options.keep || !(everythingHeld || signal.aborted), all: signal.aborted });
  }
}

const { values } = parseArgs({
  options: {
    "full-speed": { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
});
if (values.help) {
  process.stdout.write(USAGE);
} else {
  const stop = new AbortController();
  setMaxListeners(0, stop.signal);
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => stop.abort(interrupted(name)));
  try {
    process.exitCode = (await run({ fullSpeed: values["full-speed"], keep: values.keep }, stop.signal)) ? 0 : 1;
  } catch (error) {
    const { code, message, exit } = failureOf(error);
    process.stderr.write(`the demo failed: ${message} [${code}]\n`);
    process.exitCode = exit;
  }
}
