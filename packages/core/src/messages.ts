/**
 * The messages of PBFT, as values. `wire` turns them into bytes and back; nothing here knows the layout.
 *
 * A signed body travels as {@link Signed}: the bytes that were signed are the bytes that are carried and verified
 * (never re-encoded). Votes travel in frames: one signature covers every vote a replica casts in one turn, and a
 * certificate names a vote as (frame, index).
 */
import type { ClientId, Digest, Epoch, ReplicaId, RequestId, SeqNum, View } from "./ids.ts";

/** A body with the envelope it arrived in, or was signed into: header, body and signature. */
export interface Signed<B> {
  readonly body: B;
  readonly bytes: Uint8Array;
}

// ── clients ──────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Operation {
  /** `apply` may change state; `query` is an ordered read. */
  readonly kind: "apply" | "query";
  /** msgpack, opaque to everything but the state machine. A view into the bundle's bytes. */
  readonly payload: Uint8Array;
}

/**
 * A client's pipelined operations under one signature: the unit of ordering. Operation i has request id ridFirst + i.
 * `digest` is SHA-256 of `bytes`, the whole envelope with its signature.
 */
export interface Bundle {
  readonly digest: Digest;
  readonly client: ClientId;
  readonly publicKey: Uint8Array;
  /** The client's session, see `session-number.ts`; request ids are unique within it. */
  readonly session: number;
  readonly ridFirst: RequestId;
  /** The client holds every reply up to and including this id (0: none); replicas may drop them. */
  readonly ackLow: number;
  /** Executed only once the request before `ridFirst` is: otherwise refused, and ordered again later. */
  readonly fifo: boolean;
  /** How many operations there are, at least one. */
  readonly operationCount: number;
  /**
   * Of a decoded bundle: made from its bytes each time this is read, since bundles wait, and are kept until a checkpoint, in large numbers,
   * and their operations are needed only while they execute.
   */
  readonly operations: readonly Operation[];
  readonly bytes: Uint8Array;
}

/**
 * What a slot orders. `digest` covers epoch, timestamp and the ordered bundle digests, but neither view nor sequence
 * number, so that a batch keeps its digest across views.
 */
export interface Batch {
  readonly digest: Digest;
  readonly epoch: Epoch;
  /** Proposed by the primary, in Unix milliseconds. */
  readonly timestampMs: number;
  readonly bundles: readonly Bundle[];
  readonly bytes: Uint8Array;
}

// ── signed by replicas ───────────────────────────────────────────────────────────────────────────────────────────

/** PRE-PREPARE ⟨v, n, D⟩: the primary's proposal; the batch travels beside it. */
export interface PrePrepare {
  readonly type: "pre-prepare";
  readonly epoch: Epoch;
  readonly sender: ReplicaId;
  readonly view: View;
  readonly seq: SeqNum;
  readonly digest: Digest;
}

export interface Vote {
  readonly phase: "prepare" | "commit";
  readonly view: View;
  readonly seq: SeqNum;
  readonly digest: Digest;
}

/** A vote frame: PREPARE and COMMIT votes cast in one turn. 1 … votesPerFrameMax(n) of them. */
export interface Votes {
  readonly type: "votes";
  readonly epoch: Epoch;
  readonly sender: ReplicaId;
  readonly votes: readonly Vote[];
}

/** CHECKPOINT ⟨n, root⟩: the state after executing n is durable; root is the hash of block n, which covers it. */
export interface Checkpoint {
  readonly type: "checkpoint";
  readonly epoch: Epoch;
  readonly sender: ReplicaId;
  readonly seq: SeqNum;
  readonly root: Digest;
}

/** VIEW-CHANGE ⟨v′, h, C, P⟩: sender has left every view below `view`. */
export interface ViewChange {
  readonly type: "view-change";
  readonly epoch: Epoch;
  readonly sender: ReplicaId;
  /** The view to move to, v′ ≥ 1. */
  readonly view: View;
  readonly stable: StableCheckpoint;
  /** At most one per sequence number in (h, h+L], ascending. */
  readonly prepared: readonly PreparedCertificate[];
}

/** NEW-VIEW ⟨v′, V, O⟩: Q view changes and the pre-prepares of v′ that follow from them. */
export interface NewView {
  readonly type: "new-view";
  readonly epoch: Epoch;
  readonly sender: ReplicaId;
  readonly view: View;
  /** Ascending by sender. */
  readonly viewChanges: readonly Signed<ViewChange>[];
  /** O, one for each sequence number in (min-s, max-s], ascending. */
  readonly prePrepares: readonly Signed<PrePrepare>[];
}

/** One signature per batch and replica: executing slot `seq` gave the block with this hash. The basis of replies and receipts. */
export interface Outcome {
  readonly type: "outcome";
  readonly epoch: Epoch;
  readonly sender: ReplicaId;
  readonly seq: SeqNum;
  /** Hash of the {@link BlockHeader}. */
  readonly block: Digest;
}

export type SignedBody = PrePrepare | Votes | Checkpoint | ViewChange | NewView | Outcome;

// ── blocks ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** What executing a slot gave. Every slot, a null batch too, is a block; its hash chains to the genesis block (seq 0). */
export interface BlockHeader {
  readonly seq: SeqNum;
  /** Hash of the header of seq − 1; NULL_DIGEST for genesis. */
  readonly parent: Digest;
  /** Execution time: the batch's timestamp, raised to the parent's if lower. Unix milliseconds. */
  readonly timestampMs: number;
  readonly batchDigest: Digest;
  /** Merkle root (RFC 6962) over bundle digests: the transaction root. */
  readonly bundleRoot: Digest;
  /** Merkle root (RFC 6962) over result leaves, one per bundle: bundle digest ‖ SHA-256 of its encoded results. */
  readonly resultRoot: Digest;
  /** Merkle root of the whole replicated state (application, sessions, configuration) after this slot. */
  readonly stateRoot: Digest;
}

// ── certificates ─────────────────────────────────────────────────────────────────────────────────────────────────

export interface VoteRef {
  readonly frame: Signed<Votes>;
  readonly index: number;
}

/** PRE-PREPARE plus Q−1 matching PREPAREs of distinct backups: at most one digest can have it per (view, seq). */
export interface PreparedCertificate {
  readonly prePrepare: Signed<PrePrepare>;
  readonly prepares: readonly VoteRef[];
}

/** Q matching COMMITs: proof that `digest` is decided at `seq`, whoever shows it. */
export interface CommitCertificate {
  readonly view: View;
  readonly seq: SeqNum;
  readonly digest: Digest;
  readonly commits: readonly VoteRef[];
}

/** Q matching CHECKPOINTs; `proof` is empty at genesis (seq 0) only. */
export interface StableCheckpoint {
  readonly seq: SeqNum;
  readonly root: Digest;
  readonly proof: readonly Signed<Checkpoint>[];
}

// ── between replicas ─────────────────────────────────────────────────────────────────────────────────────────────

/**
 * STATUS: where the sender stands, so that peers can retransmit what it lacks. Unsigned: the channel names the sender,
 * and every answer is self-certifying.
 */
export interface Status {
  readonly view: View;
  /** False while the sender has left `view − 1` and waits for NEW-VIEW of `view`. */
  readonly active: boolean;
  readonly stableSeq: SeqNum;
  /** Highest slot executed, or the checkpoint whose state is being fetched when that is higher: what follows is what the sender needs. */
  readonly executedSeq: SeqNum;
  /** For slots executedSeq+1 …: bit 0 has the pre-prepare and payload, bit 1 prepared, bit 2 committed. At most STATUS_SLOTS_MAX. */
  readonly slots: Uint8Array;
  /** While inactive: bit r of byte ⌊r/8⌋ is set when the sender holds the view change of replica r for `view`. */
  readonly viewChanges: Uint8Array;
}

export type PeerMessage =
  | { readonly type: "pre-prepare"; readonly signed: Signed<PrePrepare>; readonly batch: Batch }
  | CompactPrePrepare
  | { readonly type: "votes"; readonly signed: Signed<Votes> }
  | { readonly type: "checkpoint"; readonly signed: Signed<Checkpoint> }
  | { readonly type: "view-change"; readonly signed: Signed<ViewChange> }
  | { readonly type: "new-view"; readonly signed: Signed<NewView> }
  | { readonly type: "status"; readonly status: Status }
  /** A backup relays a client's bundle to the primary; or the answer to fetch-bundles. */
  | { readonly type: "forward"; readonly bundle: Bundle }
  | { readonly type: "fetch-batch"; readonly digest: Digest }
  | FetchBundles
  /** Answer to fetch-batch: content-addressed, its client signatures were not judged again (they are certified). */
  | { readonly type: "batch"; readonly batch: Batch }
  /** COMMIT-PROOF with payload: a decided slot, for a replica that is behind. No batch exactly when the digest is NULL_DIGEST. */
  | { readonly type: "decision"; readonly certificate: CommitCertificate; readonly batch: Batch | undefined }
  | { readonly type: "stable"; readonly stable: StableCheckpoint }
  /** After a restart, before the first word: what did I say? `nonce` is new at every start, `view` is where the sender's memory ends. */
  | { readonly type: "recall"; readonly nonce: Digest; readonly view: View }
  | { readonly type: "recalled"; readonly recalled: Recalled };

/**
 * PRE-PREPARE that names large bundles by their digests, in place of carrying them: their clients send them to every replica. The
 * batch digest covers bundle digests only, so this binds each of them. The receiver's shell completes it to a pre-prepare.
 */
export interface CompactPrePrepare {
  readonly type: "compact-pre-prepare";
  readonly signed: Signed<PrePrepare>;
  readonly timestampMs: number;
  /** In the order of the batch; at least one is a digest. */
  readonly bundles: readonly (Bundle | Digest)[];
}

/** Asks for bundles of the batch `digest`, proposed for `seq`; each answer is one bundle. 1 … BUNDLES_PER_FETCH_MAX of them. */
export interface FetchBundles {
  readonly type: "fetch-bundles";
  readonly seq: SeqNum;
  readonly digest: Digest;
  readonly bundles: readonly Digest[];
}

/** Answer to RECALL. View and seq are claims, fresh because of the nonce; what is signed by the asker is proof of what it said. */
export interface Recalled {
  readonly nonce: Digest;
  /** False while the sender does not trust its own memory: then its view and seq count for nothing. */
  readonly sure: boolean;
  /** Where the sender stands: it has left every view below. */
  readonly view: View;
  /** Highest slot the sender executed, or knows to be covered by a certified checkpoint. */
  readonly seq: SeqNum;
  /** Vote frames and pre-prepares of the asker in its `view` or later, the highest slots first. At most RECALL_FRAMES_MAX of each. */
  readonly votes: readonly Signed<Votes>[];
  readonly prePrepares: readonly Signed<PrePrepare>[];
  /** One of the asker for a view later than its `view`. */
  readonly viewChange: Signed<ViewChange> | undefined;
  /** The highest certified checkpoint that the sender knows: what it heard of slots up to there it has forgotten. */
  readonly stable: StableCheckpoint;
}

// ── state transfer ───────────────────────────────────────────────────────────────────────────────────────────────

/** What a replica asks a donor for, about the state as of a checkpoint. Indexes ascend; at most NODES_PER_FETCH_MAX or PAGES_PER_FETCH_MAX. */
export type StatePart =
  /** The header of the checkpoint's block, and the top of the tree. */
  | { readonly kind: "header" }
  /** The children of nodes of one level ≥ 1. */
  | { readonly kind: "nodes"; readonly level: number; readonly indexes: readonly number[] }
  /** Pages by bucket. `offset` > 0 goes on with one large page. */
  | { readonly kind: "pages"; readonly indexes: readonly number[]; readonly offset: number };

/** A page, or a part of a large one: `bytes` of `size` at `offset`. A part travels alone. */
export interface StatePage {
  readonly bucket: number;
  readonly size: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/**
 * Between the shells of two replicas; no engine sees them. Nobody is trusted: every answer is checked against a hash that a
 * certified checkpoint leads to. An answer covers a prefix of what was asked for, of at least one element.
 */
export type StateMessage =
  | { readonly type: "fetch-state"; readonly seq: SeqNum; readonly part: StatePart }
  | { readonly type: "state-header"; readonly header: BlockHeader; readonly bits: number; readonly top: Uint8Array }
  | {
      readonly type: "state-nodes";
      readonly seq: SeqNum;
      readonly level: number;
      /** Ascending; `children` holds 1 … 16 hashes of 32 bytes. */
      readonly nodes: readonly { readonly index: number; readonly children: Uint8Array }[];
    }
  | { readonly type: "state-pages"; readonly seq: SeqNum; readonly pages: readonly StatePage[] }
  /** The checkpoint is not, or no longer, here; `oldest` is the oldest one that is (0: none). A hint. */
  | { readonly type: "state-gone"; readonly seq: SeqNum; readonly oldest: SeqNum }
  /** For a block from before a state that was taken over, from byte `offset` on. */
  | { readonly type: "fetch-block"; readonly seq: SeqNum; readonly offset: number }
  /** A part of the encoded block, `bytes` of `size` at `offset`; size 0: it is not here. */
  | { readonly type: "block-part"; readonly seq: SeqNum; readonly size: number; readonly offset: number; readonly bytes: Uint8Array };

export const isStateMessage = (message: PeerMessage | StateMessage): message is StateMessage => {
  switch (message.type) {
    case "fetch-state":
    case "state-header":
    case "state-nodes":
    case "state-pages":
    case "state-gone":
    case "fetch-block":
    case "block-part":
      return true;
    default:
      return false;
  }
};

// ── between client and replica ───────────────────────────────────────────────────────────────────────────────────

/** Answer to one bundle. Valid when leaf → header.resultRoot and hash(header) = outcome.block; W matching ones are proof. */
export interface Reply {
  readonly client: ClientId;
  /** The bundle this answers. */
  readonly bundleDigest: Digest;
  /** Hint for the client: the sender's current view. */
  readonly view: View;
  readonly header: BlockHeader;
  readonly outcome: Signed<Outcome>;
  /** Place of the bundle in the batch, and number of bundles in it. */
  readonly leafIndex: number;
  readonly leafCount: number;
  /** Audit path, RFC 6962 order (lowest first). */
  readonly path: readonly Uint8Array[];
  /** One per operation of the bundle, in order: a status byte, then msgpack. */
  readonly results: readonly Uint8Array[];
  /** Of a decoded reply: the checked encoding of `results`, which are made from it when they are first read. Most replies only confirm another one. */
  readonly resultsBytes?: Uint8Array;
}

export type ClientMessage =
  | { readonly type: "request"; readonly bundle: Bundle }
  /** Control calls (status, blocks): msgpack, answered by this replica alone. */
  | { readonly type: "call"; readonly id: number; readonly method: string; readonly params: Uint8Array };

export type ReplicaToClientMessage =
  | { readonly type: "reply"; readonly reply: Reply }
  /** The replica will not order this bundle; a hint, not a certified answer. */
  | { readonly type: "refused"; readonly bundleDigest: Digest; readonly code: string; readonly detail: string }
  /**
   * The bundle was executed in block `seq`, at this place, and the state here includes it; the block itself is not held, since
   * the state was transferred. No proof of a result, but one of the Q that a client with fast reads waits for.
   */
  | { readonly type: "executed"; readonly bundleDigest: Digest; readonly seq: SeqNum; readonly leafIndex: number }
  | { readonly type: "call-result"; readonly id: number; readonly ok: boolean; readonly value: Uint8Array };
