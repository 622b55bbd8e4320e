/** The demo's story, step by step. It returns what happened; main.ts tells it and judges it. */
import { join } from "node:path";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { assert, NarsesError, type ClusterConfig } from "@narses/core";
import { collectReports, type ReplicaReport } from "../cluster/replica-report.ts";
import { openConnection, type Connection } from "../cli/connection.ts";
import { initialize } from "../cli/commands/init.ts";
import { readPaymentFile } from "../csv/payment-file.ts";
import { runImport, type ImportReport } from "../import/importer.ts";
import { batchIdOf, planImport, type ImportPlan } from "../import/plan.ts";
import { saveReceipt } from "../receipts/receipt-file.ts";
import { SAMPLE_OPENING } from "./payment-day.ts";
import { freePorts, ReplicaProcess } from "./replica-process.ts";
import { createPace, createWatch, type Watch } from "./watch.ts";

export const REPLICAS = 4;
/** Payments in a bundle: few when the day is paced, so that progress is smooth; many when speed is wanted. */
const CHUNK = { paced: 15, fullSpeed: 100 } as const;
/** The killed replica stays down until this part of the remaining payments went through without it. */
const RESTART_AFTER = 0.1;
const CATCH_UP_MS = 60_000;
const TAKE_OVER_MS = 15_000;

export interface Events {
  /** Something worth a line. */
  happened(text: string): void;
  progress(done: number, total: number, reports: readonly ReplicaReport[]): void;
}

export interface Stage {
  readonly directory: string;
  readonly replicas: readonly ReplicaProcess[];
  readonly main: Connection;
  /** For questions about progress; its own connections, so that they do not disturb the payments'. */
  readonly observer: Connection;
  readonly cluster: ClusterConfig;
}

export async function setStage(directory: string, onReplicas: (replicas: readonly ReplicaProcess[]) => void): Promise<Stage> {
  const made = initialize({
    directory,
    replicas: REPLICAS,
    basePort: await freePorts(REPLICAS),
    host: "127.0.0.1",
    name: "demo",
    clients: "open",
    asset: ["EUR:2"],
  });
  const replicas = made.replicas.map((home, i) => new ReplicaProcess(i, home));
  onReplicas(replicas);
  await Promise.all(replicas.map((replica) => replica.start()));
  const flags = { dir: directory, timeout: 60 };
  const main = await openConnection(flags);
  const observer = await openConnection(flags, { anonymous: true, timeouts: { callMs: 2_000 } });
  return { directory, replicas, main, observer, cluster: main.cluster };
}

export function loadDay(): ImportPlan {
  const bytes = readFileSync(fileURLToPath(new URL("../../samples/payment-day.csv", import.meta.url)));
  const file = readPaymentFile(bytes, { asset: "EUR", decimals: new Map([["EUR", 2]]) });
  if (file.problems.length > 0)
    throw new NarsesError(
      "DATA_CORRUPT",
      `the shipped sample has ${file.problems.length} problems; make it again with src/demo/generate.ts`,
    );
  return planImport(file, { opening: SAMPLE_OPENING, batchId: batchIdOf(bytes) });
}

export interface Failover {
  readonly killed: number;
  readonly viewBefore: number;
  viewAfter: number;
  readonly confirmedAtKill: number;
  confirmedAtRestart: number;
}

export interface Played {
  readonly report: ImportReport;
  readonly failover: Failover | undefined;
  readonly longestGapMs: number;
  readonly receiptFile: string;
  readonly receiptPayment: string;
}

/** Reports from when some replica has entered a view above `view`; what was in flight at the kill may still be confirmed before that. */
async function nextView(stage: Stage, view: number): Promise<readonly ReplicaReport[]> {
  const started = performance.now();
  for (;;) {
    const reports = await collectReports(stage.observer, 0);
    const entered = reports.some((report) => report.status !== undefined && report.status.view > view && report.status.active);
    if (entered || performance.now() - started > TAKE_OVER_MS) return reports;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Kills the primary half-way and starts it again a little later, both while payments go on. */
async function strike(
  stage: Stage,
  watch: Watch,
  {
    events,
    total,
    over,
    note,
  }: { readonly events: Events; readonly total: number; readonly over: AbortSignal; note(failover: Failover): void },
): Promise<void> {
  const reports = await collectReports(stage.observer, 0);
  const view = Math.max(...reports.map((report) => report.status?.view ?? 0));
  const primary = reports.find((report) => report.status?.view === view)?.status?.primary ?? 0;
  const victim = stage.replicas[primary];
  assert(victim !== undefined, `view ${view} has a primary among the replicas`);
  const failover: Failover = { killed: primary, viewBefore: view, viewAfter: view, confirmedAtKill: watch.count, confirmedAtRestart: 0 };
  watch.mark();
  const { pid } = victim;
  await victim.end("SIGKILL");
  events.happened(
    `replica ${primary}, the primary of view ${view}, was killed (SIGKILL, process ${String(pid)}) after ${failover.confirmedAtKill} payments`,
  );
  note(failover);
  const resume = watch.count + Math.floor((total - watch.count) * RESTART_AFTER);
  while (watch.count < resume) {
    if (over.aborted) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const after = await nextView(stage, view);
  failover.viewAfter = Math.max(...after.map((report) => report.status?.view ?? 0));
  const next = after.find((report) => report.status?.view === failover.viewAfter)?.status?.primary;
  events.happened(
    `replica ${String(next)} is the primary of view ${failover.viewAfter}; longest silence ${(watch.longestGapMs / 1_000).toFixed(2)} s, then payments went on`,
  );
  failover.confirmedAtRestart = watch.count;
  await victim.start();
  events.happened(
    `replica ${primary} is back (process ${String(victim.pid)}), ${watch.count - failover.confirmedAtKill} payments behind, and catches up`,
  );
}

/** Imports the day at `perSecond` (undefined: as fast as it goes), with the failure in the middle. */
export async function play(
  stage: Stage,
  plan: ImportPlan,
  options: { readonly perSecond: number | undefined; readonly events: Events; readonly signal: AbortSignal },
): Promise<Played> {
  const { events, perSecond } = options;
  const total = plan.payments.length;
  const now = (): number => performance.now();
  const watch = createWatch(now);
  let failover: Failover | undefined;
  let struck: Promise<void> | undefined;
  let struckError: unknown;
  let receiptPayment = "";
  const receiptFile = join(stage.directory, "receipt.json");
  let pace: ((started: number) => Promise<void>) | undefined;
  const over = new AbortController();
  let latest: readonly ReplicaReport[] = [];
  const poll = setInterval(() => {
    collectReports(stage.observer, 0).then(
      (reports) => (latest = reports),
      () => undefined,
    );
  }, 250);
  try {
    const report = await runImport(stage.main.ledger, plan, {
      signal: options.signal,
      chunk: perSecond === undefined ? CHUNK.fullSpeed : CHUNK.paced,
      before: (started) => (perSecond === undefined ? Promise.resolve() : (pace ??= createPace(perSecond, now))(started)),
      onProgress: ({ phase, done, total: all }) => {
        if (phase === "accounts") {
          if (done === all) events.happened(`${all} accounts are open, each with ${SAMPLE_OPENING} EUR`);
          return;
        }
        watch.confirmed();
        events.progress(done, total, latest);
        if (done >= total / 2)
          struck ??= strike(stage, watch, { events, total, over: over.signal, note: (it) => (failover = it) }).catch(
            (error: unknown) => void (struckError = error),
          );
      },
      onPayment: (payment, { receipt }) => {
        // A payment ordered by the second primary: its receipt shows that the failure left no mark.
        if (receiptPayment !== "" || watch.count < total * 0.75) return;
        receiptPayment = payment.id;
        saveReceipt(receiptFile, receipt, stage.cluster);
      },
    });
    await struck;
    if (struckError !== undefined) throw struckError;
    return { report, failover, longestGapMs: watch.longestGapMs, receiptFile, receiptPayment };
  } finally {
    over.abort();
    clearInterval(poll);
  }
}

/** Waits until every replica has executed the same block; returns what they say then, equal or not. */
export async function waitForAll(stage: Stage): Promise<{ readonly reports: readonly ReplicaReport[]; readonly tookMs: number }> {
  const started = performance.now();
  for (;;) {
    const reports = await collectReports(stage.observer, 1_000);
    const heads = new Set(reports.map((report) => report.status?.seq ?? -1));
    const tookMs = performance.now() - started;
    if ((heads.size === 1 && !heads.has(-1)) || tookMs > CATCH_UP_MS) return { reports, tookMs };
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
