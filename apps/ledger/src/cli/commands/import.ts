/** `import`: a file of payments, checked completely, then applied once each. */
import { readFileSync, statSync } from "node:fs";
import { basename } from "node:path";
import { Option, type Command } from "commander";
import { formatForPeople } from "../../amount.ts";
import { FORMATS, type PaymentFormat } from "../../csv/formats.ts";
import { CSV_BYTES_MAX } from "../../csv/parse.ts";
import { formatProblem, PROBLEMS_SHOWN_MAX, readPaymentFile, type PaymentFile } from "../../csv/payment-file.ts";
import { runImport, type ImportProgress, type ImportReport } from "../../import/importer.ts";
import { BATCH_ID_PATTERN, batchIdOf, planImport, type ImportPlan } from "../../import/plan.ts";
import { receiptCollector } from "../../receipts/collector.ts";
import { requireNewFile } from "../../receipts/receipt-file.ts";
import { withConnection, type Connection } from "../connection.ts";
import { CommandError, EXIT, usage, type Exit } from "../failure.ts";
import { sumLine, summaryText } from "../import-summary.ts";
import { addClusterOptions, examples, type ClientFlags } from "../options.ts";
import type { Output } from "../output.ts";
import { argument, type Runner, type Shell } from "../shell.ts";
import { bar, count, plural } from "../table.ts";
import { checkAmount } from "../values.ts";

interface ImportFlags extends ClientFlags {
  readonly asset: string;
  readonly openingBalance: string;
  readonly format?: PaymentFormat["name"];
  readonly batchId?: string;
  readonly dryRun?: boolean;
  readonly receipts?: string;
}

function readFile(file: string): Uint8Array {
  const { size } = statSync(file);
  if (size > CSV_BYTES_MAX)
    throw new CommandError("FILE_TOO_LARGE", EXIT.input, `${file} has ${size} bytes, more than the limit of ${CSV_BYTES_MAX}; split it`, {
      file,
    });
  return readFileSync(file);
}

function requireNoProblems(file: string, { problems }: PaymentFile): void {
  if (problems.length === 0) return;
  const shown = problems.slice(0, PROBLEMS_SHOWN_MAX).map((problem) => `  ${formatProblem(file, problem)}`);
  const more = problems.length > shown.length ? `\n  … and ${plural(problems.length - shown.length, "more problem")}` : "";
  throw new CommandError(
    "FILE_INVALID",
    EXIT.input,
    `${plural(problems.length, "problem")} in ${file}; nothing was applied:\n${shown.join("\n")}${more}`,
    {
      file,
      problems: problems.slice(0, PROBLEMS_SHOWN_MAX),
      count: problems.length,
      applied: 0,
    },
  );
}

/** What would fail for every account is said once, before anything is sent. */
async function requireRights(connection: Connection, plan: ImportPlan): Promise<void> {
  const { ledger, publicKey } = connection;
  const { result: membership } = await ledger.ask({ type: "member", publicKey });
  if ((membership.member?.roles.length ?? 0) === 0) {
    throw new CommandError(
      "NOT_A_MEMBER",
      EXIT.refused,
      `key ${publicKey.slice(0, 16)}… is not a member of this ledger; use another --key, or let an admin add it with: narses-ledger member set ${publicKey} --role member`,
      { field: "key" },
    );
  }
  const needed = new Set(plan.accounts.flatMap((account) => account.opening?.map((opening) => opening.asset) ?? []));
  const { result: assets } = await ledger.ask({ type: "assets" });
  const foreign = assets.assets.find((asset) => needed.has(asset.code) && asset.issuer !== publicKey);
  if (foreign !== undefined) {
    throw new CommandError(
      "NOT_ALLOWED",
      EXIT.refused,
      `opening balances in ${foreign.code} need the key of its issuer ${foreign.issuer.slice(0, 16)}…; use that --key, or --opening-balance 0 to open accounts empty`,
      { field: "key", asset: foreign.code },
    );
  }
}

function showProgress(output: Output): (progress: ImportProgress) => void {
  let milestone = 0;
  return ({ phase, done, total, elapsedMs }) => {
    const tenth = Math.floor((10 * done) / total);
    const rate = elapsedMs === 0 ? 0 : Math.round((done * 1_000) / elapsedMs);
    const reached = done === total || tenth > milestone;
    milestone = done === total ? 0 : Math.max(milestone, tenth);
    if (reached || done % 50 === 0)
      output.progress(`${phase.padEnd(8)} ${bar(done, total)} ${count(done)} of ${count(total)}, ${count(rate)}/s`, reached);
  };
}

async function execute(
  shell: Shell,
  connection: Connection,
  work: { readonly file: string; readonly plan: ImportPlan; readonly flags: ImportFlags },
): Promise<Exit> {
  const { ledger, cluster } = connection;
  const { file, plan, flags } = work;
  const assets = [...plan.totals.keys()];
  const before = await Promise.all(assets.map((asset) => ledger.sum(asset)));
  const receipts = receiptCollector(flags.receipts, cluster);
  let report: ImportReport;
  try {
    report = await runImport(ledger, plan, {
      signal: shell.signal,
      timeoutMs: Math.max(flags.timeout, 120) * 1_000,
      onProgress: showProgress(shell.output),
      onPayment: (payment, { receipt }) => receipts.add(payment.id, receipt),
    });
  } finally {
    receipts.close();
  }
  const sums = await Promise.all(
    assets.map(async (asset, i) => sumLine(ledger, asset, { before: before[i]?.minor ?? 0n, moved: plan.totals.get(asset) ?? 0n })),
  );
  const { refused, ...numbers } = report;
  const value = {
    file,
    batchId: plan.batchId,
    payments: plan.payments.length,
    ...numbers,
    refused: refused.length,
    refusals: refused
      .slice(0, PROBLEMS_SHOWN_MAX)
      .map(({ payment, code, message }) => ({ line: payment.line, id: payment.id, code, message })),
    sums,
  };
  shell.output.result(value, summaryText({ file, plan, report, sums }, shell.output));
  if (sums.some((sum) => !sum.unchanged)) return EXIT.unverified;
  return refused.length > 0 ? EXIT.refused : EXIT.ok;
}

async function importFile(shell: Shell, args: readonly (string | undefined)[], flags: ImportFlags): Promise<Exit> {
  const file = argument(args, 0);
  checkAmount(flags.openingBalance, "--opening-balance", { zeroAllowed: true });
  if (flags.batchId !== undefined && !BATCH_ID_PATTERN.test(flags.batchId))
    throw usage("--batch-id must be 1 to 48 of A-Z a-z 0-9 . _ -", "batch-id");
  if (flags.receipts !== undefined) requireNewFile(flags.receipts);
  const bytes = readFile(file);
  return withConnection(flags, { signal: shell.signal }, async (connection) => {
    const { result } = await connection.ledger.ask({ type: "assets" });
    const decimals = new Map(result.assets.map((asset) => [asset.code, asset.decimals]));
    const parsed = readPaymentFile(bytes, {
      asset: flags.asset,
      decimals,
      ...(flags.format === undefined ? {} : { format: flags.format }),
    });
    requireNoProblems(file, parsed);
    const opening = /^0*(\.0*)?$/.test(flags.openingBalance) ? undefined : flags.openingBalance;
    const plan = planImport(parsed, { opening, batchId: flags.batchId ?? batchIdOf(bytes) });
    if (flags.dryRun === true) {
      const total = [...plan.totals].map(([asset, minor]) => `${formatForPeople(minor, decimals.get(asset) ?? 0)} ${asset}`).join(", ");
      const what = `${plural(plan.payments.length, "payment")} between ${plural(plan.accounts.length, "account")}, ${total}`;
      const text = `${basename(file)}: ${what}; every line is good, nothing was applied (--dry-run)`;
      shell.output.result(
        {
          file,
          format: parsed.format,
          batchId: plan.batchId,
          payments: plan.payments.length,
          accounts: plan.accounts.length,
          applied: 0,
          problems: [],
        },
        text,
      );
      return EXIT.ok;
    }
    await requireRights(connection, plan);
    try {
      return await execute(shell, connection, { file, plan, flags });
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      shell.output.note(
        "the import was interrupted: some payments may be applied; run the same command again, it applies the rest and nothing twice",
      );
      throw error;
    }
  });
}

export function registerImport(program: Command, runner: Runner): void {
  const command = program
    .command("import <FILE>")
    .description(
      "import payments from a CSV file: the whole file is checked first, every payment is applied once, however often it is imported",
    )
    .option("--asset <CODE>", "asset of files that name none (format orders)", "CZK")
    .option("--opening-balance <AMOUNT>", "balance of paying accounts that are opened on the fly; 0 for none", "10000.00")
    .addOption(new Option("--format <FORMAT>", "kind of file (default: told from its header)").choices(Object.keys(FORMATS)))
    .option("--batch-id <ID>", "name of the batch in idempotency keys (default: from the file's content)")
    .option("--dry-run", "check the file and stop")
    .option("--receipts <FILE>", "save the receipts, one line per bundle");
  addClusterOptions(command, { signs: true });
  runner.run(
    examples(command, [
      "narses-ledger import orders.csv --asset CZK --opening-balance 10000.00",
      "narses-ledger import payment-day.csv --opening-balance 60000.00 --receipts day.receipts",
      "narses-ledger import orders.csv --dry-run",
    ]),
    importFile,
  );
  command.addHelpText(
    "after",
    `\nFormats:\n${Object.values(FORMATS)
      .map((format) => `  ${format.name.padEnd(9)} ${format.columns.join(",")}`)
      .join(
        "\n",
      )}\n  orders: from HOME:<account_from> to <bank_to>:<account_to>; payments: from <debtor_bank>:<debtor_account> to <creditor_bank>:<creditor_account>`,
  );
}
