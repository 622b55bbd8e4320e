/**
 * The ledger's records and where they live. Keys (all shorter than 512 bytes):
 *
 *   member/<publicKey>          Member             asset/<code>      Asset
 *   account/<id>                Account            assets            codes in order of creation
 *   accounts/<page>             INDEX_PAGE_SIZE account ids, in order of creation
 *   key/<client>/<idempotency>  UsedKey            counters          Counters
 *
 * Minor units are stored as decimal text: exact in msgpack whatever their size.
 */
import type { AppReader, AppStore } from "@narses/core";
import { INDEX_PAGE_SIZE } from "./limits.ts";
import type { Role } from "./operations.ts";
import { refuse } from "./refuse.ts";

export interface Member {
  readonly publicKey: string;
  readonly name: string;
  readonly roles: readonly Role[];
}

export interface Asset {
  readonly code: string;
  readonly decimals: number;
  readonly name: string;
  /** Public key of the only one who may issue and redeem. */
  readonly issuer: string;
  /** Account whose balance is minus the supply, so that all balances of the asset add up to zero. */
  readonly issuance: string;
}

export interface Account {
  readonly id: string;
  readonly owner: string;
  readonly name: string;
  readonly kind: "customer" | "issuance";
  /** Minor units by asset code, as decimal text; codes in the order they were first used. */
  readonly balances: Readonly<Record<string, string>>;
  /** Minor units the balance may go below zero; absent: none. */
  readonly overdrafts: Readonly<Record<string, string>>;
  /** Digest of the operation that created it: the same operation again is a replay. */
  readonly origin: Uint8Array;
}

/** An idempotency key that was used: what for, and what came of it. Kept for the life of the ledger, like the payment itself. */
export interface UsedKey {
  readonly payload: Uint8Array;
  readonly seq: number;
  readonly time: number;
  readonly balance: string;
}

export interface Counters {
  readonly members: number;
  readonly admins: number;
  readonly accounts: number;
  readonly transfers: number;
}

const NO_COUNTERS: Counters = { members: 0, admins: 0, accounts: 0, transfers: 0 };

// Only this module writes these keys, so what is read back has the type it was written with.
export const memberOf = (store: AppReader, publicKey: string): Member | undefined => store.get(`member/${publicKey}`) as Member | undefined;
export const putMember = (store: AppStore, member: Member): void => store.put(`member/${member.publicKey}`, member);

export const assetOf = (store: AppReader, code: string): Asset | undefined => store.get(`asset/${code}`) as Asset | undefined;
export const assetCodes = (store: AppReader): readonly string[] => (store.get("assets") as readonly string[] | undefined) ?? [];
export function putNewAsset(store: AppStore, asset: Asset): void {
  store.put(`asset/${asset.code}`, asset);
  store.put("assets", [...assetCodes(store), asset.code]);
}

export const accountOf = (store: AppReader, id: string): Account | undefined => store.get(`account/${id}`) as Account | undefined;
export const putAccount = (store: AppStore, account: Account): void => store.put(`account/${account.id}`, account);

export const countersOf = (store: AppReader): Counters => (store.get("counters") as Counters | undefined) ?? NO_COUNTERS;
export const putCounters = (store: AppStore, counters: Counters): void => store.put("counters", counters);

export const usedKeyOf = (store: AppReader, client: string, key: string): UsedKey | undefined =>
  store.get(`key/${client}/${key}`) as UsedKey | undefined;
export const putUsedKey = (store: AppStore, client: string, key: string, used: UsedKey): void => store.put(`key/${client}/${key}`, used);

/** Appends to the index of accounts; `position` is the number of accounts so far. */
export function indexAccount(store: AppStore, id: string, position: number): void {
  const page = `accounts/${Math.floor(position / INDEX_PAGE_SIZE)}`;
  store.put(page, [...((store.get(page) as readonly string[] | undefined) ?? []), id]);
}

/** Ids of accounts offset … offset+limit−1 in order of creation. */
export function accountIds(store: AppReader, range: { readonly offset: number; readonly limit: number }): readonly string[] {
  const end = Math.min(range.offset + range.limit, countersOf(store).accounts);
  const ids: string[] = [];
  let page: readonly string[] = [];
  for (let i = range.offset; i < end; i++) {
    if (i === range.offset || i % INDEX_PAGE_SIZE === 0)
      page = store.get(`accounts/${Math.floor(i / INDEX_PAGE_SIZE)}`) as readonly string[];
    const id = page[i % INDEX_PAGE_SIZE];
    if (id !== undefined) ids.push(id);
  }
  return ids;
}

export function requireAsset(store: AppReader, code: string, field = "asset"): Asset {
  return (
    assetOf(store, code) ??
    refuse("ASSET_UNKNOWN", `${field} ${code} does not exist; this ledger has ${assetCodes(store).join(", ") || "no assets yet"}`, {
      field,
      asset: code,
    })
  );
}

export function requireAccount(store: AppReader, id: string, field: string): Account {
  return (
    accountOf(store, id) ??
    refuse("ACCOUNT_UNKNOWN", `${field}: account ${id} does not exist; check the spelling or create it first`, { field, account: id })
  );
}
