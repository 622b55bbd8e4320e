/** What the state store needs of a place to keep pages: LevelDB in production, maps in memory for tests and simulators. */

/** Small records beside the pages: the state's own description, a fetched state that is being put in place, the one put in place last. */
export type RecordKind = "meta" | "install" | "anchor";

/** Entries without bytes (undefined) are removed. */
export interface StateWrite {
  readonly records?: ReadonlyMap<RecordKind, Uint8Array | undefined>;
  /** Encoded pages by bucket; no bytes: the page is gone. */
  readonly pages?: ReadonlyMap<number, Uint8Array>;
  /** Leaf hashes by level-1 node, 16 together. */
  readonly leaves?: ReadonlyMap<number, Uint8Array>;
  /** Keys that came (true) or went (false), for the ordered index. */
  readonly keys?: ReadonlyMap<string, boolean>;
  /** Pages fetched for another state, beside the live ones. An empty one says that the bucket becomes empty. */
  readonly staged?: ReadonlyMap<number, Uint8Array | undefined>;
}

/** The pages as of one checkpoint. */
export interface BackendSnapshot {
  page(bucket: number): Promise<Uint8Array | undefined>;
  close(): Promise<void>;
}

/** Every method throws, or rejects with, NarsesError: DISK_FAILED or DATA_CORRUPT. */
export interface StateBackend {
  /** For error messages. */
  readonly name: string;
  record(kind: RecordKind): Promise<Uint8Array | undefined>;
  leaves(): AsyncIterable<readonly [number, Uint8Array]>;
  page(bucket: number): Uint8Array | undefined;
  /** Staged pages as of the call, ascending by bucket. */
  staged(): AsyncIterable<readonly [number, Uint8Array]>;
  /** Resolves when all of it is durable; after a crash, all of it or nothing is there. */
  write(write: StateWrite): Promise<void>;
  /** As of the last `write` that resolved; none may be under way. */
  snapshot(): BackendSnapshot;
  /** Keys that begin with `prefix` in ascending byte order, as of the call. */
  keys(prefix: string, limit: number): Promise<readonly string[]>;
  close(): Promise<void>;
}
