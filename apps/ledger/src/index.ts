/** The permissioned ledger as a library: the state machine, its operations and its amounts. The CLI is bin/narses-ledger.js. */
export { createLedger } from "./state-machine/machine.ts";
export type { Ledger, LedgerResult } from "./state-machine/machine.ts";
export { describeOperation, readOperation, readQuestion, ROLES } from "./state-machine/operations.ts";
export type { LedgerOperation, LedgerQuestion, Role } from "./state-machine/operations.ts";
export type { Posted } from "./state-machine/transfers.ts";
export type {
  AccountAnswer,
  AccountsAnswer,
  AssetAnswer,
  LedgerAnswer,
  MemberAnswer,
  SumAnswer,
  SummaryAnswer,
} from "./state-machine/questions.ts";
export { readGenesis } from "./state-machine/genesis.ts";
export type { LedgerGenesis } from "./state-machine/genesis.ts";
export { LEDGER_CODES } from "./state-machine/refuse.ts";
export type { LedgerCode } from "./state-machine/refuse.ts";
export { DECIMALS_MAX, formatMinor, MINOR_MAX, parseAmount } from "./amount.ts";
export type { ParsedAmount } from "./amount.ts";
