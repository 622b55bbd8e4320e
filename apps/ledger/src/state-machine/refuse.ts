/** Every reason for which the ledger refuses an operation or a question. The codes are API: they appear in receipts. */
import { AppRejection } from "@narses/core";

export const LEDGER_CODES = {
  OPERATION_INVALID: "the operation or question has a missing, unknown or malformed field",
  AMOUNT_INVALID: "the amount is zero, negative, not a decimal, too large, or finer than the asset",
  NOT_A_MEMBER: "the signing key is not a member of this ledger",
  NOT_ALLOWED: "the signing key lacks the role, or does not own the account",
  ACCOUNT_UNKNOWN: "no such account",
  ACCOUNT_EXISTS: "an account with this id exists with other properties",
  ACCOUNT_RESERVED: "the issuance account of an asset takes part in issue and redeem only",
  ASSET_UNKNOWN: "no such asset",
  ASSET_EXISTS: "an asset with this code exists with other properties",
  SAME_ACCOUNT: "a transfer needs two different accounts",
  OVERDRAFT: "the balance and the overdraft limit do not cover the amount",
  BALANCE_LIMIT: "a balance or the supply would leave the range of the ledger",
  IDEMPOTENCY_CONFLICT: "the idempotency key was used with another payload",
  LAST_ADMIN: "the ledger must keep at least one admin",
  LIMIT_REACHED: "a table of the ledger is full",
} as const;

export type LedgerCode = keyof typeof LEDGER_CODES;

export function refuse(code: LedgerCode, message: string, data: Readonly<Record<string, unknown>> = {}): never {
  throw new AppRejection(code, message, data);
}
