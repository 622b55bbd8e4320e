/** Who submits an operation, and what that key may do. Rights come from the signing key alone. */
import { toHex, type AppReader, type ApplyContext } from "@narses/core";
import type { Role } from "./operations.ts";
import { memberOf, type Account, type Asset } from "./records.ts";
import { refuse } from "./refuse.ts";

export interface Caller {
  readonly publicKey: string;
  /** Id of the client: names the space of its idempotency keys. */
  readonly client: string;
  readonly roles: readonly Role[];
}

const short = (publicKey: string): string => `${publicKey.slice(0, 16)}…`;

/** @throws AppRejection NOT_A_MEMBER when the key has no role here. */
export function callerOf(context: Pick<ApplyContext, "publicKey" | "client"> & { readonly store: AppReader }): Caller {
  const publicKey = toHex(context.publicKey);
  const roles = memberOf(context.store, publicKey)?.roles ?? [];
  if (roles.length === 0)
    refuse("NOT_A_MEMBER", `key ${short(publicKey)} is not a member of this ledger; ask an admin to add it`, { publicKey });
  return { publicKey, client: context.client, roles };
}

export const isAdmin = (caller: Caller): boolean => caller.roles.includes("admin");

export function requireAdmin(caller: Caller, action: string): void {
  if (!isAdmin(caller)) refuse("NOT_ALLOWED", `only an admin may ${action}; key ${short(caller.publicKey)} is none`, { role: "admin" });
}

export function requireIssuer(caller: Caller, asset: Asset, action: string): void {
  if (asset.issuer !== caller.publicKey) {
    refuse(
      "NOT_ALLOWED",
      `only the issuer of ${asset.code} may ${action}; that is key ${short(asset.issuer)}, not ${short(caller.publicKey)}`,
      { role: "issuer", asset: asset.code },
    );
  }
}

export function requireOwner(caller: Caller, account: Account, field: string): void {
  if (account.kind === "issuance")
    refuse("ACCOUNT_RESERVED", `${field}: ${account.id} is an issuance account; only issue and redeem post to it`, {
      field,
      account: account.id,
    });
  if (account.owner !== caller.publicKey) {
    refuse(
      "NOT_ALLOWED",
      `${field}: account ${account.id} belongs to key ${short(account.owner)}, not ${short(caller.publicKey)}; use the owner's key file`,
      { field, account: account.id },
    );
  }
}
