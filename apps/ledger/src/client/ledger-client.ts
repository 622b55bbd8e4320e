/** The ledger's operations and questions over a client of the cluster, with their types. */
import { NarsesError, type SeqNum } from "@narses/core";
import type { Client, QueryOptions, Submitted, SubmitOptions } from "@narses/client";
import type { AccountCreated, OverdraftSet } from "../state-machine/accounts.ts";
import type { AssetCreated, MemberSet } from "../state-machine/governance.ts";
import { LIST_MAX, SUM_MAX } from "../state-machine/limits.ts";
import type {
  CreateAccount,
  CreateAsset,
  Issue,
  LedgerOperation,
  LedgerQuestion,
  Redeem,
  SetMember,
  SetOverdraft,
  Transfer,
} from "../state-machine/operations.ts";
import type { AccountAnswer, AccountsAnswer, AssetAnswer, MemberAnswer, SumAnswer, SummaryAnswer } from "../state-machine/questions.ts";
import type { Posted } from "../state-machine/transfers.ts";

/** A certified answer with its type. */
export interface Certified<T> extends Submitted {
  readonly result: T;
}

/** The answer to a question, with its type, its consistency and the slot it is of. */
export interface LedgerAnswered<T> {
  readonly result: T;
  readonly seq: SeqNum;
  readonly consistency: "ordered" | "fast";
  /** Why it is ordered although a fast answer was asked for. */
  readonly fallback?: string;
}

interface Results {
  readonly transfer: Posted;
  readonly issue: Posted;
  readonly redeem: Posted;
  readonly "account.create": AccountCreated;
  readonly "account.overdraft": OverdraftSet;
  readonly "asset.create": AssetCreated;
  readonly "member.set": MemberSet;
}
interface Answers {
  readonly account: AccountAnswer;
  readonly accounts: AccountsAnswer;
  readonly assets: { readonly assets: readonly AssetAnswer[] };
  readonly member: MemberAnswer;
  readonly sum: SumAnswer;
  readonly summary: SummaryAnswer;
}
type OperationByType = {
  transfer: Transfer;
  issue: Issue;
  redeem: Redeem;
  "account.create": CreateAccount;
  "account.overdraft": SetOverdraft;
  "asset.create": CreateAsset;
  "member.set": SetMember;
};

/** Every operation is safe to submit again (a key, or its nature, makes it so), so a spent request id is no obstacle. */
const ATTEMPTS_MAX = 4;
const REPEATABLE: ReadonlySet<string> = new Set(["NOT_EXECUTED", "IN_DOUBT"]);

/** Fields left out are absent on the wire, not null. */
const compact = <T extends object>(value: T): T =>
  Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as T;

/** The sum of the balances of one asset over all accounts. */
export interface AssetSum {
  readonly asset: string;
  readonly decimals: number;
  readonly minor: bigint;
  readonly accounts: number;
}

/** Every operation of the ledger is idempotent and a question changes nothing, so what was not executed, or perhaps not, is submitted again. */
async function repeatable<T>(submit: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await submit();
    } catch (error) {
      if (!(error instanceof NarsesError && REPEATABLE.has(error.code)) || attempt === ATTEMPTS_MAX) throw error;
    }
  }
}

export class LedgerClient {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** @throws NarsesError APP_REJECTED with the ledger's code in `data`, and whatever `Client.submit` throws. */
  async submit<T extends LedgerOperation["type"]>(
    operation: OperationByType[T] & { readonly type: T },
    options?: SubmitOptions,
  ): Promise<Certified<Results[T]>> {
    const submitted = await repeatable(() => this.#client.submit(compact(operation), options));
    return { ...submitted, result: submitted.result as Results[T] };
  }

  /** A linearizable read: ordered, or fast where that is asked for and possible; the answer says which. */
  async ask<T extends LedgerQuestion["type"]>(
    question: Extract<LedgerQuestion, { type: T }> & { readonly type: T },
    options: QueryOptions = {},
  ): Promise<LedgerAnswered<Answers[T]>> {
    const answered = await repeatable(() => this.#client.query(question, options));
    const { result, seq, consistency } = answered;
    return { result: result as Answers[T], seq, consistency, ...("fallback" in answered && { fallback: answered.fallback }) };
  }

  /** All accounts in order of creation, a page at a time. Accounts created meanwhile come at the end. */
  async *accounts(): AsyncGenerator<AccountAnswer> {
    for (let offset = 0; ; offset += LIST_MAX) {
      const { result } = await this.ask({ type: "accounts", offset, limit: LIST_MAX });
      yield* result.accounts;
      if (result.accounts.length < LIST_MAX) return;
    }
  }

  /** Adds up every balance of an asset, issuance account included: 0 if money was neither made nor lost. Exact when nobody pays meanwhile. */
  async sum(asset: string): Promise<AssetSum> {
    const first = await this.ask({ type: "sum", asset, offset: 0, limit: SUM_MAX });
    const offsets: number[] = [];
    for (let offset = SUM_MAX; offset < first.result.total; offset += SUM_MAX) offsets.push(offset);
    // Asked in one turn: they share a bundle, so they are answered from one state.
    const rest = await Promise.all(offsets.map((offset) => this.ask({ type: "sum", asset, offset, limit: SUM_MAX })));
    const parts = [first, ...rest].map((part) => part.result);
    return {
      asset,
      decimals: first.result.decimals,
      minor: parts.reduce((sum, part) => sum + BigInt(part.minor), 0n),
      accounts: parts.reduce((sum, part) => sum + part.counted, 0),
    };
  }
}
