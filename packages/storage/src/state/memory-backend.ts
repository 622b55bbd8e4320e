/** The state in maps: what a checkpoint wrote stays, as if on a disk, for the next store opened over it. */
import { compareUtf8 } from "../bytes.ts";
import type { BackendSnapshot, CheckpointWrite, StateBackend } from "./backend.ts";

export class MemoryBackend implements StateBackend {
  readonly name = "memory";
  #meta: Uint8Array | undefined;
  #pages: ReadonlyMap<number, Uint8Array> = new Map();
  #leaves: Map<number, Uint8Array> = new Map();
  #keys: Set<string> = new Set();

  /** What is durable now, out of reach of writes that the old store has still under way. */
  fork(): MemoryBackend {
    const fork = new MemoryBackend();
    fork.#meta = this.#meta;
    fork.#pages = this.#pages;
    fork.#leaves = new Map(this.#leaves);
    fork.#keys = new Set(this.#keys);
    return fork;
  }

  meta(): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.#meta);
  }

  async *leaves(): AsyncGenerator<readonly [number, Uint8Array]> {
    yield* this.#leaves;
  }

  page(bucket: number): Uint8Array | undefined {
    return this.#pages.get(bucket);
  }

  write({ meta, pages, leaves, keys }: CheckpointWrite): Promise<void> {
    const merged = new Map([...this.#pages, ...pages]);
    for (const [bucket, page] of pages) if (page.length === 0) merged.delete(bucket);
    this.#pages = merged; // snapshots keep the map they were made with
    for (const [parent, hashes] of leaves) this.#leaves.set(parent, hashes);
    for (const [key, present] of keys) {
      if (present) this.#keys.add(key);
      else this.#keys.delete(key);
    }
    this.#meta = meta;
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
