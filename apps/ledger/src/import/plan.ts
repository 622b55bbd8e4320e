/** From a payment file to what will be submitted. Pure: nothing is sent here. */
import { createHash } from "node:crypto";
import type { PaymentFile } from "../csv/payment-file.ts";
import type { Payment } from "../csv/formats.ts";
import type { CreateAccount, Transfer } from "../state-machine/operations.ts";

export interface ImportPlan {
  /** Names the file's payments in idempotency keys: the same id never pays twice. */
  readonly batchId: string;
  readonly accounts: readonly (CreateAccount & { readonly type: "account.create" })[];
  readonly payments: readonly Payment[];
  /** Minor units per asset. */
  readonly totals: ReadonlyMap<string, bigint>;
}

export interface PlanOptions {
  /** Given to each paying account that is created, in the asset of its first payment; undefined: none. */
  readonly opening: string | undefined;
  readonly batchId: string;
}

export const BATCH_ID_PATTERN: RegExp = /^[A-Za-z0-9._-]{1,48}$/;

/** The default batch id: the same bytes are the same batch, under any name. */
export const batchIdOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex").slice(0, 24);

export const idempotencyKeyOf = (batchId: string, payment: Pick<Payment, "id">): string => `import:${batchId}:${payment.id}`;

export const transferOf = (batchId: string, payment: Payment): Transfer => ({
  type: "transfer",
  from: payment.from,
  to: payment.to,
  asset: payment.asset,
  amount: payment.amount,
  ...(payment.reference === "" ? {} : { reference: payment.reference }),
  idempotencyKey: idempotencyKeyOf(batchId, payment),
});

/** Accounts in order of first appearance; payers get the opening balance. */
export function planImport(file: PaymentFile, { opening, batchId }: PlanOptions): ImportPlan {
  const assetOfPayer = new Map<string, string>();
  for (const { from, asset } of file.payments) if (!assetOfPayer.has(from)) assetOfPayer.set(from, asset);
  const ids = new Set(file.payments.flatMap(({ from, to }) => [from, to]));
  const accounts = [...ids].map((id) => {
    const asset = assetOfPayer.get(id);
    return {
      type: "account.create" as const,
      id,
      ...(asset === undefined || opening === undefined ? {} : { opening: [{ asset, amount: opening }] }),
    };
  });
  const totals = new Map<string, bigint>();
  for (const { asset, minor } of file.payments) totals.set(asset, (totals.get(asset) ?? 0n) + minor);
  return { batchId, accounts, payments: file.payments, totals };
}
