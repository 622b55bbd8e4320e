/** Read-only questions and their answers, in decimal text. Anybody whose requests the cluster takes may ask them. */
import { assertNever, type AppReader } from "@narses/core";
import { formatMinor } from "../amount.ts";
import type { LedgerQuestion } from "./operations.ts";
import { balanceOf, overdraftOf } from "./posting.ts";
import {
  accountIds,
  accountOf,
  assetCodes,
  countersOf,
  memberOf,
  requireAccount,
  requireAsset,
  type Account,
  type Asset,
  type Member,
} from "./records.ts";

export interface Holding {
  readonly asset: string;
  readonly balance: string;
  readonly overdraft: string;
}
export interface AccountAnswer {
  readonly id: string;
  readonly owner: string;
  readonly name: string;
  readonly kind: "customer" | "issuance";
  readonly holdings: readonly Holding[];
}
export interface AccountsAnswer {
  readonly accounts: readonly AccountAnswer[];
  /** Accounts in the ledger. */
  readonly total: number;
}
export interface AssetAnswer {
  readonly code: string;
  readonly name: string;
  readonly decimals: number;
  readonly issuer: string;
  readonly issuance: string;
  readonly supply: string;
}
export interface MemberAnswer {
  readonly member: Member | null;
}
/** Sum of the balances of some accounts, in minor units as text; add the parts to get a total. */
export interface SumAnswer {
  readonly asset: string;
  readonly decimals: number;
  readonly minor: string;
  readonly counted: number;
  readonly total: number;
}
export interface SummaryAnswer {
  readonly members: number;
  readonly accounts: number;
  readonly transfers: number;
  readonly assets: readonly AssetAnswer[];
}
export type LedgerAnswer =
  AccountAnswer | AccountsAnswer | { readonly assets: readonly AssetAnswer[] } | MemberAnswer | SumAnswer | SummaryAnswer;

function describeAccount(store: AppReader, account: Account): AccountAnswer {
  const codes = assetCodes(store).filter((code) => account.balances[code] !== undefined || account.overdrafts[code] !== undefined);
  const holdings = codes.map((code) => {
    const { decimals } = requireAsset(store, code);
    return {
      asset: code,
      balance: formatMinor(balanceOf(account, code), decimals),
      overdraft: formatMinor(overdraftOf(account, code), decimals),
    };
  });
  return { id: account.id, owner: account.owner, name: account.name, kind: account.kind, holdings };
}

function describeAsset(store: AppReader, asset: Asset): AssetAnswer {
  const issuance = accountOf(store, asset.issuance);
  const supply = issuance === undefined ? 0n : -balanceOf(issuance, asset.code);
  return {
    code: asset.code,
    name: asset.name,
    decimals: asset.decimals,
    issuer: asset.issuer,
    issuance: asset.issuance,
    supply: formatMinor(supply, asset.decimals),
  };
}

const describeAssets = (store: AppReader): readonly AssetAnswer[] =>
  assetCodes(store).map((code) => describeAsset(store, requireAsset(store, code)));

function sum(store: AppReader, question: Extract<LedgerQuestion, { type: "sum" }>): SumAnswer {
  const asset = requireAsset(store, question.asset);
  const ids = accountIds(store, question);
  let minor = 0n;
  for (const id of ids) minor += balanceOf(requireAccount(store, id, "id"), asset.code);
  return { asset: asset.code, decimals: asset.decimals, minor: minor.toString(), counted: ids.length, total: countersOf(store).accounts };
}

export function answer(question: LedgerQuestion, store: AppReader): LedgerAnswer {
  switch (question.type) {
    case "account":
      return describeAccount(store, requireAccount(store, question.id, "id"));
    case "accounts":
      return {
        accounts: accountIds(store, question).map((id) => describeAccount(store, requireAccount(store, id, "id"))),
        total: countersOf(store).accounts,
      };
    case "assets":
      return { assets: describeAssets(store) };
    case "member":
      return { member: memberOf(store, question.publicKey) ?? null };
    case "sum":
      return sum(store, question);
    case "summary": {
      const { members, accounts, transfers } = countersOf(store);
      return { members, accounts, transfers, assets: describeAssets(store) };
    }
    default:
      return assertNever(question);
  }
}
