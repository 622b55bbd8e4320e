/**
 * The demo: four replicas as four processes, a payment day, the primary killed half-way. Exits 0 only if everything held.
 *
 *   node --import tsx --conditions=@narses/source apps/ledger/src/demo/main.ts [--full-speed] [--keep]
 */
import { setMaxListeners } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { formatForPeople } from "../amount.ts";
import { failureOf } from "../cli/failure.ts";
import { createOutput } from "../cli/output.ts";
import { bar, count, fields, seconds } from "../cli/table.ts";
import { runImport } from "../import/importer.ts";
import { loadDay, play, REPLICAS, setStage, waitForAll, type Events, type Played, type Stage } from "./scenario.ts";
import { runCommand, type ReplicaProcess } from "./replica-process.ts";
import { createScreen, stamp } from "./screen.ts";

/** Payments per second, so that a person can follow; --full-speed does without. */
const PACE = 300;

const USAGE = `Usage: npm run demo [-- --full-speed --keep]

Starts a throw-away ledger of ${REPLICAS} replicas on this machine, imports a payment day, kills the primary
half-way, restarts it, and checks that nothing was lost, doubled or forged.

  --full-speed  submit as fast as the cluster takes it (default: ${PACE} payments a second, to watch)
  --keep        keep the data directories
`;

interface Check {
  readonly what: string;
  readonly held: boolean;
  readonly detail: string;
}

const output = createOutput({ json: false, stdout: process.stdout, stderr: process.stderr, env: process.env });
const live = process.stdout.isTTY && process.env["TERM"] !== "dumb";

function eventsOn(screen: ReturnType<typeof createScreen>, startedMs: number): Events {
  let tenth = 0;
  return {
    happened: (text) => screen.say(`${stamp(output, startedMs)}${text}`),
    progress: (done, total, reports) => {
      const line = `payments ${bar(done, total, 32)} ${count(done)} of ${count(total)}`;
      const states = reports.map(({ replica, status }) =>
        status === undefined ? `  replica ${replica}  ${output.style("red", "down")}` : `  replica ${replica}  view ${status.view}${status.primary === replica ? ", primary" : ""}`.padEnd(30) + `block ${status.seq}`);
      screen.show(["", `        ${line}`, ...states.map((state) => `      ${state}`)]);
      const reached = Math.floor((10 * done) / total);
      if (reached > tenth) screen.milestone(`${stamp(output, startedMs)}${line}`);
      tenth = Math.max(tenth, reached);
    },
  };
}

interface Findings {
  readonly played: Played;
  readonly payments: number;
  readonly reports: Awaited<ReturnType<typeof waitForAll>>;
  readonly again: { readonly applied: number; readonly replayed: number; readonly rate: number };
  readonly sum: bigint;
  readonly transfers: number;
  readonly receipt: { readonly status: number; readonly stdout: string; readonly stderr: string };
  readonly chain: { readonly status: number; readonly stdout: string; readonly stderr: string };
}

const lastLine = (text: string): string => text.trim().split("\n").at(-1) ?? "";

function judge({ played, payments, reports, again, sum, transfers, receipt, chain }: Findings): readonly Check[] {
  const { report, failover } = played;
  const states = reports.reports.map(({ status }) => status);
  const roots = new Set(states.map((status) => `${String(status?.seq)} ${String(status?.stateRoot)}`));
  const root = states[0]?.stateRoot ?? "";
  return [
    { what: "every payment applied", held: report.applied + report.replayed === payments && report.refused.length === 0, detail: `${count(report.applied + report.replayed)} of ${count(payments)}` },
    { what: "none applied twice", held: transfers === payments, detail: `the ledger counts ${count(transfers)} payments` },
    { what: "the same file again applies nothing", held: again.applied === 0 && again.replayed === payments, detail: `${count(again.replayed)} replays at ${count(again.rate)}/s` },
    { what: "money conserved", held: sum === 0n, detail: "all balances, issuance included, add up to 0.00 EUR" },
    { what: "another primary took over", held: failover !== undefined && failover.viewAfter > failover.viewBefore, detail: `view ${String(failover?.viewBefore)} to ${String(failover?.viewAfter)}` },
    { what: "the killed replica caught up", held: states.every((status) => status !== undefined && status.seq === states[0]?.seq), detail: `all at block ${String(states[0]?.seq)} (${seconds(reports.tookMs)} after the last payment)` },
    { what: "equal state roots on all replicas", held: roots.size === 1 && states.every((status) => status !== undefined), detail: `${root.slice(0, 32)}…` },
    { what: "the receipt verifies offline", held: receipt.status === 0, detail: receipt.status === 0 ? "vouched for by f+1 = 2 replicas" : lastLine(receipt.stderr) },
    { what: "the restarted replica's chain verifies", held: chain.status === 0, detail: chain.status === 0 ? "every block checked and executed again from genesis" : lastLine(chain.stderr) },
  ];
}

async function investigate(stage: Stage, played: Played, plan: ReturnType<typeof loadDay>): Promise<Findings> {
  const reports = await waitForAll(stage);
  const second = await runImport(stage.main.ledger, plan);
  const { result: summary } = await stage.main.ledger.ask({ type: "summary" });
  const { minor } = await stage.main.ledger.sum("EUR");
  const final = await waitForAll(stage); // the questions above were ordered too
  const cluster = join(stage.directory, "cluster.json");
  const [receipt, chain] = await Promise.all([
    runCommand(["verify", "receipt", played.receiptFile, "--cluster", cluster]),
    runCommand(["verify", "chain", "--dir", stage.directory, "--from-replica", String(played.failover?.killed ?? 0), "--receipt", played.receiptFile]),
  ]);
  const rate = Math.round((plan.payments.length * 1_000) / second.paymentsMs);
  return {
    played, payments: plan.payments.length, reports: { reports: final.reports, tookMs: reports.tookMs },
    again: { applied: second.applied, replayed: second.replayed, rate }, sum: minor, transfers: summary.transfers, receipt, chain,
  };
}

/** How a reader in this directory starts the command line. */
function launcher(): string {
  const path = fileURLToPath(new URL("../../bin/narses-ledger.js", import.meta.url));
  const short = relative(process.cwd(), path);
  return `node ${short.startsWith("..") ? path : short}`;
}

function tell(findings: Findings, plan: ReturnType<typeof loadDay>, paced: boolean): boolean {
  const { played } = findings;
  const { report, failover } = played;
  const total = [...plan.totals].map(([asset, minor]) => `${formatForPeople(minor, 2)} ${asset}`).join(", ");
  const rate = Math.round((findings.payments * 1_000) / report.paymentsMs);
  const verify = `${launcher()} verify receipt ${played.receiptFile} --cluster ${join(played.receiptFile, "../cluster.json")}`;
  const checks = judge(findings);
  const held = checks.every((check) => check.held);
  const width = Math.max(...checks.map((check) => check.what.length));
  const lines = [
    "",
    output.style("bold", "Summary"),
    fields([
      ["  payments", `${count(report.applied + report.replayed)} ordered and applied, ${total}, in blocks ${String(report.firstBlock)} to ${String(report.lastBlock)}`],
      ["  rate", `${count(rate)} payments/s over ${seconds(report.paymentsMs)}, the failure included${paced ? ` (submitted at ${PACE}/s to watch; --full-speed submits at once)` : ""}`],
      ["  views", `${String(failover?.viewBefore)} to ${String(failover?.viewAfter)}: replica ${String(failover?.killed)} was killed after ${count(failover?.confirmedAtKill ?? 0)} payments`],
      ["  gap", `${seconds(played.longestGapMs)} without a confirmed payment at the failover, the longest silence`],
      ["  receipt", `payment ${played.receiptPayment}: ${played.receiptFile}`],
      ["  verify it", verify],
    ]),
    "",
    ...checks.map((check) => `  ${check.held ? output.style("green", "held  ") : output.style("red", "FAILED")}  ${check.what.padEnd(width)}  ${output.style("dim", check.detail)}`),
    "",
    held ? output.style("green", "Everything held.") : output.style("red", "Something did not hold: see above."),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
  return held;
}

async function run(options: { readonly fullSpeed: boolean; readonly keep: boolean }, signal: AbortSignal): Promise<boolean> {
  const startedMs = performance.now();
  const screen = createScreen(process.stdout, { live });
  const events = eventsOn(screen, startedMs);
  const directory = mkdtempSync(join(tmpdir(), "narses-demo-"));
  let processes: readonly ReplicaProcess[] = [];
  let stage: Stage | undefined;
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
    return tell(findings, plan, !options.fullSpeed);
  } finally {
    screen.clear();
    await Promise.allSettled([stage?.main.close(), stage?.observer.close()]);
    await Promise.allSettled(processes.map((replica) => replica.end("SIGTERM")));
    process.off("exit", abandon);
    if (options.keep) process.stdout.write(`data kept in ${directory}\n`);
    else for (let i = 0; i < REPLICAS; i++) rmSync(join(directory, `replica-${i}`), { recursive: true, force: true });
  }
}

const { values } = parseArgs({ options: { "full-speed": { type: "boolean", default: false }, keep: { type: "boolean", default: false }, help: { type: "boolean", short: "h", default: false } } });
if (values.help) {
  process.stdout.write(USAGE);
} else {
  const stop = new AbortController();
  setMaxListeners(0, stop.signal);
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => stop.abort(new Error(`stopped by ${name}`)));
  try {
    process.exitCode = (await run({ fullSpeed: values["full-speed"], keep: values.keep }, stop.signal)) ? 0 : 1;
  } catch (error) {
    const { code, message } = failureOf(error);
    process.stderr.write(`the demo failed: ${message} [${code}]\n`);
    process.exitCode = 1;
  }
}
