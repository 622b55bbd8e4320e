/**
 * Checkpoints of the state: written in the background one after the other, while execution goes on; the last two stay
 * readable, so that a donor of state survives the next checkpoint while it serves.
 */
import { NarsesError, bytesEqual, type Digest, type Hasher, type SeqNum } from "@narses/core";
import { FETCH_STATE, dataCorrupt } from "../errors.ts";
import type { BackendSnapshot, StateBackend, StateWrite } from "./backend.ts";
import { bucketOf, checkKey } from "./page.ts";
import { makeProof, type StateProof } from "./proof.ts";
import { leafHash, type HashTree, type TreeNodes } from "./tree.ts";

export const CHECKPOINTS_KEPT = 2;
/** Frozen and not yet durable, at most; beyond it the disk is too slow for this replica (OVERLOADED). */
export const CHECKPOINTS_IN_FLIGHT_MAX = 8;

/** A durable state as it was at one slot: the seam for state transfer (nodes and pages) and for verified reads (proofs). */
export interface StateCheckpoint {
  readonly seq: SeqNum;
  readonly root: Digest;
  readonly nodes: TreeNodes;
  /**
   * The encoded page of a bucket, checked against its leaf; no bytes when it is empty.
   * @throws NarsesError CLOSED once two newer checkpoints exist, DATA_CORRUPT.
   */
  page(bucket: number): Promise<Uint8Array>;
  prove(key: string): Promise<StateProof>;
}

export interface FrozenState {
  readonly seq: SeqNum;
  readonly root: Digest;
  readonly tree: HashTree;
  readonly write: Required<Pick<StateWrite, "records" | "pages" | "leaves" | "keys">>;
}

export function pageCorrupt(store: string, bucket: number): NarsesError {
  return dataCorrupt(`page ${bucket} of state ${store} does not match its hash`, FETCH_STATE, { path: store, bucket });
}

class KeptCheckpoint implements StateCheckpoint {
  readonly seq: SeqNum;
  readonly root: Digest;
  readonly nodes: HashTree;
  readonly #hasher: Hasher;
  readonly #store: string;
  #snapshot: BackendSnapshot | undefined;

  constructor(frozen: Omit<FrozenState, "write">, hasher: Hasher, backend: StateBackend) {
    this.seq = frozen.seq;
    this.root = frozen.root;
    this.nodes = frozen.tree;
    this.#hasher = hasher;
    this.#store = backend.name;
    this.#snapshot = backend.snapshot();
  }

  async page(bucket: number): Promise<Uint8Array> {
    const leaf = this.nodes.node(0, bucket);
    if (this.#snapshot === undefined) {
      throw new NarsesError("CLOSED", `checkpoint ${this.seq} is no longer kept: ask for a newer one`, { seq: this.seq });
    }
    const page = (await this.#snapshot.page(bucket)) ?? new Uint8Array(0);
    if (!bytesEqual(leafHash(this.#hasher, page), leaf)) throw pageCorrupt(this.#store, bucket);
    return page;
  }

  async prove(key: string): Promise<StateProof> {
    checkKey(key);
    const bucket = bucketOf(this.#hasher, key, this.nodes.bits);
    return makeProof(this.nodes, bucket, await this.page(bucket));
  }

  async drop(): Promise<void> {
    const snapshot = this.#snapshot;
    this.#snapshot = undefined;
    await snapshot?.close();
  }
}

/** Writes frozen states in order and keeps the last ones readable. */
export class CheckpointWriter {
  readonly #hasher: Hasher;
  readonly #backend: StateBackend;
  /** Frozen and not yet durable, oldest first. */
  #queue: FrozenState[] = [];
  #kept: KeptCheckpoint[] = [];
  #last: Promise<void> = Promise.resolve();
  #failed: unknown;

  constructor(hasher: Hasher, backend: StateBackend) {
    this.#hasher = hasher;
    this.#backend = backend;
  }

  /** Oldest first. */
  get kept(): readonly StateCheckpoint[] {
    return this.#kept;
  }

  /** @throws NarsesError OVERLOADED when too many are under way, or what made an earlier one fail. */
  check(): void {
    if (this.#failed !== undefined) throw this.#failed;
    if (this.#queue.length >= CHECKPOINTS_IN_FLIGHT_MAX) {
      const { name } = this.#backend;
      const message = `${this.#queue.length} checkpoints of ${name} wait for the disk: execute no further until one is durable`;
      throw new NarsesError("OVERLOADED", message, { path: name });
    }
  }

  /** The newest bytes of a page that are frozen and perhaps not yet in the backend. */
  page(bucket: number): Uint8Array | undefined {
    return this.#queue.findLast(({ write }) => write.pages.has(bucket))?.write.pages.get(bucket);
  }

  /** Changes of the ordered index that are perhaps not yet in the backend, oldest first. */
  keyChanges(): readonly ReadonlyMap<string, boolean>[] {
    return this.#queue.map(({ write }) => write.keys);
  }

  /** Makes a state that was read from the backend available to donors. */
  keep(frozen: Omit<FrozenState, "write">): void {
    this.#kept.push(new KeptCheckpoint(frozen, this.#hasher, this.#backend));
  }

  /** Written once `after` has resolved. Resolves when `frozen`, and everything before it, is durable. */
  write(frozen: FrozenState, after?: Promise<void>): Promise<void> {
    this.#queue.push(frozen);
    const done = Promise.all([this.#last, after]).then(() => this.#writeOne(frozen));
    this.#last = done.catch((error: unknown) => {
      this.#failed ??= error;
    });
    return done;
  }

  async #writeOne(frozen: FrozenState): Promise<void> {
    if (this.#failed !== undefined) throw this.#failed;
    await this.#backend.write(frozen.write);
    this.#queue.shift();
    this.keep(frozen);
    while (this.#kept.length > CHECKPOINTS_KEPT) await this.#kept.shift()?.drop();
  }

  /** Resolves when no write is under way. @throws what made one fail. */
  async idle(): Promise<void> {
    await this.#last;
    if (this.#failed !== undefined) throw this.#failed;
  }

  /** Lets go of every checkpoint: the state they are of has been replaced. None may be under way. */
  async drop(): Promise<void> {
    const kept = this.#kept;
    this.#kept = [];
    for (const checkpoint of kept) await checkpoint.drop();
  }

  /** Waits for what is under way, then lets go of the snapshots. */
  async close(): Promise<void> {
    await this.#last;
    await this.drop();
  }
}
