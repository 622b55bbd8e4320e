/** `transfer`, `issue`, `redeem`: moving money, once per idempotency key, with a receipt to keep. */
import { randomBytes } from "node:crypto";
import type { Command } from "commander";
import { NarsesError, type Receipt } from "@narses/core";
import type { Certified } from "../../client/ledger-client.ts";
import { describeOperation, type Issue, type Redeem, type Transfer } from "../../state-machine/operations.ts";
import type { Posted } from "../../state-machine/transfers.ts";
import { withConnection, type Connection } from "../connection.ts";
import { addClusterOptions, clusterPath, examples, type ClientFlags } from "../options.ts";
import { requireNewFile, saveReceipt } from "../../receipts/receipt-file.ts";
import { argument, type Runner, type Shell } from "../shell.ts";
import { checkAmount } from "../values.ts";

interface PayFlags extends ClientFlags {
  readonly reference?: string;
  readonly idempotencyKey?: string;
  readonly receipt?: string;
}

type Payment = Transfer | Issue | Redeem;

/** The outcome of a payment that timed out is unknown, but its key makes a second try safe: say so. */
function explainTimeout(error: unknown, idempotencyKey: string): unknown {
  if (!(error instanceof NarsesError) || (error.code !== "TIMEOUT" && error.code !== "NOT_CONNECTED")) return error;
  const text = `${error.message}; it may or may not be applied: run the same command with --idempotency-key ${idempotencyKey} to find out, it cannot pay twice`;
  return new NarsesError(error.code, text, { ...error.data, idempotencyKey }, { cause: error });
}

async function submit(connection: Connection, op: Payment): Promise<Certified<Posted>> {
  switch (op.type) {
    case "transfer":
      return connection.ledger.submit(op);
    case "issue":
      return connection.ledger.submit(op);
    case "redeem":
      return connection.ledger.submit(op);
  }
}

function keepReceipt(receipt: Receipt, file: string, connection: Connection, flags: PayFlags): string {
  saveReceipt(file, receipt, connection.cluster);
  return `receipt    ${file}\nverify     narses-ledger verify receipt ${file} --cluster ${clusterPath(flags)}`;
}

async function pay(shell: Shell, op: Payment, flags: PayFlags): Promise<undefined> {
  checkAmount(op.amount, "amount");
  if (flags.receipt !== undefined) requireNewFile(flags.receipt);
  await withConnection(flags, { signal: shell.signal }, async (connection) => {
    try {
      const { result, seq, block, receipt } = await submit(connection, op);
      const kept = flags.receipt === undefined ? "" : `\n${keepReceipt(receipt, flags.receipt, connection, flags)}`;
      const status = result.replayed
        ? `already applied in block ${result.seq}: this key was used for the same payment, nothing moved`
        : `applied in block ${result.seq}`;
      const text = `${describeOperation(op)}: ${status}\nbalance    ${result.balance} ${op.asset} (${op.type === "issue" ? op.to : op.from})\nkey        ${op.idempotencyKey}`;
      shell.output.result(
        {
          ...result,
          idempotencyKey: op.idempotencyKey,
          block: seq,
          blockHash: block,
          ...(flags.receipt === undefined ? {} : { receipt: flags.receipt }),
        },
        text + kept,
      );
    } catch (error) {
      throw explainTimeout(error, op.idempotencyKey);
    }
  });
  return undefined;
}

const keyOf = (flags: PayFlags): string => flags.idempotencyKey ?? `cli.${randomBytes(12).toString("hex")}`;

function addPayOptions(command: Command): Command {
  return addClusterOptions(
    command
      .option("--reference <TEXT>", "text for the payee, at most 140 characters")
      .option("--idempotency-key <KEY>", "the same key and payment again pays nothing twice (default: a random key)")
      .option("--receipt <FILE>", "save the receipt; it verifies offline with `verify receipt`"),
    { signs: true },
  );
}

export function registerTransfer(program: Command, runner: Runner): void {
  const transfer = addPayOptions(
    program.command("transfer <FROM> <TO> <AMOUNT> <ASSET>").description("pay from an account of the signing key to any account"),
  );
  runner.run<PayFlags>(
    examples(transfer, [
      "narses-ledger transfer alice bob 12.50 EUR",
      "narses-ledger transfer alice bob 12.50 EUR --reference 'Invoice 7' --idempotency-key inv-7 --receipt inv-7.receipt",
    ]),
    (shell, args, flags) =>
      pay(
        shell,
        {
          type: "transfer",
          from: argument(args, 0),
          to: argument(args, 1),
          amount: argument(args, 2),
          asset: argument(args, 3),
          reference: flags.reference,
          idempotencyKey: keyOf(flags),
        },
        flags,
      ),
  );
  const issue = addPayOptions(
    program.command("issue <TO> <AMOUNT> <ASSET>").description("create money on an account (the issuer of the asset)"),
  );
  runner.run<PayFlags>(examples(issue, ["narses-ledger issue alice 500.00 EUR"]), (shell, args, flags) =>
    pay(
      shell,
      {
        type: "issue",
        to: argument(args, 0),
        amount: argument(args, 1),
        asset: argument(args, 2),
        reference: flags.reference,
        idempotencyKey: keyOf(flags),
      },
      flags,
    ),
  );
  const redeem = addPayOptions(
    program.command("redeem <FROM> <AMOUNT> <ASSET>").description("destroy money on an account of the issuer (the issuer of the asset)"),
  );
  runner.run<PayFlags>(examples(redeem, ["narses-ledger redeem treasury 500.00 EUR"]), (shell, args, flags) =>
    pay(
      shell,
      {
        type: "redeem",
        from: argument(args, 0),
        amount: argument(args, 1),
        asset: argument(args, 2),
        reference: flags.reference,
        idempotencyKey: keyOf(flags),
      },
      flags,
    ),
  );
}
