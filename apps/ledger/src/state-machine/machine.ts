/**
 * The ledger as a deterministic state machine: accounts, assets, signed double-entry transfers. An operation is applied
 * completely or refused with a code from {@link LEDGER_CODES}; who may do what follows from the key that signed it.
 */
import { assertNever, type ApplyContext, type Hasher, type StateMachine } from "@narses/core";
import { createAccount, setOverdraft, type AccountCreated, type OverdraftSet } from "./accounts.ts";
import { callerOf } from "./caller.ts";
import { payloadDigest, type PayloadDigest } from "./digest.ts";
import { applyGenesis } from "./genesis.ts";
import { createAsset, setMember, type AssetCreated, type MemberSet } from "./governance.ts";
import { readOperation, readQuestion, type LedgerOperation, type LedgerQuestion } from "./operations.ts";
import { answer, type LedgerAnswer } from "./questions.ts";
import { applyPosting, type Posted } from "./transfers.ts";

export type LedgerResult = Posted | AccountCreated | OverdraftSet | AssetCreated | MemberSet;
export type Ledger = Required<StateMachine<LedgerOperation, LedgerResult, LedgerQuestion, LedgerAnswer>>;

function applyOperation(op: LedgerOperation, context: ApplyContext, digestOf: PayloadDigest): LedgerResult {
  const caller = callerOf(context);
  switch (op.type) {
    case "transfer":
    case "issue":
    case "redeem":
      return applyPosting(op, caller, context, digestOf);
    case "account.create":
      return createAccount(op, caller, context, digestOf);
    case "account.overdraft":
      return setOverdraft(op, caller, context.store);
    case "asset.create":
      return createAsset(op, caller, context.store, digestOf);
    case "member.set":
      return setMember(op, caller, context.store);
    default:
      return assertNever(op);
  }
}

/** `hasher` must be SHA-256 on every replica; it is an argument so that the ledger needs no host. */
export function createLedger(hasher: Hasher): Ledger {
  const digestOf = payloadDigest(hasher);
  return {
    genesis: (data, store) => applyGenesis(data, store, digestOf),
    apply: (op, context) => applyOperation(readOperation(op), context, digestOf),
    query: (question, context) => answer(readQuestion(question), context.store),
  };
}
