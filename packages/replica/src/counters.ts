/** Plain numbers since the start of the process; `status` shows them, nothing decides by them. */
import type { PeerMessage, RejectionCode } from "@narses/core";

export const PEER_MESSAGE_TYPES = [
  "pre-prepare", "votes", "checkpoint", "view-change", "new-view", "status", "forward", "fetch-batch", "batch", "decision", "stable",
] as const satisfies readonly PeerMessage["type"][];

export type PeerMessageType = PeerMessage["type"];

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
  turns: number;
  /** Turns that waited for the disk. */
  fsyncs: number;
  records: number;
  signaturesMade: number;
  signaturesVerified: number;
  /** Verifications spared because the same bytes were verified before. */
  signaturesCached: number;
  slotsExecuted: number;
  operationsExecuted: number;
  bundlesAdmitted: number;
  repliesSent: number;
  repliesResent: number;
  calls: number;
  checkpoints: number;
}

export function newCounters(): Counters {
  const zeros = (): Record<PeerMessageType, number> => Object.fromEntries(PEER_MESSAGE_TYPES.map((type) => [type, 0])) as Record<PeerMessageType, number>;
  return {
    sent: zeros(), received: zeros(), rejected: {}, refused: {},
    bytesSent: 0, bytesReceived: 0, sendsDropped: 0, inboxDropped: 0, turns: 0, fsyncs: 0, records: 0,
    signaturesMade: 0, signaturesVerified: 0, signaturesCached: 0, slotsExecuted: 0, operationsExecuted: 0,
    bundlesAdmitted: 0, repliesSent: 0, repliesResent: 0, calls: 0, checkpoints: 0,
  };
}

/** Adds one to `table[key]`. */
export function count<K extends string>(table: Partial<Record<K, number>>, key: K): void {
  table[key] = (table[key] ?? 0) + 1;
}
