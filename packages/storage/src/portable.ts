/**
 * What of this package runs without LevelDB: the vote log and the superblock over any `FileSystem`, the state over any
 * `StateBackend`, and the stores in memory. For simulators, and for code that must not load a native module.
 */
export type { File, FileSystem } from "./files/file-system.ts";
export { MemoryFileSystem, type DiskOperation } from "./files/memory-file-system.ts";
export { openVoteLog, SEGMENT_BYTES_MIN, type SegmentedVoteLog, type VoteLogOptions } from "./votes/vote-log.ts";
export { openStateOver, type AuthenticatedState, type StateOptions } from "./state/state-store.ts";
export type { StateCheckpoint } from "./state/checkpoint.ts";
export { FetchPlan, isTop, type FetchPiece } from "./state/fetch-plan.ts";
export { firstDifferingKey } from "./state/proof.ts";
export type { StateStaging } from "./state/staging.ts";
export { STATE_VALUE_BYTES_MAX } from "./state/page.ts";
export type { BackendSnapshot, StateBackend, StateWrite } from "./state/backend.ts";
export { MemoryBackend } from "./state/memory-backend.ts";
export { memoryBlockStore, type MemoryBlockStore } from "./blocks/memory-block-store.ts";
export { createSuperblock, readSuperblock, superblockExists, updateSuperblock, type Superblock } from "./superblock.ts";
