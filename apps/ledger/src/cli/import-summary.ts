/** What an import says when it is done. */
import { formatForPeople, formatMinor, parseAmount } from "../amount.ts";
import type { LedgerClient } from "../client/ledger-client.ts";
import { PROBLEMS_SHOWN_MAX } from "../csv/payment-file.ts";
import type { ImportReport } from "../import/importer.ts";
import type { ImportPlan } from "../import/plan.ts";
import type { Output } from "./output.ts";
import { count, fields, plural, seconds } from "./table.ts";

/** The sum of all balances of an asset, issuance account included, before and after. All amounts as decimal text. */
export interface SumLine {
  readonly asset: string;
  readonly before: string;
  readonly after: string;
  readonly unchanged: boolean;
  /** Total of the file's payments. */
  readonly moved: string;
  readonly supply: string;
}

export interface ImportSummary {
  readonly file: string;
  readonly plan: ImportPlan;
  readonly report: ImportReport;
  readonly sums: readonly SumLine[];
}

export function summaryText({ file, plan, report, sums }: ImportSummary, output: Output): string {
  const rate = report.paymentsMs === 0 ? 0 : Math.round((plan.payments.length * 1_000) / report.paymentsMs);
  const rows: (readonly [string, string])[] = [
    ["file", `${file}, ${plural(plan.payments.length, "payment")}, batch ${plan.batchId}`],
    [
      "accounts",
      `${count(report.accountsCreated)} created, ${count(report.accountsPresent)} already there (${seconds(report.accountsMs)})`,
    ],
    ["applied", output.style("bold", count(report.applied))],
    ["replayed", `${count(report.replayed)}${report.replayed > 0 ? " (applied by an earlier import: nothing moved)" : ""}`],
    ["refused", report.refused.length === 0 ? "0" : output.style("red", count(report.refused.length))],
    ["rate", `${count(rate)} payments/s (${seconds(report.paymentsMs)})`],
  ];
  if (report.waited > 0) rows.push(["waited", `${plural(report.waited, "payment")} waited for cover and got it`]);
  if (report.firstBlock !== undefined) rows.push(["blocks", `${report.firstBlock} to ${String(report.lastBlock)}`]);
  for (const sum of sums) {
    rows.push(["file total", `${sum.moved} ${sum.asset}`]);
    rows.push([
      "sum",
      sum.unchanged
        ? `all balances in ${sum.asset} add up to ${sum.after}, as before; ${sum.supply} in circulation`
        : output.style("red", `all balances in ${sum.asset} added up to ${sum.before}, now ${sum.after}`),
    ]);
  }
  const refused = report.refused
    .slice(0, PROBLEMS_SHOWN_MAX)
    .map(({ payment, code, message }) => `  ${file}:${payment.line}: payment ${payment.id}: ${message} [${code}]`);
  const more = report.refused.length > refused.length ? [`  … and ${count(report.refused.length - refused.length)} more`] : [];
  return [fields(rows), ...(refused.length > 0 ? ["", "refused:", ...refused, ...more] : [])].join("\n");
}

/** Adds up again, after the import. */
export async function sumLine(
  ledger: LedgerClient,
  asset: string,
  known: { readonly before: bigint; readonly moved: bigint },
): Promise<SumLine> {
  const { minor, decimals } = await ledger.sum(asset);
  const { result } = await ledger.ask({ type: "assets" });
  const supply = parseAmount(result.assets.find(({ code }) => code === asset)?.supply ?? "0", decimals, { zeroAllowed: true });
  return {
    asset,
    before: formatMinor(known.before, decimals),
    after: formatMinor(minor, decimals),
    unchanged: minor === known.before,
    moved: formatForPeople(known.moved, decimals),
    supply: formatForPeople(supply.ok ? supply.minor : 0n, decimals),
  };
}
