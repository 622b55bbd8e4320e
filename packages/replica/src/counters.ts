/** Plain numbers since the start of the process; `status` shows them, nothing decides by them. */
import type { PeerMessage, RejectionCode, StateMessage } from "@narses/core";

export type PeerMessageType = (PeerMessage | StateMessage)["type"];

/** Complete by its type: a new message fails to compile here. */
const noMessages: Readonly<Record<PeerMessageType, 0>> = {
  "pre-prepare": 0, "compact-pre-prepare": 0, "fetch-bundles": 0, votes: 0, checkpoint: 0, "view-change": 0, "new-view": 0, status: 0, forward: 0, "fetch-batch": 0,
  batch: 0, decision: 0, stable: 0, recall: 0, recalled: 0,
  "fetch-state": 0, "state-header": 0, "state-nodes": 0, "state-pages": 0, "state-gone": 0, "fetch-block": 0, "block-part": 0,
};

export interface Counters {
  /** Frames handed to the transport, one per receiver. */
  readonly sent: Record<PeerMessageType, number>;
  /** Frames that decoded, before any signature was judged. */
  readonly received: Record<PeerMessageType, number>;
  readonly rejected: Partial<Record<RejectionCode, number>>;
  readonly refused: Record<string, number>;
  bytesSent: number;
  bytesReceived: number;
  /** Frames the transport did not take: not connected, or queue full. */
  sendsDropped: number;
  /** Frames dropped unread because the queue of their source was full. */
  inboxDropped: number;
  /** Times a source was put in the penalty box. */
  penalties: number;
  /** Offences of replicas proven and kept as evidence, and those for which there was no room. */
  evidence: number;
  evidenceDropped: number;
  /** Answers to peers left out because the peer had its share of bytes. */
  answersDropped: number;
  turns: number;
  /** Waits for the disk of the vote log: at most one a turn, and one a truncation. */
  fsyncs: number;
  records: number;
  signaturesMade: number;
  signaturesVerified: number;
  /** Verifications spared because the same bytes were verified before. */
  signaturesCached: number;
  slotsExecuted: number;
  operationsExecuted: number;
  bundlesAdmitted: number;
  /** Large bundles that a proposal named, and another replica had to give. */
  bundlesFetched: number;
  repliesSent: number;
  repliesResent: number;
  calls: number;
  checkpoints: number;
  /** Views left: by a timer, for proven misbehaviour, or because others left. */
  viewChanges: number;
  /** States taken over from others. */
  transfers: number;
  /** Of those, repairs of a state that had gone wrong. */
  repairs: number;
  /** Blocks fetched that were missing since. */
  blocksFilled: number;
  /** Times the disk was full, and ticks that never happened because of it. */
  diskFreezes: number;
  ticksLost: number;
}

export function newCounters(): Counters {
  return {
    sent: { ...noMessages }, received: { ...noMessages }, rejected: {}, refused: {},
    bytesSent: 0, bytesReceived: 0, sendsDropped: 0, inboxDropped: 0, penalties: 0, answersDropped: 0, evidence: 0, evidenceDropped: 0, turns: 0, fsyncs: 0, records: 0,
    signaturesMade: 0, signaturesVerified: 0, signaturesCached: 0, slotsExecuted: 0, operationsExecuted: 0,
    bundlesAdmitted: 0, bundlesFetched: 0, repliesSent: 0, repliesResent: 0, calls: 0, checkpoints: 0, viewChanges: 0,
    transfers: 0, repairs: 0, blocksFilled: 0, diskFreezes: 0, ticksLost: 0,
  };
}

/** Adds one to `table[key]`. */
export function count<K extends string>(table: Partial<Record<K, number>>, key: K): void {
  table[key] = (table[key] ?? 0) + 1;
}
