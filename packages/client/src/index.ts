/** @narses/client: sessions, submit and query, retransmission, offline verification of receipts and blocks. Loads in a browser. */
export { connect } from "./connect.ts";
export type { Client, ClientStatus } from "./client.ts";
export type { Answered, FastAnswer, OrderedAnswer, QueryOptions } from "./answer.ts";
export type { SessionStatus, SubmitOptions } from "./session.ts";
export type { Submitted } from "./unit.ts";
export type { CallOptions } from "./calls.ts";
export type { RejectionCounts } from "./rejections.ts";
export { DEFAULT_TIMEOUTS, type ConnectOptions, type Limits, type Timeouts } from "./options.ts";
export { systemTimers, type Timers } from "./timers.ts";
export { encodeReceipt, verifyReceipt, verifyReceiptBundle, verifyReceiptBytes, type VerifiedReceipt } from "./receipt.ts";
export { verifyBlock, verifyBlockBytes, verifyBlockChain, type ParentBlock, type VerifiedBlock, type VerifiedChain } from "./block.ts";
export type { ReadOptions, StaleAnswer } from "./stale-read.ts";
export { verifyStateReceipt, type VerifiedState } from "./state-receipt.ts";
export { clusterIdOf, parseClusterFile } from "./cluster-file.ts";
export { verifyEvidence, type VerifiedEvidence } from "./evidence.ts";
export type { FailedCheck } from "./invalid.ts";
