/**
 * What a replica keeps: its votes (write-ahead log), the authenticated state, its blocks; each on disk or in memory, and
 * the lock on the directory that holds them.
 */
export { lockDataDirectory, type DataDirectory, type Identity } from "./data-directory.ts";
export type { File, FileSystem } from "./files/file-system.ts";
export { MemoryFileSystem, type DiskOperation, type MemoryFileSystemOptions } from "./files/memory-file-system.ts";
export { nodeFileSystem } from "./files/node-file-system.ts";

export {
  APPEND_BYTES_MAX, LOG_BYTES_MAX_DEFAULT, openVoteLog, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MIN, type SegmentedVoteLog, type VoteLogOptions,
} from "./votes/vote-log.ts";
export { lsnOf } from "./votes/record.ts";
export { memoryVoteLog, type MemoryVoteLog } from "./votes/memory-vote-log.ts";

export {
  CACHE_BYTES_DEFAULT, KEYS_LIMIT_MAX, memoryStateStore, type AuthenticatedState, type MemoryState, type StateOptions,
} from "./state/state-store.ts";
export { openStateStore, type StateStoreOptions } from "./state/level-state-store.ts";
export { CHECKPOINTS_IN_FLIGHT_MAX, CHECKPOINTS_KEPT, type StateCheckpoint } from "./state/checkpoint.ts";
export {
  BUCKET_BITS_DEFAULT, BUCKET_BITS_MAX, BUCKET_BITS_MIN, STATE_KEY_BYTES_MAX, STATE_PAGE_BYTES_MAX, STATE_VALUE_BYTES_MAX,
} from "./state/page.ts";
export { differingBuckets, firstDifferingKey, verifyProof, type ProofVerdict, type StateProof } from "./state/proof.ts";
export type { StateAnchor } from "./state/anchor.ts";
export { FetchPlan, isTop, type FetchPiece, type FetchPlanOptions } from "./state/fetch-plan.ts";
export type { StateStaging } from "./state/staging.ts";
export type { HashTree, TreeNodes } from "./state/tree.ts";

export type { BlockCodec } from "./blocks/block-value.ts";
export { BLOCKS_WAITING_BYTES_MAX, openBlockStore, type BlockStoreOptions } from "./blocks/level-block-store.ts";
export { memoryBlockStore, type MemoryBlockStore } from "./blocks/memory-block-store.ts";
