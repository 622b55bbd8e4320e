/**
 * Sizes of the fixed layouts, and the largest size each message can have in a cluster: what a frame is measured against
 * before it is read. Every limit follows from n, the protocol parameters and the constants here and in `core`.
 */
import {
  BUNDLES_PER_FETCH_MAX, FRAME_BYTES_MAX, NODES_PER_FETCH_MAX, PAGES_PER_FETCH_MAX, RECALL_FRAMES_MAX, STATE_BITS_MAX, STATE_CHUNK_BYTES_MAX,
  STATUS_SLOTS_MAX, votesPerFrameMax, type Parameters,
} from "@narses/core";

export const DIGEST_BYTES = 32;
export const PUBLIC_KEY_BYTES = 32;
export const SIGNATURE_BYTES = 64;
/** version u8, tag u8, epoch u32. */
export const HEADER_BYTES = 6;
/** The header and the sender, u16. */
export const REPLICA_HEADER_BYTES = 8;

/** phase u8, view u64, seq u64, digest. */
export const VOTE_BYTES = 49;
/** view u64, seq u64, digest. */
export const PRE_PREPARE_BYTES: number = REPLICA_HEADER_BYTES + 16 + DIGEST_BYTES + SIGNATURE_BYTES;
/** seq u64, root. */
export const CHECKPOINT_BYTES: number = REPLICA_HEADER_BYTES + 8 + DIGEST_BYTES + SIGNATURE_BYTES;
/** count u8, votes. */
export const votesBytes = (count: number): number => REPLICA_HEADER_BYTES + 1 + count * VOTE_BYTES + SIGNATURE_BYTES;
/** frame u32, index u8. */
export const VOTE_REF_BYTES = 5;

/** kind u8, length u32. */
export const OPERATION_ENTRY_BYTES = 5;
/** public key, session u64, first rid u64, ack u64, count u16, and at least one operation. */
export const BUNDLE_BYTES_MIN: number = HEADER_BYTES + PUBLIC_KEY_BYTES + 24 + 2 + OPERATION_ENTRY_BYTES + SIGNATURE_BYTES;
/** timestamp u64, count u16. */
export const BATCH_HEADER_BYTES: number = HEADER_BYTES + 10;
/** Bundles in a batch: the count is a u16. No batch reaches it: 65 535 smallest bundles exceed the largest `batchBytesMax`. */
export const BATCH_BUNDLES_MAX = 0xffff;
/** seq u64, parent, timestamp u64, four more digests. */
export const BLOCK_HEADER_BYTES: number = 16 + 5 * DIGEST_BYTES;

/** Children of a node of the state tree, at most. */
export const STATE_FAN_OUT = 16;
/** Level of the top node of the largest state tree. */
export const STATE_LEVEL_MAX: number = Math.ceil(STATE_BITS_MAX / 4);
/** index u32, number of children u8. */
export const STATE_NODE_HEADER_BYTES = 5;
/** bucket u32, size u32, offset u32, length u32. */
export const STATE_PAGE_HEADER_BYTES = 16;

/** Encoded result of one operation, at most. An operation whose result is larger must fail, alike on every replica. */
export const RESULT_BYTES_MAX: number = 1 << 20;
/** Encoded results of one bundle together, at most: they travel in one reply. */
export const RESULTS_BYTES_MAX: number = 8 << 20;
/** Method name of a control call. */
export const METHOD_BYTES_MAX = 64;
/** Code of a refusal. */
export const REFUSAL_CODE_BYTES_MAX = 64;
/** Sentence of a refusal; longer ones are cut. */
export const REFUSAL_DETAIL_BYTES_MAX = 1_024;

/** Largest frame of each kind, in bytes. None is above FRAME_BYTES_MAX. */
export interface FrameLimits {
  /** Also of a compact one: what it names is larger than its name. */
  readonly prePrepare: number;
  readonly votes: number;
  readonly checkpoint: number;
  readonly viewChange: number;
  readonly newView: number;
  readonly bundle: number;
  readonly batch: number;
  readonly status: number;
  readonly fetchBatch: number;
  readonly fetchBundles: number;
  readonly decision: number;
  readonly stable: number;
  readonly fetchState: number;
  readonly stateHeader: number;
  readonly stateNodes: number;
  readonly statePages: number;
  readonly stateGone: number;
  readonly fetchBlock: number;
  readonly blockPart: number;
  readonly recall: number;
  readonly recalled: number;
  readonly call: number;
}

/**
 * With n replicas, L = logWindow, V = votesBytes(votesPerFrameMax(n)):
 * - stable checkpoint S = 42 + 112n: seq, root, count, n checkpoints
 * - frame table of k certificates T(k) = 4 + k·n·V: in the worst case every vote sits in a full frame of its own
 * - view change = 16 + S + T(L) + 4 + L·(120 + 2 + 5n) + 64
 * - new view = 16 + 2 + n·(view change) + 4 + 120·L + 64
 * - decision = 6 + 48 + T(1) + 2 + 5n + batch
 * - recalled = 58 + 64·(V + 120) + view change + S
 * each cut at FRAME_BYTES_MAX.
 */
export function frameLimits(n: number, p: Parameters): FrameLimits {
  const cut = (bytes: number): number => Math.min(bytes, FRAME_BYTES_MAX);
  const votes = votesBytes(votesPerFrameMax(n));
  const stable = 8 + DIGEST_BYTES + 2 + n * CHECKPOINT_BYTES;
  const frameTable = (certificates: number): number => 4 + certificates * n * votes;
  const batch = BATCH_HEADER_BYTES + 4 * Math.min(BATCH_BUNDLES_MAX, p.batchOperationsMax) + p.batchBytesMax;
  const prepared = 4 + p.logWindow * (PRE_PREPARE_BYTES + 2 + n * VOTE_REF_BYTES);
  const viewChange = REPLICA_HEADER_BYTES + 8 + stable + frameTable(p.logWindow) + prepared + SIGNATURE_BYTES;
  const newView = REPLICA_HEADER_BYTES + 8 + 2 + n * viewChange + 4 + p.logWindow * PRE_PREPARE_BYTES + SIGNATURE_BYTES;
  return {
    prePrepare: cut(HEADER_BYTES + PRE_PREPARE_BYTES + batch),
    votes,
    checkpoint: CHECKPOINT_BYTES,
    viewChange: cut(viewChange),
    newView: cut(newView),
    bundle: p.bundleBytesMax,
    batch: cut(batch),
    status: HEADER_BYTES + 25 + 2 + STATUS_SLOTS_MAX + 1 + Math.ceil(n / 8),
    fetchBatch: HEADER_BYTES + DIGEST_BYTES,
    fetchBundles: HEADER_BYTES + 8 + DIGEST_BYTES + 2 + BUNDLES_PER_FETCH_MAX * DIGEST_BYTES,
    decision: cut(HEADER_BYTES + 16 + DIGEST_BYTES + frameTable(1) + 2 + n * VOTE_REF_BYTES + batch),
    stable: HEADER_BYTES + stable,
    fetchState: HEADER_BYTES + 9 + 4 + 2 + 4 * Math.max(NODES_PER_FETCH_MAX, PAGES_PER_FETCH_MAX),
    stateHeader: HEADER_BYTES + BLOCK_HEADER_BYTES + 1 + DIGEST_BYTES,
    stateNodes: HEADER_BYTES + 8 + 1 + 2 + NODES_PER_FETCH_MAX * (STATE_NODE_HEADER_BYTES + STATE_FAN_OUT * DIGEST_BYTES),
    statePages: HEADER_BYTES + 8 + 2 + PAGES_PER_FETCH_MAX * STATE_PAGE_HEADER_BYTES + STATE_CHUNK_BYTES_MAX,
    stateGone: HEADER_BYTES + 16,
    fetchBlock: HEADER_BYTES + 12,
    blockPart: HEADER_BYTES + 16 + STATE_CHUNK_BYTES_MAX,
    recall: HEADER_BYTES + DIGEST_BYTES + 8,
    recalled: cut(HEADER_BYTES + DIGEST_BYTES + 20 + RECALL_FRAMES_MAX * (votes + PRE_PREPARE_BYTES) + viewChange + stable),
    call: cut(HEADER_BYTES + 9 + METHOD_BYTES_MAX + p.bundleBytesMax),
  };
}
