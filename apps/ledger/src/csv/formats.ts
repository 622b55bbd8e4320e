/**
 * The two kinds of payment files the ledger imports, and how their columns map to transfers.
 *
 * orders    standing orders of one bank
 *           order_id,account_from,bank_to,account_to,amount,purpose
 *           from HOME:<account_from>, to <bank_to>:<account_to>, asset from --asset, reference "order <order_id> <purpose>"
 * payments  a day of interbank payments
 *           payment_id,time,debtor_bank,debtor_account,creditor_bank,creditor_account,amount,currency,reference
 *           from <debtor_bank>:<debtor_account>, to <creditor_bank>:<creditor_account>, asset from currency
 */
import { parseAmount } from "../amount.ts";
import { ACCOUNT_ID_PATTERN, ASSET_CODE_PATTERN } from "../state-machine/operations.ts";

/** One line of a file as a transfer to be made. */
export interface Payment {
  readonly line: number;
  /** The file's own id of the payment: unique in the file, becomes part of the idempotency key. */
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly asset: string;
  readonly amount: string;
  readonly minor: bigint;
  readonly reference: string;
}

export interface FormatOptions {
  /** Asset of files that name none. */
  readonly asset: string;
  /** Decimals of the assets of the ledger, by code. */
  readonly decimals: ReadonlyMap<string, number>;
}

/** What a row says, or the first field that is wrong and why. */
export type ReadRow = { readonly payment: Payment } | { readonly field: string; readonly reason: string };

export interface PaymentFormat {
  readonly name: "orders" | "payments";
  readonly columns: readonly string[];
  read(cell: (column: string) => string, line: number, options: FormatOptions): ReadRow;
}

/** Account ids of the ordering bank in an orders file start so. */
export const HOME_BANK = "HOME";

const ID_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const idReason = (value: string): string =>
  value === "" ? "is empty" : `is ${JSON.stringify(value.slice(0, 40))}; it may have 1 to 64 of A-Z a-z 0-9 . _ -`;

interface Fields {
  readonly id: readonly [column: string, value: string];
  /** Account ids with the columns they come from. */
  readonly from: readonly [column: string, bank: string, account: string];
  readonly to: readonly [column: string, bank: string, account: string];
  readonly asset: readonly [column: string, value: string];
  readonly amount: readonly [column: string, value: string];
  readonly reference: readonly [column: string, value: string];
}

function check(fields: Fields, line: number, options: FormatOptions): ReadRow {
  const wrong = ([field]: readonly string[], reason: string): ReadRow => ({ field: field ?? "", reason });
  const id = fields.id[1];
  if (!ID_PATTERN.test(id)) return wrong(fields.id, idReason(id));
  for (const party of [fields.from, fields.to]) {
    if (!ID_PATTERN.test(party[2])) return wrong(party, idReason(party[2]));
    if (!ACCOUNT_ID_PATTERN.test(`${party[1]}:${party[2]}`))
      return wrong(party, `with its bank ${JSON.stringify(party[1].slice(0, 40))} makes no valid account id of at most 64 characters`);
  }
  const from = `${fields.from[1]}:${fields.from[2]}`;
  const to = `${fields.to[1]}:${fields.to[2]}`;
  if (from === to) return wrong(fields.to, `is ${to}, the account that pays; a payment needs two different accounts`);
  const asset = fields.asset[1];
  if (!ASSET_CODE_PATTERN.test(asset))
    return wrong(fields.asset, `is ${JSON.stringify(asset.slice(0, 20))}, not an asset code such as EUR`);
  const decimals = options.decimals.get(asset);
  if (decimals === undefined) {
    const known = [...options.decimals.keys()].join(", ") || "none";
    return wrong(
      fields.asset,
      `is ${asset}, which this ledger does not have (it has ${known}); create it with: narses-ledger asset create ${asset} --decimals 2`,
    );
  }
  const amount = parseAmount(fields.amount[1], decimals);
  if (!amount.ok) return wrong(fields.amount, `${JSON.stringify(fields.amount[1].slice(0, 48))} ${amount.problem}`);
  const reference = fields.reference[1];
  if (reference.length > 140 || /\p{Cc}/u.test(reference))
    return wrong(fields.reference, "has more than 140 characters, or a control character");
  return { payment: { line, id, from, to, asset, amount: fields.amount[1], minor: amount.minor, reference } };
}

const orders: PaymentFormat = {
  name: "orders",
  columns: ["order_id", "account_from", "bank_to", "account_to", "amount", "purpose"],
  read: (cell, line, options) =>
    check(
      {
        id: ["order_id", cell("order_id")],
        from: ["account_from", HOME_BANK, cell("account_from")],
        to: ["account_to", cell("bank_to"), cell("account_to")],
        asset: ["amount", options.asset],
        amount: ["amount", cell("amount")],
        reference: ["purpose", `order ${cell("order_id")} ${cell("purpose")}`.trim()],
      },
      line,
      options,
    ),
};

const payments: PaymentFormat = {
  name: "payments",
  columns: ["payment_id", "time", "debtor_bank", "debtor_account", "creditor_bank", "creditor_account", "amount", "currency", "reference"],
  read: (cell, line, options) => {
    const time = cell("time");
    if (!/^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?$/.test(time))
      return { field: "time", reason: `is ${JSON.stringify(time.slice(0, 20))}; write hh:mm or hh:mm:ss` };
    return check(
      {
        id: ["payment_id", cell("payment_id")],
        from: ["debtor_account", cell("debtor_bank"), cell("debtor_account")],
        to: ["creditor_account", cell("creditor_bank"), cell("creditor_account")],
        asset: ["currency", cell("currency")],
        amount: ["amount", cell("amount")],
        reference: ["reference", cell("reference")],
      },
      line,
      options,
    );
  },
};

export const FORMATS: Readonly<Record<PaymentFormat["name"], PaymentFormat>> = { orders, payments };
