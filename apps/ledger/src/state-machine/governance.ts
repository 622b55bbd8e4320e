/** Members and assets: what admins decide. */
import type { AppStore } from "@narses/core";
import { addAccount, ISSUANCE_PREFIX } from "./accounts.ts";
import { requireAdmin, type Caller } from "./caller.ts";
import type { PayloadDigest } from "./digest.ts";
import { ASSETS_MAX, MEMBERS_MAX } from "./limits.ts";
import { ROLES, type CreateAsset, type SetMember } from "./operations.ts";
import { assetCodes, assetOf, countersOf, memberOf, putCounters, putMember, putNewAsset, type Asset } from "./records.ts";
import { refuse } from "./refuse.ts";

export interface AssetCreated {
  readonly replayed: boolean;
  readonly code: string;
  readonly decimals: number;
  readonly issuer: string;
  readonly issuance: string;
}

export interface MemberSet {
  readonly publicKey: string;
  readonly roles: readonly string[];
}

/** Adds an asset and its issuance account. Shared with genesis. */
export function addAsset(store: AppStore, asset: Omit<Asset, "issuance">, digestOf: PayloadDigest): Asset {
  if (assetCodes(store).length >= ASSETS_MAX) refuse("LIMIT_REACHED", `the ledger has its ${ASSETS_MAX} assets`, { field: "code" });
  const issuance = ISSUANCE_PREFIX + asset.code;
  const complete = { ...asset, issuance };
  putNewAsset(store, complete);
  addAccount(store, {
    id: issuance,
    owner: asset.issuer,
    name: `${asset.code} not in circulation`,
    kind: "issuance",
    balances: {},
    overdrafts: {},
    origin: digestOf(["issuance", asset.code]),
  });
  return complete;
}

export function createAsset(op: CreateAsset, caller: Caller, store: AppStore, digestOf: PayloadDigest): AssetCreated {
  requireAdmin(caller, "create an asset");
  const wanted = { code: op.code, decimals: op.decimals, name: op.name ?? "", issuer: op.issuer ?? caller.publicKey };
  const existing = assetOf(store, op.code);
  if (existing !== undefined) {
    const same = existing.decimals === wanted.decimals && existing.issuer === wanted.issuer && existing.name === wanted.name;
    if (!same)
      refuse(
        "ASSET_EXISTS",
        `code: asset ${op.code} exists with ${existing.decimals} decimals and issuer ${existing.issuer.slice(0, 16)}…; choose another code`,
        { field: "code", asset: op.code },
      );
    return { replayed: true, code: existing.code, decimals: existing.decimals, issuer: existing.issuer, issuance: existing.issuance };
  }
  const { code, decimals, issuer, issuance } = addAsset(store, wanted, digestOf);
  return { replayed: false, code, decimals, issuer, issuance };
}

/** Sets the roles of a key, adding it if new; the last admin cannot be removed. Naturally idempotent. */
export function setMember(op: SetMember, caller: Caller, store: AppStore): MemberSet {
  requireAdmin(caller, "change members");
  const roles = ROLES.filter((role) => op.roles.includes(role)); // one order, no duplicates
  addMember(store, { publicKey: op.publicKey, roles, ...(op.name === undefined ? {} : { name: op.name }) });
  return { publicKey: op.publicKey, roles };
}

/** Shared with genesis. A name left out stays what it was. */
export function addMember(
  store: AppStore,
  member: { readonly publicKey: string; readonly name?: string; readonly roles: MemberRoles },
): void {
  const before = memberOf(store, member.publicKey);
  const counters = countersOf(store);
  const members = counters.members + (before === undefined ? 1 : 0);
  const admins = counters.admins + Number(member.roles.includes("admin")) - Number(before?.roles.includes("admin") ?? false);
  if (members > MEMBERS_MAX) refuse("LIMIT_REACHED", `the ledger has its ${MEMBERS_MAX} members`, { field: "publicKey" });
  if (admins === 0) refuse("LAST_ADMIN", "roles: this key is the last admin; make another one first", { field: "roles" });
  putMember(store, { publicKey: member.publicKey, name: member.name ?? before?.name ?? "", roles: member.roles });
  putCounters(store, { ...counters, members, admins });
}

type MemberRoles = readonly (typeof ROLES)[number][];
