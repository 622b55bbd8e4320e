/** Opening accounts and setting how far they may be overdrawn. */
import type { AppStore, ApplyContext } from "@narses/core";
import { formatMinor } from "../amount.ts";
import { isAdmin, requireAdmin, requireIssuer, type Caller } from "./caller.ts";
import type { PayloadDigest } from "./digest.ts";
import { ACCOUNTS_MAX } from "./limits.ts";
import type { CreateAccount, SetOverdraft } from "./operations.ts";
import { issuanceOf, post, requireAmount } from "./posting.ts";
import { accountOf, countersOf, indexAccount, putAccount, putCounters, requireAccount, requireAsset, type Account } from "./records.ts";
import { refuse } from "./refuse.ts";

/** Ids that start so belong to assets. */
export const ISSUANCE_PREFIX = "issuance.";

export interface AccountCreated {
  readonly replayed: boolean;
  readonly id: string;
  readonly owner: string;
}

export interface OverdraftSet {
  readonly id: string;
  readonly asset: string;
  readonly limit: string;
}

/** Stores a new account and puts it in the index. */
export function addAccount(store: AppStore, account: Account): void {
  const counters = countersOf(store);
  if (counters.accounts >= ACCOUNTS_MAX) refuse("LIMIT_REACHED", `the ledger has its ${ACCOUNTS_MAX} accounts`, { field: "id" });
  indexAccount(store, account.id, counters.accounts);
  putCounters(store, { ...counters, accounts: counters.accounts + 1 });
  putAccount(store, account);
}

/** Creates an account, with its opening balances in the same step: either all of it happens or nothing. */
export function createAccount(op: CreateAccount, caller: Caller, context: ApplyContext, digestOf: PayloadDigest): AccountCreated {
  const { store } = context;
  const owner = op.owner ?? caller.publicKey;
  if (owner !== caller.publicKey && !isAdmin(caller))
    refuse("NOT_ALLOWED", "owner: only an admin may open an account for another key; leave owner out to open your own", { field: "owner" });
  if (op.id.startsWith(ISSUANCE_PREFIX))
    refuse("ACCOUNT_RESERVED", `id: names that start with ${ISSUANCE_PREFIX} belong to assets; choose another`, {
      field: "id",
      account: op.id,
    });
  const openings = (op.opening ?? []).map((o, i) => {
    const asset = requireAsset(store, o.asset, `opening.${i}.asset`);
    return { asset, minor: requireAmount(o.amount, asset, { field: `opening.${i}.amount` }) };
  });
  const origin = digestOf(["account.create", op.id, owner, op.name ?? "", ...openings.flatMap((o) => [o.asset.code, o.minor.toString()])]);
  const existing = accountOf(store, op.id);
  if (existing !== undefined) {
    if (digestOf.equal(existing.origin, origin)) return { replayed: true, id: op.id, owner };
    refuse(
      "ACCOUNT_EXISTS",
      `id: account ${op.id} exists with another owner, name or opening balance; choose another id or use it as it is`,
      { field: "id", account: op.id },
    );
  }
  addAccount(store, { id: op.id, owner, name: op.name ?? "", kind: "customer", balances: {}, overdrafts: {}, origin });
  for (const { asset, minor } of openings) {
    requireIssuer(caller, asset, "give an opening balance in it");
    post(store, { debit: issuanceOf(store, asset), credit: requireAccount(store, op.id, "id"), asset, minor });
  }
  return { replayed: false, id: op.id, owner };
}

/** A limit below what is already overdrawn is allowed: it stops further payments, it does not undo past ones. */
export function setOverdraft(op: SetOverdraft, caller: Caller, store: AppStore): OverdraftSet {
  requireAdmin(caller, "set an overdraft limit");
  const asset = requireAsset(store, op.asset);
  const minor = requireAmount(op.limit, asset, { field: "limit", zeroAllowed: true });
  const account = requireAccount(store, op.id, "id");
  if (account.kind === "issuance")
    refuse("ACCOUNT_RESERVED", `id: ${op.id} is an issuance account and has no limit`, { field: "id", account: op.id });
  putAccount(store, { ...account, overdrafts: { ...account.overdrafts, [asset.code]: minor.toString() } });
  return { id: op.id, asset: asset.code, limit: formatMinor(minor, asset.decimals) };
}
