/** The end of the demo: the summary, and each claim with whether it held. */
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { formatForPeople } from "../amount.ts";
import type { Output } from "../cli/output.ts";
import { count, fields, seconds } from "../cli/table.ts";
import type { ImportPlan } from "../import/plan.ts";
import type { Findings } from "./findings.ts";

interface Check {
  readonly what: string;
  readonly held: boolean;
  readonly detail: string;
}

const lastLine = (text: string): string => text.trim().split("\n").at(-1) ?? "";

function judge({ played, payments, reports, again, sum, transfers, receipt, chain }: Findings): readonly Check[] {
  const { report, failover } = played;
  const states = reports.reports.map(({ status }) => status);
  const roots = new Set(states.map((status) => `${String(status?.seq)} ${String(status?.stateRoot)}`));
  const root = states[0]?.stateRoot ?? "";
  return [
    {
      what: "every payment applied",
      held: report.applied + report.replayed === payments && report.refused.length === 0,
      detail: `${count(report.applied + report.replayed)} of ${count(payments)}`,
    },
    { what: "none applied twice", held: transfers === payments, detail: `the ledger counts ${count(transfers)} payments` },
    {
      what: "the same file again applies nothing",
      held: again.applied === 0 && again.replayed === payments,
      detail: `${count(again.replayed)} replays at ${count(again.rate)}/s`,
    },
    { what: "money conserved", held: sum === 0n, detail: "all balances, issuance included, add up to 0.00 EUR" },
    {
      what: "another primary took over",
      held: failover !== undefined && failover.viewAfter > failover.viewBefore,
      detail: `view ${String(failover?.viewBefore)} to ${String(failover?.viewAfter)}`,
    },
    {
      what: "the killed replica caught up",
      held: states.every((status) => status !== undefined && status.seq === states[0]?.seq),
      detail: `all at block ${String(states[0]?.seq)}, ${reports.tookMs < 500 ? "before the day was over" : `${seconds(reports.tookMs)} after the last payment`}`,
    },
    {
      what: "equal state roots on all replicas",
      held: roots.size === 1 && states.every((status) => status !== undefined),
      detail: `${root.slice(0, 32)}…`,
    },
    {
      what: "the receipt verifies offline",
      held: receipt.status === 0,
      detail: receipt.status === 0 ? "vouched for by f+1 = 2 replicas" : lastLine(receipt.stderr),
    },
    {
      what: "the restarted replica's chain verifies",
      held: chain.status === 0,
      detail: chain.status === 0 ? "every block checked and executed again from genesis" : lastLine(chain.stderr),
    },
  ];
}

/** How a reader in this directory starts the command line. */
function launcher(): string {
  const path = fileURLToPath(new URL("../../bin/narses-ledger.js", import.meta.url));
  const short = relative(process.cwd(), path);
  return `node ${short.startsWith("..") ? path : short}`;
}

/** The text, and whether everything held. `pace`: payments per second they were submitted at; undefined: at once. */
export function summarize(
  findings: Findings,
  { plan, pace, output }: { readonly plan: ImportPlan; readonly pace: number | undefined; readonly output: Output },
): { readonly text: string; readonly held: boolean } {
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
      [
        "  payments",
        `${count(report.applied + report.replayed)} ordered and applied, ${total}, in blocks ${String(report.firstBlock)} to ${String(report.lastBlock)}`,
      ],
      [
        "  rate",
        `${count(rate)} payments/s over ${seconds(report.paymentsMs)}, the failure included` +
          (pace === undefined ? "" : ` (submitted at ${pace}/s to watch; --full-speed submits at once)`),
      ],
      [
        "  views",
        `${String(failover?.viewBefore)} to ${String(failover?.viewAfter)}: replica ${String(failover?.killed)} was killed after ${count(failover?.confirmedAtKill ?? 0)} payments`,
      ],
      ["  gap", `${seconds(played.longestGapMs)} without a confirmed payment at the failover, the longest silence`],
      ["  receipt", `payment ${played.receiptPayment}: ${played.receiptFile}`],
      ["  verify it", verify],
    ]),
    "",
    ...checks.map(
      (check) =>
        `  ${check.held ? output.style("green", "held  ") : output.style("red", "FAILED")}  ${check.what.padEnd(width)}  ${output.style("dim", check.detail)}`,
    ),
    "",
    held ? output.style("green", "Everything held.") : output.style("red", "Something did not hold: see above."),
  ];
  return { text: `${lines.join("\n")}\n`, held };
}
