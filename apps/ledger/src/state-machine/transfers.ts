/** Transfer, issue, redeem: the operations that move money, each at most once per idempotency key. */
import type { AppStore, ApplyContext } from "@narses/core";
import { formatMinor } from "../amount.ts";
import { requireIssuer, requireOwner, type Caller } from "./caller.ts";
import type { PayloadDigest } from "./digest.ts";
import type { Issue, Redeem, Transfer } from "./operations.ts";
import { balanceOf, issuanceOf, post, requireAmount } from "./posting.ts";
import { countersOf, putCounters, putUsedKey, requireAccount, requireAsset, usedKeyOf, type Account, type Asset } from "./records.ts";
import { refuse } from "./refuse.ts";

/** What a payment gave. A replay returns what the first one gave, with `replayed` set. */
export interface Posted {
  readonly replayed: boolean;
  /** Slot and agreed time (Unix milliseconds) at which the payment was applied. */
  readonly seq: number;
  readonly time: number;
  /** Balance of the paying account (issue: of the receiving one) right after, as decimal text. */
  readonly balance: string;
}

interface Entry {
  readonly debit: Account;
  readonly credit: Account;
  /** The account whose balance is reported: the customer's side. */
  readonly report: "debit" | "credit";
}

/** Anybody may be paid, except the account that stands for money not in circulation. */
function requireCustomer(store: AppStore, id: string): Account {
  const account = requireAccount(store, id, "to");
  if (account.kind === "issuance")
    refuse("ACCOUNT_RESERVED", `to: ${id} is an issuance account; only issue and redeem post to it`, { field: "to", account: id });
  return account;
}

function entryOf(op: Transfer | Issue | Redeem, asset: Asset, caller: Caller, store: AppStore): Entry {
  switch (op.type) {
    case "transfer": {
      const debit = requireAccount(store, op.from, "from");
      requireOwner(caller, debit, "from");
      return { debit, credit: requireCustomer(store, op.to), report: "debit" };
    }
    case "issue": {
      requireIssuer(caller, asset, "issue it");
      return { debit: issuanceOf(store, asset), credit: requireCustomer(store, op.to), report: "credit" };
    }
    case "redeem": {
      requireIssuer(caller, asset, "redeem it");
      const debit = requireAccount(store, op.from, "from");
      requireOwner(caller, debit, "from");
      return { debit, credit: issuanceOf(store, asset), report: "debit" };
    }
  }
}

/**
 * Applies a payment once. The key belongs to the submitting client; it is bound to the payload (amount in minor units, so
 * "5" and "5.00" are one payload). A refused payment does not use up its key: it may be tried again once the reason is gone.
 */
export function applyPosting(op: Transfer | Issue | Redeem, caller: Caller, context: ApplyContext, digestOf: PayloadDigest): Posted {
  const { store } = context;
  const asset = requireAsset(store, op.asset);
  const minor = requireAmount(op.amount, asset, { field: "amount" });
  const payload = digestOf([op.type, "from" in op ? op.from : "", "to" in op ? op.to : "", op.asset, minor.toString(), op.reference ?? ""]);
  const used = usedKeyOf(store, caller.client, op.idempotencyKey);
  if (used !== undefined) {
    if (!digestOf.equal(used.payload, payload)) {
      refuse(
        "IDEMPOTENCY_CONFLICT",
        `idempotencyKey ${op.idempotencyKey} was used in block ${used.seq} for another payment; use a new key for a new payment`,
        {
          field: "idempotencyKey",
          idempotencyKey: op.idempotencyKey,
          seq: used.seq,
        },
      );
    }
    return { replayed: true, seq: used.seq, time: used.time, balance: used.balance };
  }
  const entry = entryOf(op, asset, caller, store);
  const debited = post(store, { debit: entry.debit, credit: entry.credit, asset, minor });
  const reported = entry.report === "debit" ? balanceOf(debited, asset.code) : balanceOf(entry.credit, asset.code) + minor;
  const result = { seq: context.seq as number, time: context.time, balance: formatMinor(reported, asset.decimals) };
  putUsedKey(store, caller.client, op.idempotencyKey, { payload, ...result });
  const counters = countersOf(store);
  putCounters(store, { ...counters, transfers: counters.transfers + 1 });
  return { replayed: false, ...result };
}
