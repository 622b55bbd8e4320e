/** The ledger's first state, from the `genesis` field of the cluster file. */
import { AppRejection, NarsesError, type AppStore } from "@narses/core";
import * as z from "zod";
import { addAccount } from "./accounts.ts";
import type { PayloadDigest } from "./digest.ts";
import { addAsset, addMember } from "./governance.ts";
import { ASSETS_MAX } from "./limits.ts";
import { FIELDS, firstProblem, ROLES, type Opening, type Role } from "./operations.ts";
import { issuanceOf, post, requireAmount } from "./posting.ts";
import { accountOf, assetOf, memberOf, requireAccount, requireAsset } from "./records.ts";

export interface LedgerGenesis {
  readonly ledger: 1;
  readonly members: readonly { readonly publicKey: string; readonly name?: string | undefined; readonly roles: readonly Role[] }[];
  readonly assets: readonly {
    readonly code: string;
    readonly decimals: number;
    readonly issuer: string;
    readonly name?: string | undefined;
  }[];
  readonly accounts?:
    | readonly {
        readonly id: string;
        readonly owner: string;
        readonly name?: string | undefined;
        readonly opening?: readonly Opening[] | undefined;
      }[]
    | undefined;
}

/** Accounts a cluster file may bring along; more are created by operations. */
export const GENESIS_ACCOUNTS_MAX = 10_000;

const { accountId, assetCode, decimals, name, opening, publicKey } = FIELDS;
const roles = z.array(z.enum(ROLES, { error: `must be one of ${ROLES.join(", ")}` }), { error: "must be a list of roles" });

const SCHEMA: z.ZodType<LedgerGenesis> = z.strictObject({
  ledger: z.literal(1, { error: "must be 1, the version of this format" }),
  members: z
    .array(z.strictObject({ publicKey, name: name.optional(), roles }), { error: "must be a list" })
    .min(1, { error: "must name at least one admin" }),
  assets: z
    .array(z.strictObject({ code: assetCode, decimals, issuer: publicKey, name: name.optional() }), { error: "must be a list" })
    .max(ASSETS_MAX, { error: `must have at most ${ASSETS_MAX} entries` }),
  accounts: z
    .array(z.strictObject({ id: accountId, owner: publicKey, name: name.optional(), opening: z.array(opening).optional() }), {
      error: "must be a list",
    })
    .max(GENESIS_ACCOUNTS_MAX, { error: `must have at most ${GENESIS_ACCOUNTS_MAX} entries` })
    .optional(),
});

const invalid = (field: string, problem: string): NarsesError =>
  new NarsesError("CONFIG_INVALID", `cluster file: genesis${field === "" ? "" : `.${field}`} ${problem}`, { field: `genesis.${field}` });

/** @throws NarsesError CONFIG_INVALID naming the field. */
export function readGenesis(data: unknown): LedgerGenesis {
  const parsed = SCHEMA.safeParse(data);
  if (!parsed.success) {
    const { field, problem } = firstProblem(parsed.error);
    throw invalid(field, problem);
  }
  const genesis = parsed.data;
  if (!genesis.members.some((member) => member.roles.includes("admin"))) throw invalid("members", "must name at least one admin");
  return genesis;
}

function fill(genesis: LedgerGenesis, store: AppStore, digestOf: PayloadDigest): void {
  // Admins first: the rule that one admin remains holds from the first write on.
  const members = [...genesis.members].sort((a, b) => Number(b.roles.includes("admin")) - Number(a.roles.includes("admin")));
  for (const member of members) {
    if (memberOf(store, member.publicKey) !== undefined) throw invalid("members", `names key ${member.publicKey} twice`);
    addMember(store, { publicKey: member.publicKey, roles: ROLES.filter((role) => member.roles.includes(role)), name: member.name ?? "" });
  }
  for (const asset of genesis.assets) {
    if (assetOf(store, asset.code) !== undefined) throw invalid("assets", `names ${asset.code} twice`);
    addAsset(store, { code: asset.code, decimals: asset.decimals, issuer: asset.issuer, name: asset.name ?? "" }, digestOf);
  }
  for (const account of genesis.accounts ?? []) {
    if (accountOf(store, account.id) !== undefined)
      throw invalid("accounts", `names ${account.id} twice, or takes the name of an issuance account`);
    addAccount(store, {
      id: account.id,
      owner: account.owner,
      name: account.name ?? "",
      kind: "customer",
      balances: {},
      overdrafts: {},
      origin: digestOf(["genesis", account.id]),
    });
    for (const { asset: code, amount } of account.opening ?? []) {
      const asset = requireAsset(store, code);
      const minor = requireAmount(amount, asset, { field: "amount" });
      post(store, { debit: issuanceOf(store, asset), credit: requireAccount(store, account.id, "id"), asset, minor });
    }
  }
}

/** @throws NarsesError CONFIG_INVALID naming the field. */
export function applyGenesis(data: unknown, store: AppStore, digestOf: PayloadDigest): void {
  const genesis = readGenesis(data);
  try {
    fill(genesis, store, digestOf);
  } catch (error) {
    if (error instanceof AppRejection)
      throw new NarsesError(
        "CONFIG_INVALID",
        `cluster file: genesis: ${error.message}`,
        { field: "genesis", ...error.data },
        { cause: error },
      );
    throw error;
  }
}
