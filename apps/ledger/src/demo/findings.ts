/** After the day: what the cluster says of itself, checked from outside where it can be. */
import { join } from "node:path";
import { runImport } from "../import/importer.ts";
import type { ImportPlan } from "../import/plan.ts";
import { runCommand } from "./replica-process.ts";
import { waitForAll, type Played, type Stage } from "./scenario.ts";

export interface Findings {
  readonly played: Played;
  readonly payments: number;
  readonly reports: Awaited<ReturnType<typeof waitForAll>>;
  readonly again: { readonly applied: number; readonly replayed: number; readonly rate: number };
  readonly sum: bigint;
  readonly transfers: number;
  readonly receipt: { readonly status: number; readonly stdout: string; readonly stderr: string };
  readonly chain: { readonly status: number; readonly stdout: string; readonly stderr: string };
}

/** Waits for all replicas, imports the file again, and runs the verifying commands as a user would. */
export async function investigate(stage: Stage, played: Played, plan: ImportPlan): Promise<Findings> {
  const reports = await waitForAll(stage);
  const second = await runImport(stage.main.ledger, plan);
  const { result: summary } = await stage.main.ledger.ask({ type: "summary" });
  const { minor } = await stage.main.ledger.sum("EUR");
  const final = await waitForAll(stage); // the questions above were ordered too
  const cluster = join(stage.directory, "cluster.json");
  const [receipt, chain] = await Promise.all([
    runCommand(["verify", "receipt", played.receiptFile, "--cluster", cluster]),
    runCommand([
      "verify",
      "chain",
      "--dir",
      stage.directory,
      "--from-replica",
      String(played.failover?.killed ?? 0),
      "--receipt",
      played.receiptFile,
    ]),
  ]);
  const rate = Math.round((plan.payments.length * 1_000) / second.paymentsMs);
  return {
    played,
    payments: plan.payments.length,
    reports: { reports: final.reports, tookMs: reports.tookMs },
    again: { applied: second.applied, replayed: second.replayed, rate },
    sum: minor,
    transfers: summary.transfers,
    receipt,
    chain,
  };
}
