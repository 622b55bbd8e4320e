/**
 * The double entry: the one place where balances change. Every posting debits one account and credits another by the
 * same amount, so the balances of an asset over all accounts, its issuance account included, always add up to zero.
 */
import type { AppStore } from "@narses/core";
import { formatMinor, MINOR_MAX, parseAmount } from "../amount.ts";
import { accountOf, putAccount, type Account, type Asset } from "./records.ts";
import { refuse } from "./refuse.ts";

/** Minor units on an account. */
export const balanceOf = (account: Account, code: string): bigint => BigInt(account.balances[code] ?? "0");
export const overdraftOf = (account: Account, code: string): bigint => BigInt(account.overdrafts[code] ?? "0");

/** @throws AppRejection AMOUNT_INVALID saying what is wrong with it. */
export function requireAmount(text: string, asset: Asset, options: { readonly field: string; readonly zeroAllowed?: boolean }): bigint {
  const parsed = parseAmount(text, asset.decimals, options);
  if (parsed.ok) return parsed.minor;
  refuse("AMOUNT_INVALID", `${options.field} ${JSON.stringify(text.slice(0, 48))} ${parsed.problem}`, {
    field: options.field,
    asset: asset.code,
    decimals: asset.decimals,
  });
}

function requireCover(account: Account, asset: Asset, minor: bigint): void {
  if (account.kind === "issuance") return; // minus the supply: bounded by BALANCE_LIMIT below
  const balance = balanceOf(account, asset.code);
  const overdraft = overdraftOf(account, asset.code);
  if (balance - minor >= -overdraft) return;
  const show = (value: bigint): string => formatMinor(value, asset.decimals);
  const state = `account ${account.id} has ${show(balance)} ${asset.code} and may go ${show(overdraft)} below zero`;
  const text = `${state}: paying ${show(minor)} lacks ${show(minor - balance - overdraft)}; pay less, or fund the account`;
  refuse("OVERDRAFT", text, {
    field: "amount",
    account: account.id,
    asset: asset.code,
    balance: show(balance),
    overdraft: show(overdraft),
    amount: show(minor),
  });
}

function withBalance(account: Account, asset: Asset, balance: bigint): Account {
  if (balance > MINOR_MAX || balance < -MINOR_MAX) {
    refuse(
      "BALANCE_LIMIT",
      `account ${account.id} would hold ${formatMinor(balance, asset.decimals)} ${asset.code}, beyond the limit of ±${formatMinor(MINOR_MAX, asset.decimals)}`,
      {
        field: "amount",
        account: account.id,
        asset: asset.code,
      },
    );
  }
  return { ...account, balances: { ...account.balances, [asset.code]: balance.toString() } };
}

/** Moves `minor` from one account to another and returns the debited account as it now stands. */
export function post(
  store: AppStore,
  entry: { readonly debit: Account; readonly credit: Account; readonly asset: Asset; readonly minor: bigint },
): Account {
  const { asset, minor } = entry;
  if (entry.debit.id === entry.credit.id)
    refuse("SAME_ACCOUNT", `to: ${entry.credit.id} is also the account that pays; name another one`, {
      field: "to",
      account: entry.credit.id,
    });
  requireCover(entry.debit, asset, minor);
  const debited = withBalance(entry.debit, asset, balanceOf(entry.debit, asset.code) - minor);
  const credited = withBalance(entry.credit, asset, balanceOf(entry.credit, asset.code) + minor);
  putAccount(store, debited);
  putAccount(store, credited);
  return debited;
}

/** The issuance account of an asset exists since the asset does. */
export function issuanceOf(store: AppStore, asset: Asset): Account {
  return (
    accountOf(store, asset.issuance) ??
    refuse("ACCOUNT_UNKNOWN", `the issuance account ${asset.issuance} of ${asset.code} is missing`, { account: asset.issuance })
  );
}
