/** The state in maps: what was written stays, as if on a disk, for the next store opened over it. */
import { compareUtf8 } from "../bytes.ts";
import type { BackendSnapshot, RecordKind, StateBackend, StateWrite } from "./backend.ts";

const ascending = (map: ReadonlyMap<number, Uint8Array>): readonly (readonly [number, Uint8Array])[] => [...map].sort(([a], [b]) => a - b);

export class MemoryBackend implements StateBackend {
  readonly name = "memory";
  #records: Map<RecordKind, Uint8Array> = new Map();
  #pages: ReadonlyMap<number, Uint8Array> = new Map();
  #leaves: Map<number, Uint8Array> = new Map();
  #staged: Map<number, Uint8Array> = new Map();
  #keys: Set<string> = new Set();

  /** What is durable now, out of reach of writes that the old store has still under way. */
  fork(): MemoryBackend {
    const fork = new MemoryBackend();
    fork.#records = new Map(this.#records);
    fork.#pages = this.#pages;
    fork.#leaves = new Map(this.#leaves);
    fork.#staged = new Map(this.#staged);
    fork.#keys = new Set(this.#keys);
    return fork;
  }

  record(kind: RecordKind): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.#records.get(kind));
  }

  async *leaves(): AsyncGenerator<readonly [number, Uint8Array]> {
    yield* ascending(this.#leaves);
  }

  async *staged(): AsyncGenerator<readonly [number, Uint8Array]> {
    yield* ascending(this.#staged);
  }

  page(bucket: number): Uint8Array | undefined {
    return this.#pages.get(bucket);
  }

  write({ records = new Map(), pages = new Map(), leaves = new Map(), keys = new Map(), staged = new Map() }: StateWrite): Promise<void> {
    if (pages.size > 0) {
      const merged = new Map([...this.#pages, ...pages]);
      for (const [bucket, page] of pages) if (page.length === 0) merged.delete(bucket);
      this.#pages = merged; // snapshots keep the map they were made with
    }
    for (const [parent, hashes] of leaves) this.#leaves.set(parent, hashes);
    for (const [key, present] of keys) {
      if (present) this.#keys.add(key);
      else this.#keys.delete(key);
    }
    for (const [bucket, page] of staged) {
      if (page === undefined) this.#staged.delete(bucket);
      else this.#staged.set(bucket, page);
    }
    for (const [kind, value] of records) {
      if (value === undefined) this.#records.delete(kind);
      else this.#records.set(kind, value);
    }
    return Promise.resolve();
  }

  snapshot(): BackendSnapshot {
    const pages = this.#pages;
    return { page: (bucket) => Promise.resolve(pages.get(bucket)), close: () => Promise.resolve() };
  }

  keys(prefix: string, limit: number): Promise<readonly string[]> {
    const found = [...this.#keys].filter((key) => key.startsWith(prefix)).sort(compareUtf8);
    return Promise.resolve(found.slice(0, limit));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
