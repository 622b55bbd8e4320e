/** `status`: what every replica says of itself, and what follows from it. */
import type { Command } from "commander";
import { collectReports, type ReplicaReport, type ReplicaState } from "../../cluster/replica-report.ts";
import { quorums, type ClusterConfig } from "@narses/core";
import { loadCluster } from "@narses/replica";
import { withConnection } from "../connection.ts";
import { failureOf, EXIT, type Exit } from "../failure.ts";
import { addClusterOptions, clusterPath, examples, type ClientFlags } from "../options.ts";
import type { Output } from "../output.ts";
import type { Runner, Shell } from "../shell.ts";
import { shortHash, table } from "../table.ts";

/** How long replicas that do not answer are waited for, once another one did. */
const STRAGGLERS_MS = 1_500;

/** A cluster that nobody answers for is a finding, not a failure. */
async function reportsOf(flags: ClientFlags, cluster: ClusterConfig): Promise<readonly ReplicaReport[]> {
  try {
    const opening = { anonymous: true, replicasNeeded: 1, timeouts: { connectMs: Math.min(flags.timeout, 3) * 1_000, callMs: 2_000 } };
    return await withConnection(flags, opening, (connection) => collectReports(connection, STRAGGLERS_MS));
  } catch (error) {
    const { code, data } = failureOf(error);
    if (code !== "NOT_CONNECTED") throw error;
    const problems = Array.isArray(data["problems"]) ? (data["problems"] as readonly (string | undefined)[]) : [];
    return cluster.replicas.map(({ id, addresses }) => ({
      replica: id,
      status: undefined,
      problem: problems[id] ?? `not reached at ${addresses.join(", ")}`,
    }));
  }
}

function verdict(reports: readonly ReplicaReport[], needed: number): { readonly healthy: boolean; readonly text: string } {
  const up = reports.filter((report) => report.status !== undefined);
  const roots = new Map<number, Set<string>>();
  for (const { status } of up) if (status !== undefined) roots.set(status.seq, (roots.get(status.seq) ?? new Set()).add(status.stateRoot));
  const split = [...roots].find(([, values]) => values.size > 1);
  if (split !== undefined)
    return {
      healthy: false,
      text: `replicas differ in the state after block ${split[0]}: one of them is faulty; run: narses-ledger verify chain --from-replica N`,
    };
  if (up.length < needed)
    return { healthy: false, text: `${up.length} of ${reports.length} replicas answer, ${needed} are needed to order payments` };
  if (up.length < reports.length)
    return {
      healthy: true,
      text: `${up.length} of ${reports.length} replicas answer: payments go on, but the cluster has less in reserve`,
    };
  return {
    healthy: true,
    text: roots.size === 1 ? "all replicas answer and have the same state root" : "all replicas answer; some are a few blocks behind",
  };
}

function row(report: ReplicaReport, head: number, output: Output): readonly string[] {
  const { status } = report;
  if (status === undefined)
    return [String(report.replica), output.style("red", "no answer"), "", "", "", "", "", "", report.problem ?? "does not answer"];
  const lag = head - status.seq;
  const { transfer } = status;
  const voting = status.active ? "up" : "view change";
  const running = status.silence?.cause === "amnesia" ? "does not vote" : voting;
  const fetching = transfer?.reason === "diverged" ? "repairing" : "fetching state";
  const halted = transfer === undefined ? "halted" : fetching;
  const state = status.halted === undefined ? running : halted;
  return [
    String(report.replica),
    state,
    String(status.view),
    String(status.primary),
    String(status.seq),
    String(status.stableSeq),
    lag === 0 ? "–" : String(lag),
    shortHash(status.stateRoot),
    remark(status),
  ];
}

/** Why it does nothing, how far its state transfer is, or what the last one repaired. */
function remark({ halted, silence, transfer, lastTransfer }: ReplicaState): string {
  if (transfer !== undefined) return `state of block ${transfer.seq}: ${transfer.pagesHere} of ${transfer.pagesTotal} pages (${transfer.phase})`;
  if (halted !== undefined) return halted;
  if (silence?.cause === "amnesia") return silence.reason;
  if (lastTransfer?.reason !== "diverged") return "";
  const { seq, difference } = lastTransfer;
  const key = difference?.key ?? undefined;
  return `repaired at block ${seq}${key === undefined ? "" : `: its state differed, first in key ${JSON.stringify(key)}`}`;
}

async function status(shell: Shell, _args: readonly (string | undefined)[], flags: ClientFlags): Promise<Exit> {
  const cluster = await loadCluster(clusterPath(flags));
  const { n, f, strong } = quorums(cluster.replicas.length, cluster.f);
  const reports = await reportsOf(flags, cluster);
  const head = Math.max(0, ...reports.map((report) => report.status?.seq ?? 0));
  const { healthy, text } = verdict(reports, strong);
  const columns = [
    { title: "replica" },
    { title: "state" },
    { title: "view", right: true },
    { title: "primary", right: true },
    { title: "executed", right: true },
    { title: "stable", right: true },
    { title: "lag", right: true },
    { title: "state root" },
    { title: "" },
  ];
  const human = `cluster ${cluster.name}: n = ${n}, tolerates f = ${f}\n\n${table(
    columns,
    reports.map((report) => row(report, head, shell.output)),
  )}\n\n${text}`;
  shell.output.result(
    {
      cluster: cluster.name,
      n,
      f,
      healthy,
      summary: text,
      replicas: reports.map(({ replica, status: state, problem }) => ({
        replica,
        reachable: state !== undefined,
        ...state,
        ...(problem === undefined ? {} : { problem }),
      })),
    },
    human,
  );
  return healthy ? EXIT.ok : EXIT.unreachable;
}

export function registerStatus(program: Command, runner: Runner): void {
  const command = addClusterOptions(program.command("status").description("state, view, progress and state root of every replica"), {
    signs: true,
  });
  runner.run(examples(command, ["narses-ledger status", "narses-ledger status --dir ./bank --json"]), status);
}
