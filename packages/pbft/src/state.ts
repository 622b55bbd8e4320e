/**
 * The state of one PBFT replica: a plain record, changed only by the handlers beside this file. What is durable is
 * mirrored in the vote log by `persist` effects; everything else can be lost.
 */
import type {
  Batch, Bundle, Checkpoint, CommitCertificate, Digest, Effect, EngineConfig, EngineTools, Evidence, NewView, PreparedCertificate,
  PrePrepare, RejectionCode, ReplicaId, SeqNum, Signed, SignedBody, StableCheckpoint, View, ViewChange, VoteRef,
} from "@narses/core";
import { primaryOf, rejection, seqNum } from "@narses/core";
import type { Recall, Silence } from "./memory.ts";
import type { OwnClock, Refused } from "./time.ts";
import type { Watch } from "./suspicion.ts";
import type { Synchroniser } from "./synchroniser.ts";

/** A vote as first seen from its sender in its view. */
export interface CastVote {
  readonly view: View;
  readonly digest: Digest;
  readonly ref: VoteRef;
}

/** The pre-prepare accepted for a slot in `view`. */
export interface Proposal {
  readonly view: View;
  readonly digest: Digest;
  /** Absent while the primary's own pre-prepare is being signed. */
  signed: Signed<PrePrepare> | undefined;
  /** Tick of acceptance in this view, for the request timer. */
  readonly sinceTick: number;
  /** This replica's PREPARE for it has been cast (durable first). Invariant: implies the payload is held. */
  prepareCast: boolean;
}

/** One sequence number between the watermarks. */
export interface Slot {
  readonly seq: SeqNum;
  /** Invariant: proposal.view ≤ replica.view; at most one digest per view, ever (also across restarts). */
  proposal: Proposal | undefined;
  /** Payloads by digest: PAYLOADS_PER_SLOT_MAX of those nobody may need, VOTED_PAYLOADS_PER_SLOT_MAX of those in `voted`. */
  readonly payloads: Map<Digest, Batch>;
  /**
   * Digests this replica proposed or cast PREPARE for, in any view. Others may hold a certificate made of that vote and show it
   * many views later: then the payload must be somewhere. In order of voting.
   */
  readonly voted: Set<Digest>;
  /** PREPAREs by sender, the latest view of each. Never the primary's of that view. */
  readonly prepares: Map<ReplicaId, CastVote>;
  /** COMMITs by sender, the latest view of each. */
  readonly commits: Map<ReplicaId, CastVote>;
  /** Certificate of the highest view in which this replica prepared. Durable. What VIEW-CHANGE reports. */
  prepared: PreparedCertificate | undefined;
  /** Decided, for good. Invariant: no other digest is ever decided at this seq. */
  committed: CommitCertificate | undefined;
  /** A proposal that was not accepted for its time. */
  refused: Refused | undefined;
  /** Ticks at which the proposal was sent again, by peer. */
  readonly resent: Map<ReplicaId, number>;
  /** A compact pre-prepare, whose payload the shell gathers, and the tick at which it came. */
  announced: { readonly signed: Signed<PrePrepare>; readonly sinceTick: number } | undefined;
  /** A pre-prepare above the high watermark, kept until the window moves (a fast primary sees stability first). */
  early: { readonly signed: Signed<PrePrepare>; readonly batch: Batch | undefined } | undefined;
}

/** A client bundle waiting to be executed. */
export interface Waiting {
  readonly bundle: Bundle;
  /** Tick since which this replica holds the primary responsible for it. */
  sinceTick: number;
  /** Number of its arrival here. */
  readonly order: number;
  /** Tick at which this replica first told the primary of this view; undefined before. */
  relayedTick: number | undefined;
}

/** What a primary has to choose from. Invariant: `operations` and `bytes` are the sums over `bundles`. */
export interface Queue {
  readonly bundles: Map<Digest, Waiting>;
  operations: number;
  bytes: number;
}

export interface Peer {
  /** Undefined until the transport has said anything: not held against the peer. */
  connected: boolean | undefined;
  /** Tick of the last loss of connection. */
  lostTick: number;
  /** From its last STATUS: a claim, used only to keep asking. */
  claimedExecuted: SeqNum;
  lastAnswerTick: number;
  /** The first decided slot of the last answer, and when it was given: what is in flight is not sent again at once. */
  lastDecisions: { readonly first: SeqNum; readonly tick: number } | undefined;
  lastStatusTick: number;
  /** RECALLs of it answered in the current status interval. */
  recalls: { readonly interval: number; readonly count: number } | undefined;
  /** Pulls of it answered in a tick. */
  pulls: { readonly tick: number; readonly count: number } | undefined;
  /** Payloads it asked for in the current status interval. */
  fetched: { readonly interval: number; readonly count: number; readonly bytes: number } | undefined;
}

export interface Replica extends Synchroniser {
  readonly config: EngineConfig;
  readonly tools: EngineTools;
  readonly self: ReplicaId;
  tick: number;
  wallMs: number;

  readonly clock: OwnClock;

  // ── view (the rest is the synchroniser's) ──
  /** NEW-VIEW of the current view; absent in view 0. */
  newView: Signed<NewView> | undefined;
  /** Slots at or below this were settled by NEW-VIEW of the current view: no fresh pre-prepare may use them. */
  settledSeq: SeqNum;
  /** Latest VIEW-CHANGE by sender, own included once signed. */
  readonly viewChanges: Map<ReplicaId, Signed<ViewChange>>;
  /** Replicas proven to have signed two view-changes for one view. At most n. */
  readonly twoFaced: Set<ReplicaId>;
  /** The view for which this primary has emitted `new-view` and waits to see it signed. */
  newViewPending: View | undefined;
  /** After a restart: V of an own NEW-VIEW that the log holds unsigned, to be made again at start. */
  unsignedNewView: readonly Signed<ViewChange>[] | undefined;
  /** P and C of the own VIEW-CHANGE, to re-emit after a restart. */
  leaving: { readonly stable: StableCheckpoint; readonly prepared: readonly PreparedCertificate[] } | undefined;

  // ── log ──
  /** Low watermark h with its proof. Invariant: stable.seq ≤ executed, or ≤ transfer.seq during a transfer. */
  stable: StableCheckpoint;
  /** Highest certified checkpoint known; above `stable` while this replica is behind. */
  stableKnown: StableCheckpoint;
  /** Slots above h, up to twice the window. */
  readonly slots: Map<SeqNum, Slot>;
  /** CHECKPOINTs by sender and seq, at most CHECKPOINTS_PER_SENDER_MAX per sender. */
  readonly checkpoints: Map<ReplicaId, Map<SeqNum, Signed<Checkpoint>>>;
  /** Own checkpoint roots above h. */
  readonly ownRoots: Map<SeqNum, Digest>;
  /** Roots above h for which a CHECKPOINT was said: never two for one slot, also after a repair. */
  readonly vouched: Map<SeqNum, Digest>;
  /** Highest slot that the log held at the start: what lies between is stored, however far ahead of the durable state. */
  recoveredSeq: SeqNum;
  /** Highest slot handed over for execution. */
  handed: SeqNum;
  /** Highest slot executed. Invariant: executed ≤ handed. */
  executed: SeqNum;
  /** Primary: the next slot to assign. */
  nextSeq: SeqNum;

  /** Decided slots that peers may still lack, see forward.ts: next wave of peers to serve, and since when. */
  readonly forwarding: Map<SeqNum, { readonly sinceTick: number; wave: number }>;

  // ── requests ──
  /** By digest, in order of arrival. At most parameters.pendingBundlesMax. */
  readonly waiting: Map<Digest, Waiting>;
  /** Of `waiting`, what this replica has not proposed in the current view, in the same order. */
  readonly queue: Queue;
  /** Bundles that have arrived so far. */
  arrivals: number;
  /** What is known of the primary of this view. */
  watch: Watch;

  // ── peers ──
  readonly peers: Map<ReplicaId, Peer>;
  lastStatusTick: number;
  /** Executed slot at which decisions were last pulled. */
  pulledSeq: SeqNum;
  pulledTick: number;
  /** Tick at which this replica last knew itself far behind: request timers run from there at the earliest. */
  behindTick: number;
  started: boolean;

  // ── state transfer ──
  /** The state here differs from a certified one. Invariant: implies `transfer`. */
  diverged: boolean;
  /** The latest checkpoint whose state is being fetched; nothing is executed meanwhile. */
  transfer: StableCheckpoint | undefined;
  /** Tick of that target. */
  transferSince: number;
  /** Since when this replica is behind a certified checkpoint with nothing to execute. */
  stuckSince: { readonly executed: SeqNum; readonly tick: number } | undefined;

  // ── memory ──
  /** Nothing is signed while this is set. */
  silence: Silence | undefined;
  /** The question to the others after a restart. */
  recall: Recall | undefined;

  /** Effects of the step under way. */
  out: Effect[];
}

/** Batches kept for one slot that nothing was voted for; the oldest gives way, and is fetched again if it is decided. */
export const PAYLOADS_PER_SLOT_MAX = 4;
/** Views in which one slot was voted for differently, at most; timeouts double with each. */
export const VOTED_PAYLOADS_PER_SLOT_MAX = 32;

export const n = (r: Replica): number => r.config.quorums.n;
export const strong = (r: Replica): number => r.config.quorums.strong;
export const weak = (r: Replica): number => r.config.quorums.weak;
export const primary = (r: Replica): ReplicaId => primaryOf(r.view, n(r));
export const isPrimary = (r: Replica): boolean => primary(r) === r.self;
export const lowWatermark = (r: Replica): SeqNum => r.stable.seq;
export const highWatermark = (r: Replica): SeqNum => seqNum(r.stable.seq + r.config.parameters.logWindow);
/** Nothing above this is stored, whoever sends it. */
export const storeLimit = (r: Replica): number => Math.max(r.stable.seq, coveredSeq(r)) + 2 * r.config.parameters.logWindow;
/** Slots up to this one need no sending to this replica: executed, or part of the state that it fetches. */
export const coveredSeq = (r: Replica): SeqNum => seqNum(Math.max(r.executed, r.transfer?.seq ?? 0));

/** The one way out. A silent replica signs nothing: what it would say is dropped here, and made again when it may speak. */
export const emit = (r: Replica, effect: Effect): void => {
  if (r.silence === undefined || !isStatement(effect)) r.out.push(effect);
};

function isStatement({ type }: Effect): boolean {
  switch (type) {
    case "pre-prepare":
    case "vote":
    case "checkpoint":
    case "view-change":
    case "new-view":
      return true;
    default:
      return false;
  }
}

export function reject(r: Replica, from: ReplicaId, message: string, code: RejectionCode, detail: string, evidence?: Evidence): void {
  emit(r, { type: "rejected", from, message, rejection: rejection(code, detail), ...(evidence && { evidence }) });
}

/** Two statements of one replica that no correct one signs both; nothing when the first is not at hand as signed. */
export const pair = (first: Signed<SignedBody> | undefined, second: Signed<SignedBody>): Evidence | undefined => first && { type: "pair", first, second };

/** Slots with a number above the last executed one. */
export function* slotsOpen(r: Replica): Iterable<Slot> {
  for (const slot of r.slots.values()) if (slot.seq > r.executed) yield slot;
}
