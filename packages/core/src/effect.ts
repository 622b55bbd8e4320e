/**
 * What an ordering engine asks of the world. The list order is the contract: an effect may run only when every
 * `persist` before it is durable. A shell may write many persists with one fsync, and may run later persists earlier,
 * never later. After a crash, a prefix of the effects has happened.
 */
import type { Batch, CommitCertificate, PeerMessage, PreparedCertificate, Signed, StableCheckpoint, ViewChange, Vote } from "./messages.ts";
import type { Digest, ReplicaId, SeqNum, View } from "./ids.ts";
import type { LogRecord } from "./records.ts";
import type { Evidence } from "./evidence.ts";
import type { Rejection } from "./reject.ts";

export type Effect =
  /** Make the record durable. `lazy` records (commits) need no fsync of their own. */
  | { readonly type: "persist"; readonly record: LogRecord; readonly lazy: boolean }
  /** Sign PRE-PREPARE, send it with its batch to every other replica, return it as `own`. */
  | { readonly type: "pre-prepare"; readonly view: View; readonly seq: SeqNum; readonly digest: Digest; readonly batch: Batch | undefined }
  /** Cast a vote: the shell merges the votes of a turn into one signed frame, sends it to every other replica, returns it as `own`. */
  | { readonly type: "vote"; readonly vote: Vote }
  /** Sign CHECKPOINT, send it to every other replica, return it as `own`. */
  | { readonly type: "checkpoint"; readonly seq: SeqNum; readonly root: Digest }
  /** Sign VIEW-CHANGE, send it to every other replica, return it as `own`. */
  | { readonly type: "view-change"; readonly view: View; readonly stable: StableCheckpoint; readonly prepared: readonly PreparedCertificate[] }
  /** Sign each pre-prepare of O, then NEW-VIEW; send it to every other replica, return it as `own`. */
  | {
      readonly type: "new-view";
      readonly view: View;
      readonly viewChanges: readonly Signed<ViewChange>[];
      readonly proposals: readonly { readonly seq: SeqNum; readonly digest: Digest }[];
    }
  /** Send a message that needs no new signature. */
  | { readonly type: "send"; readonly to: ReplicaId | "all"; readonly message: PeerMessage }
  /** Send `to` the decided slots `first` … `last` out of the block store: it is further behind than the log reaches. */
  | { readonly type: "send-decisions"; readonly to: ReplicaId; readonly first: SeqNum; readonly last: SeqNum }
  /** Execute, strictly in sequence order; then `executed`. At a checkpoint also make the state durable; then `checkpointed`. */
  | { readonly type: "execute"; readonly seq: SeqNum; readonly batch: Batch | undefined; readonly certificate: CommitCertificate; readonly checkpoint: boolean }
  /** Records of slots at or below `seq` are no longer needed. */
  | { readonly type: "truncate"; readonly seq: SeqNum }
  /** This replica's state differs from a stable checkpoint: it must stop executing and be repaired. */
  | { readonly type: "diverged"; readonly seq: SeqNum; readonly own: Digest; readonly stable: Digest }
  /**
   * Stop executing, fetch the state as of this certified checkpoint from others, then `transferred`. Comes again with a later
   * target while the transfer goes on, perhaps one that only W replicas vouch for: either will do, but others drop old checkpoints. No `execute`
   * comes in between.
   */
  | { readonly type: "transfer"; readonly target: StableCheckpoint; readonly reason: "behind" | "diverged" }
  // observations, for logs, metrics and `why`
  | { readonly type: "rejected"; readonly from: ReplicaId; readonly message: string; readonly rejection: Rejection; readonly evidence?: Evidence }
  | { readonly type: "view-entered"; readonly view: View; readonly primary: ReplicaId }
  | { readonly type: "view-left"; readonly view: View; readonly reason: string }
  /** A quorum decided what was refused here for its time: not the primary's clock is wrong but this replica's, by `behindMs` (negative: ahead). */
  | { readonly type: "clock-off"; readonly seq: SeqNum; readonly behindMs: number }
  /** Votes were said that the log lacks (`lost`); from when on this replica may vote again (`bounded`); it does (`sound`). */
  | { readonly type: "memory"; readonly state: "lost" | "bounded" | "sound"; readonly detail: string };
