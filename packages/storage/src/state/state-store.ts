/**
 * The authenticated state. Keys are spread over 2^bits pages by their hash; a tree of hashes over the pages gives the
 * root. Everything since the last checkpoint lives in memory, a checkpoint writes it in one batch: after a crash the state
 * is exactly that of the last durable checkpoint.
 */
import { NarsesError, bytesEqual, type BlockHeader, type Digest, type Hasher, type SeqNum, type StateStore } from "@narses/core";
import { compareUtf8 } from "../bytes.ts";
import type { StateAnchor } from "./anchor.ts";
import type { StateBackend } from "./backend.ts";
import { CheckpointWriter, pageCorrupt, type StateCheckpoint } from "./checkpoint.ts";
import { dropStaged } from "./install.ts";
import { MemoryBackend } from "./memory-backend.ts";
import { encodeMeta } from "./meta.ts";
import {
  STATE_PAGE_BYTES_MAX, STATE_VALUE_BYTES_MAX,
  bucketOf, checkKey, checkWellFormed, decodePage, emptyPage, encodePage, findKey, getValue, growth, setValue, type Page,
} from "./page.ts";
import { PageCache } from "./page-cache.ts";
import { makeProof, type StateProof } from "./proof.ts";
import { readState, type Opened } from "./read-state.ts";
import { openStaging, type StateStaging } from "./staging.ts";
import { FAN_OUT_BITS, leafHash, type HashTree } from "./tree.ts";

/** Unchanged pages kept in memory, roughly; beyond it the least recently used is forgotten, and read again when needed. */
export const CACHE_BYTES_DEFAULT: number = 64 << 20;
/** Keys that one call of `keys` gives, at most. */
export const KEYS_LIMIT_MAX = 65_536;
/** Keys whose bucket is remembered, at most; then all are forgotten. */
const BUCKETS_REMEMBERED_MAX = 16_384;

export interface AuthenticatedState extends StateStore {
  readonly bucketBits: number;
  /** No checkpoint was ever made: `durableSeq` is 0 but not even genesis is durable. */
  readonly fresh: boolean;
  /** The last two durable checkpoints, oldest first. */
  readonly checkpoints: readonly StateCheckpoint[];
  /** Proof of the value, or the absence, of `key` under `root()`. */
  prove(key: string): StateProof;
  /** The block header the durable state was fetched with; undefined once a checkpoint of its own execution follows. */
  readonly anchor: StateAnchor | undefined;
  /** Where another state is put together, to take the place of this one. No checkpoint may be begun until it does. */
  stage(): Promise<StateStaging>;
  /** Removes what an earlier attempt staged and nobody took up. Nothing may be staging. */
  unstage(): Promise<void>;
}

export interface StateOptions {
  readonly hasher: Hasher;
  /** log2 of the number of pages, 4 … 20; part of the root, so all replicas of a cluster must agree. Fixed by the first checkpoint. */
  readonly bucketBits?: number;
  /** Unchanged pages kept in memory, roughly. */
  readonly cacheBytes?: number;
}

interface Undo {
  readonly key: string;
  readonly value: Uint8Array | undefined;
}

class State implements AuthenticatedState {
  readonly bucketBits: number;
  readonly #hasher: Hasher;
  readonly #backend: StateBackend;
  readonly #cacheBytes: number;
  #tree: HashTree;
  #cache: PageCache;
  readonly #writer: CheckpointWriter;
  readonly #buckets: Map<string, number> = new Map();
  /** Pages changed since the last `root()`. */
  #unhashed: Set<Page> = new Set();
  /** Since the last freeze: encoded pages as of their last hash, and keys that came or went. */
  #encoded: Map<number, Uint8Array> = new Map();
  #keyChanges: Map<string, boolean> = new Map();
  #undo: Undo[] | undefined;
  #root: Digest;
  #durableSeq: SeqNum;
  #fresh: boolean;
  /** Slot of the newest checkpoint begun; −1 before the first. */
  #frozenSeq: number;
  #anchor: StateAnchor | undefined;
  /** Tree of the newest checkpoint begun. */
  #frozenTree: HashTree;
  /** Tree of the durable state; shared with the newest checkpoint kept. */
  #durableTree: HashTree;
  /** Another state is taking the place of this one. */
  #switching = false;
  #closed = false;

  constructor(options: StateOptions, backend: StateBackend, opened: Opened) {
    this.#hasher = options.hasher;
    this.#backend = backend;
    this.#tree = opened.tree;
    this.bucketBits = opened.tree.bits;
    this.#cacheBytes = options.cacheBytes ?? CACHE_BYTES_DEFAULT;
    this.#cache = new PageCache(2 ** this.bucketBits, this.#cacheBytes);
    this.#writer = new CheckpointWriter(options.hasher, backend);
    this.#root = opened.root;
    this.#durableSeq = opened.durableSeq;
    this.#fresh = opened.fresh;
    this.#frozenSeq = opened.fresh ? -1 : opened.durableSeq;
    this.#anchor = opened.anchor;
    this.#durableTree = opened.tree.copy();
    this.#frozenTree = this.#durableTree;
    if (!opened.fresh) this.#writer.keep({ seq: opened.durableSeq, root: opened.root, tree: this.#durableTree });
  }

  get anchor(): StateAnchor | undefined {
    return this.#anchor;
  }

  get durableSeq(): SeqNum {
    return this.#durableSeq;
  }

  get fresh(): boolean {
    return this.#fresh;
  }

  get checkpoints(): readonly StateCheckpoint[] {
    return this.#writer.kept;
  }

  /** The value itself, not a copy: it must not be changed. */
  get(key: string): Uint8Array | undefined {
    return getValue(this.#page(key), key);
  }

  put(key: string, value: Uint8Array): void {
    if (value.length > STATE_VALUE_BYTES_MAX) {
      throw new RangeError(`a state value has at most ${STATE_VALUE_BYTES_MAX} bytes, got ${value.length}`);
    }
    // A copy that shares nothing: encoders hand out views of buffers they use again.
    this.#set(key, new Uint8Array(value));
  }

  delete(key: string): void {
    this.#set(key, undefined);
  }

  begin(): void {
    this.#checkNoTransaction("begin");
    this.#undo = [];
  }

  commit(): void {
    this.#takeUndo("commit");
  }

  rollback(): void {
    const undo = this.#takeUndo("rollback");
    for (const { key, value } of undo.reverse()) this.#set(key, value);
  }

  root(): Digest {
    this.#checkNoTransaction("root");
    if (this.#unhashed.size === 0) return this.#root;
    for (const page of this.#unhashed) {
      const bytes = encodePage(page);
      this.#encoded.set(page.bucket, bytes);
      this.#tree.setLeaf(page.bucket, leafHash(this.#hasher, bytes));
    }
    this.#unhashed.clear();
    this.#root = this.#tree.root();
    return this.#root;
  }

  async checkpoint(seq: SeqNum, after?: Promise<void>): Promise<Digest> {
    if (seq <= this.#frozenSeq) throw new RangeError(`checkpoint ${seq} must be above the last one, ${this.#frozenSeq}`);
    this.#writer.check();
    const root = this.root();
    const tree = this.#tree.copy();
    const pages = this.#changedPages(tree);
    const leaves = new Map<number, Uint8Array>();
    for (const bucket of pages.keys()) {
      const parent = bucket >>> FAN_OUT_BITS;
      if (!leaves.has(parent)) leaves.set(parent, tree.children(1, parent));
    }
    const write = { records: new Map([["meta" as const, encodeMeta({ bits: this.bucketBits, seq, root })]]), pages, leaves, keys: this.#keyChanges };
    this.#encoded = new Map();
    this.#keyChanges = new Map();
    this.#cache.freeze();
    this.#frozenSeq = seq;
    this.#frozenTree = tree;
    await this.#writer.write({ seq, root, tree, write }, after);
    this.#durableSeq = seq;
    this.#durableTree = tree;
    this.#anchor = undefined;
    this.#fresh = false;
    return root;
  }

  async keys(prefix: string, limit: number): Promise<readonly string[]> {
    if (!Number.isSafeInteger(limit) || limit < 1 || limit > KEYS_LIMIT_MAX) {
      throw new RangeError(`limit must be an integer from 1 to ${KEYS_LIMIT_MAX}, got ${limit}`);
    }
    checkWellFormed(prefix);
    const changes = new Map<string, boolean>();
    for (const layer of [...this.#writer.keyChanges(), this.#keyChanges]) {
      for (const [key, present] of layer) if (key.startsWith(prefix)) changes.set(key, present);
    }
    // Of the durable keys at most `changes.size` are gone, so this many are enough.
    const durable = await this.#backend.keys(prefix, limit + changes.size);
    const found = durable.filter((key) => !changes.has(key));
    for (const [key, present] of changes) if (present) found.push(key);
    return found.sort(compareUtf8).slice(0, limit);
  }

  prove(key: string): StateProof {
    this.root();
    const page = this.#page(key);
    return makeProof(this.#tree, page.bucket, encodePage(page));
  }

  async stage(): Promise<StateStaging> {
    await this.#writer.idle();
    return openStaging({
      hasher: this.#hasher, backend: this.#backend, live: this.#durableTree,
      onSwitch: () => void (this.#switching = true),
      onInstalled: (tree, header, blocksKept) => this.#switchTo(tree, { header, blocksKept }),
    });
  }

  async unstage(): Promise<void> {
    const buckets: number[] = [];
    for await (const [bucket] of this.#backend.staged()) buckets.push(bucket);
    await dropStaged(this.#backend, buckets);
  }

  async #switchTo(tree: HashTree, anchor: StateAnchor): Promise<void> {
    const { seq, stateRoot }: BlockHeader = anchor.header;
    await this.#writer.drop();
    this.#tree = tree;
    this.#durableTree = tree.copy();
    this.#frozenTree = this.#durableTree;
    this.#cache = new PageCache(2 ** this.bucketBits, this.#cacheBytes);
    this.#unhashed = new Set();
    this.#encoded = new Map();
    this.#keyChanges = new Map();
    this.#undo = undefined;
    this.#root = stateRoot;
    this.#durableSeq = seq;
    this.#frozenSeq = seq;
    this.#fresh = false;
    this.#anchor = anchor;
    this.#writer.keep({ seq, root: stateRoot, tree: this.#durableTree });
    this.#switching = false;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#writer.close();
    await this.#backend.close();
  }

  #bucket(key: string): number {
    const known = this.#buckets.get(key);
    if (known !== undefined) return known;
    checkKey(key);
    const bucket = bucketOf(this.#hasher, key, this.bucketBits);
    if (this.#buckets.size >= BUCKETS_REMEMBERED_MAX) this.#buckets.clear();
    this.#buckets.set(key, bucket);
    return bucket;
  }

  #page(key: string): Page {
    if (this.#switching) throw new NarsesError("UNAVAILABLE", "another state is being put in place: ask again later");
    const bucket = this.#bucket(key);
    const held = this.#cache.get(bucket);
    if (held !== undefined) return held;
    const page = this.#load(bucket);
    this.#cache.add(page);
    return page;
  }

  /** A page that is not in memory has not changed since it was hashed, so its leaf says what it must be. */
  #load(bucket: number): Page {
    if (!this.#tree.hasPage(bucket)) return emptyPage(bucket);
    const bytes = this.#writer.page(bucket) ?? this.#backend.page(bucket);
    const intact = bytes !== undefined && bytesEqual(leafHash(this.#hasher, bytes), this.#tree.node(0, bucket));
    const page = intact ? decodePage(bucket, bytes) : undefined;
    if (page === undefined) throw pageCorrupt(this.#backend.name, bucket);
    return page;
  }

  #set(key: string, value: Uint8Array | undefined): void {
    const page = this.#page(key);
    const at = findKey(page, key);
    const before = at < 0 ? undefined : page.values[at];
    if (before === value || (before !== undefined && value !== undefined && bytesEqual(before, value))) return;
    const bytes = growth(page, key, before?.length, value?.length);
    if (page.bytes + bytes > STATE_PAGE_BYTES_MAX) {
      throw new RangeError(`page ${page.bucket} of the state would exceed ${STATE_PAGE_BYTES_MAX} bytes with key ${JSON.stringify(key)}`);
    }
    this.#undo?.push({ key, value: before });
    this.#cache.markDirty(page.bucket);
    this.#unhashed.add(page);
    setValue(page, { key, at, value, growth: bytes });
    if ((before === undefined) === (value === undefined)) return;
    // What came and went (or went and came back) since the last freeze is no change.
    if (!this.#keyChanges.delete(key)) this.#keyChanges.set(key, value !== undefined);
  }

  /** Encoded pages that are not as they were at the last freeze: most kept replies are acknowledged before they are ever written. */
  #changedPages(tree: HashTree): Map<number, Uint8Array> {
    const changed = new Map<number, Uint8Array>();
    for (const [bucket, bytes] of this.#encoded) {
      if (!bytesEqual(tree.node(0, bucket), this.#frozenTree.node(0, bucket))) changed.set(bucket, bytes);
    }
    return changed;
  }

  #checkNoTransaction(what: string): void {
    if (this.#undo !== undefined) throw new TypeError(`${what}: a transaction is open, commit or roll it back first`);
  }

  #takeUndo(what: string): Undo[] {
    const undo = this.#undo;
    if (undo === undefined) throw new TypeError(`${what}: no transaction is open`);
    this.#undo = undefined;
    return undo;
  }
}

/** Opens or makes the state over any place that keeps pages. @throws NarsesError DATA_CORRUPT, DATA_VERSION, CONFIG_INVALID (other bucket bits). */
export async function openStateOver(options: StateOptions, backend: StateBackend): Promise<AuthenticatedState> {
  try {
    return new State(options, backend, await readState(options, backend));
  } catch (error) {
    await backend.close();
    throw error;
  }
}

export interface MemoryState extends AuthenticatedState {
  /** The state as reopened after a crash: that of the last durable checkpoint. */
  reopen(): Promise<MemoryState>;
}

/** The same store over maps in memory. */
export async function memoryStateStore(options: StateOptions): Promise<MemoryState> {
  return reopenable(options, new MemoryBackend());
}

async function reopenable(options: StateOptions, backend: MemoryBackend): Promise<MemoryState> {
  return Object.assign(await openStateOver(options, backend), { reopen: () => reopenable(options, backend.fork()) });
}
