/**
 * What a client may ask of the ledger, with strict schemas: an unknown or misspelt field is an error. Every message is
 * written here (none comes from the schema library), since a refusal is part of the replicated result.
 */
import * as z from "zod";
import { DECIMALS_MAX } from "../amount.ts";
import { IDEMPOTENCY_KEY_LENGTH_MAX, LIST_MAX, NAME_LENGTH_MAX, OPENING_MAX, REFERENCE_LENGTH_MAX, SUM_MAX } from "./limits.ts";
import { refuse } from "./refuse.ts";

export const ROLES = ["admin", "member"] as const;
/** admin: members, assets, overdraft limits, accounts of others. member: own accounts. The issuer role belongs to an asset. */
export type Role = (typeof ROLES)[number];

export const ACCOUNT_ID_PATTERN: RegExp = /^[A-Za-z0-9][A-Za-z0-9._:@-]{0,63}$/;
export const ASSET_CODE_PATTERN: RegExp = /^[A-Z][A-Z0-9]{1,11}$/;

export interface Opening {
  readonly asset: string;
  readonly amount: string;
}
export interface Transfer {
  readonly type: "transfer";
  readonly from: string;
  readonly to: string;
  readonly asset: string;
  readonly amount: string;
  readonly reference?: string | undefined;
  readonly idempotencyKey: string;
}
/** The asset's issuer creates money on an account. */
export interface Issue {
  readonly type: "issue";
  readonly to: string;
  readonly asset: string;
  readonly amount: string;
  readonly reference?: string | undefined;
  readonly idempotencyKey: string;
}
/** The asset's issuer destroys money it holds on one of its own accounts. */
export interface Redeem {
  readonly type: "redeem";
  readonly from: string;
  readonly asset: string;
  readonly amount: string;
  readonly reference?: string | undefined;
  readonly idempotencyKey: string;
}
export interface CreateAccount {
  readonly type: "account.create";
  readonly id: string;
  /** Public key, 64 hex digits; absent: the submitting key. */
  readonly owner?: string | undefined;
  readonly name?: string | undefined;
  /** Issued in the same step; needs the issuer of each asset. */
  readonly opening?: readonly Opening[] | undefined;
}
export interface SetOverdraft {
  readonly type: "account.overdraft";
  readonly id: string;
  readonly asset: string;
  /** How far below zero the balance may go; "0" forbids it. */
  readonly limit: string;
}
export interface CreateAsset {
  readonly type: "asset.create";
  readonly code: string;
  readonly decimals: number;
  /** Public key, 64 hex digits; absent: the submitting key. */
  readonly issuer?: string | undefined;
  readonly name?: string | undefined;
}
export interface SetMember {
  readonly type: "member.set";
  readonly publicKey: string;
  readonly name?: string | undefined;
  /** Empty: the key loses every right; its accounts stay. */
  readonly roles: readonly Role[];
}
export type LedgerOperation = Transfer | Issue | Redeem | CreateAccount | SetOverdraft | CreateAsset | SetMember;

export type LedgerQuestion =
  | { readonly type: "account"; readonly id: string }
  /** Accounts in order of creation. */
  | { readonly type: "accounts"; readonly offset: number; readonly limit: number }
  | { readonly type: "assets" }
  | { readonly type: "member"; readonly publicKey: string }
  /** Adds up the balances of accounts offset … offset+limit−1, issuance accounts included: over all accounts the sum is 0. */
  | { readonly type: "sum"; readonly asset: string; readonly offset: number; readonly limit: number }
  | { readonly type: "summary" };

// ── fields ───────────────────────────────────────────────────────────────────────────────────────────────────────

const text = (rule: string, pattern: RegExp): z.ZodString => z.string({ error: rule }).regex(pattern, { error: rule });
const accountId = text("must be an account id: 1 to 64 of A-Z a-z 0-9 . _ : @ -, starting with a letter or digit", ACCOUNT_ID_PATTERN);
const assetCode = text("must be an asset code: 2 to 12 of A-Z 0-9, starting with a letter", ASSET_CODE_PATTERN);
const publicKey = text("must be a public key: 64 lower-case hex digits", /^[0-9a-f]{64}$/);
const printable = (max: number): z.ZodString =>
  text(`must be 1 to ${max} characters without control characters`, new RegExp(`^[^\\u0000-\\u001f\\u007f-\\u009f]{1,${max}}$`));
const name = printable(NAME_LENGTH_MAX);
const reference = printable(REFERENCE_LENGTH_MAX);
const idempotencyKey = text(
  `must be 1 to ${IDEMPOTENCY_KEY_LENGTH_MAX} printable ASCII characters without spaces`,
  new RegExp(`^[!-~]{1,${IDEMPOTENCY_KEY_LENGTH_MAX}}$`),
);
/** Judged by parseAmount once the asset is known; here only: never a number. */
const amount = z.string({ error: 'must be decimal text in quotes, for example "12.50", never a JSON number' });
const integer = (min: number, max: number): z.ZodNumber => {
  const error = `must be an integer from ${min} to ${max}`;
  return z.number({ error }).int({ error }).min(min, { error }).max(max, { error });
};
const listOf = <T extends z.ZodType>(item: T, max: number): z.ZodArray<T> =>
  z.array(item, { error: "must be a list" }).max(max, { error: `must have at most ${max} entries` });

const opening = z.strictObject({ asset: assetCode, amount });
const posting = { asset: assetCode, amount, reference: reference.optional(), idempotencyKey };

const OPERATIONS: Readonly<Record<LedgerOperation["type"], z.ZodType<LedgerOperation>>> = {
  transfer: z.strictObject({ type: z.literal("transfer"), from: accountId, to: accountId, ...posting }),
  issue: z.strictObject({ type: z.literal("issue"), to: accountId, ...posting }),
  redeem: z.strictObject({ type: z.literal("redeem"), from: accountId, ...posting }),
  "account.create": z.strictObject({
    type: z.literal("account.create"),
    id: accountId,
    owner: publicKey.optional(),
    name: name.optional(),
    opening: listOf(opening, OPENING_MAX).optional(),
  }),
  "account.overdraft": z.strictObject({ type: z.literal("account.overdraft"), id: accountId, asset: assetCode, limit: amount }),
  "asset.create": z.strictObject({
    type: z.literal("asset.create"),
    code: assetCode,
    decimals: integer(0, DECIMALS_MAX),
    issuer: publicKey.optional(),
    name: name.optional(),
  }),
  "member.set": z.strictObject({
    type: z.literal("member.set"),
    publicKey,
    name: name.optional(),
    roles: listOf(z.enum(ROLES, { error: `must be one of ${ROLES.join(", ")}` }), ROLES.length),
  }),
};

const page = (max: number): { offset: z.ZodNumber; limit: z.ZodNumber } => ({
  offset: integer(0, Number.MAX_SAFE_INTEGER),
  limit: integer(1, max),
});

const QUESTIONS: Readonly<Record<LedgerQuestion["type"], z.ZodType<LedgerQuestion>>> = {
  account: z.strictObject({ type: z.literal("account"), id: accountId }),
  accounts: z.strictObject({ type: z.literal("accounts"), ...page(LIST_MAX) }),
  assets: z.strictObject({ type: z.literal("assets") }),
  member: z.strictObject({ type: z.literal("member"), publicKey }),
  sum: z.strictObject({ type: z.literal("sum"), asset: assetCode, ...page(SUM_MAX) }),
  summary: z.strictObject({ type: z.literal("summary") }),
};

// Exported for the genesis schema, which is made of the same fields.
export const FIELDS: {
  readonly accountId: z.ZodString;
  readonly assetCode: z.ZodString;
  readonly publicKey: z.ZodString;
  readonly name: z.ZodString;
  readonly opening: z.ZodType<Opening>;
  readonly decimals: z.ZodNumber;
} = { accountId, assetCode, publicKey, name, opening, decimals: integer(0, DECIMALS_MAX) };

/** The first problem a schema found, as one clause in our words. */
export function firstProblem(error: z.ZodError): { readonly field: string; readonly problem: string } {
  const issue = error.issues[0];
  if (issue === undefined) return { field: "", problem: "is invalid" };
  if (issue.code === "unrecognized_keys") return { field: [...issue.path, issue.keys[0]].join("."), problem: "is not a known field" };
  if (issue.code === "invalid_type" && issue.path.length === 0) return { field: "", problem: "must be an object" };
  return { field: issue.path.join("."), problem: issue.message };
}

function read<T extends { readonly type: string }>(
  what: "operation" | "question",
  schemas: Readonly<Record<string, z.ZodType<T>>>,
  value: unknown,
): T {
  const type = typeof value === "object" && value !== null ? (value as { type?: unknown }).type : undefined;
  const schema = typeof type === "string" && Object.hasOwn(schemas, type) ? schemas[type] : undefined;
  if (schema === undefined)
    refuse("OPERATION_INVALID", `${what}.type must be one of ${Object.keys(schemas).join(", ")}`, { field: "type" });
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { field, problem } = firstProblem(parsed.error);
  refuse("OPERATION_INVALID", `${what}.${field} ${problem}`, { field });
}

/** @throws AppRejection OPERATION_INVALID naming the field. */
export const readOperation = (value: unknown): LedgerOperation => read("operation", OPERATIONS, value);

/** @throws AppRejection OPERATION_INVALID naming the field. */
export const readQuestion = (value: unknown): LedgerQuestion => read("question", QUESTIONS, value);

/** One line for logs and `block show`. */
export function describeOperation(op: LedgerOperation): string {
  switch (op.type) {
    case "transfer":
      return `transfer ${op.amount} ${op.asset} from ${op.from} to ${op.to}`;
    case "issue":
      return `issue ${op.amount} ${op.asset} to ${op.to}`;
    case "redeem":
      return `redeem ${op.amount} ${op.asset} from ${op.from}`;
    case "account.create":
      return `create account ${op.id}${(op.opening ?? []).map((o) => ` with ${o.amount} ${o.asset}`).join(" and")}`;
    case "account.overdraft":
      return `set overdraft limit of ${op.id} to ${op.limit} ${op.asset}`;
    case "asset.create":
      return `create asset ${op.code} with ${op.decimals} decimals`;
    case "member.set":
      return `set roles of ${op.publicKey.slice(0, 16)} to ${op.roles.join(", ") || "none"}`;
  }
}
