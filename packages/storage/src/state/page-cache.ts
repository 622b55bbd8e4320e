/**
 * Pages in memory. Changed pages stay until the next checkpoint freezes them; unchanged ones are kept up to a number of
 * bytes and dropped by second chance.
 */
import type { Page } from "./page.ts";

/** What a page costs besides its encoded bytes: objects, strings, typed arrays; a rough figure. */
const PAGE_OVERHEAD_BYTES = 256;
const ENTRY_OVERHEAD_BYTES = 160;

interface Slot {
  readonly page: Page;
  /** Changed since the last checkpoint. */
  dirty: boolean;
  /** Used since the hand last passed. */
  used: boolean;
  /** What it counts for while clean. */
  cost: number;
}

export class PageCache {
  readonly #bytesMax: number;
  readonly #slots: (Slot | undefined)[];
  readonly #dirty: Set<number> = new Set();
  /** Clean pages in the order the hand visits them. */
  readonly #clean: Map<number, Slot> = new Map();
  #cleanBytes = 0;

  constructor(buckets: number, bytesMax: number) {
    this.#bytesMax = bytesMax;
    this.#slots = new Array<Slot | undefined>(buckets);
  }

  get(bucket: number): Page | undefined {
    const slot = this.#slots[bucket];
    if (slot === undefined) return undefined;
    slot.used = true;
    return slot.page;
  }

  /** Adds a page that was just read; it stays at least until the next one is added. */
  add(page: Page): void {
    this.#evict();
    const slot: Slot = { page, dirty: false, used: true, cost: 0 };
    this.#slots[page.bucket] = slot;
    this.#keepClean(slot);
  }

  /** The page, which is held, is about to change. */
  markDirty(bucket: number): void {
    const slot = this.#slots[bucket];
    if (slot === undefined || slot.dirty) return;
    slot.dirty = true;
    this.#dirty.add(bucket);
    this.#clean.delete(bucket);
    this.#cleanBytes -= slot.cost;
  }

  /** The changed pages are part of a checkpoint: from now on they count as clean. */
  freeze(): void {
    for (const bucket of this.#dirty) {
      const slot = this.#slots[bucket];
      if (slot === undefined) continue;
      slot.dirty = false;
      this.#keepClean(slot);
    }
    this.#dirty.clear();
    this.#evict();
  }

  #keepClean(slot: Slot): void {
    const { page } = slot;
    slot.cost = PAGE_OVERHEAD_BYTES + page.bytes + page.keys.length * ENTRY_OVERHEAD_BYTES;
    this.#clean.set(page.bucket, slot);
    this.#cleanBytes += slot.cost;
  }

  #evict(): void {
    for (const [bucket, slot] of this.#clean) {
      if (this.#cleanBytes <= this.#bytesMax) return;
      this.#clean.delete(bucket);
      if (slot.used) {
        slot.used = false;
        this.#clean.set(bucket, slot); // to the end: the hand comes round once more
        continue;
      }
      this.#cleanBytes -= slot.cost;
      this.#slots[bucket] = undefined;
    }
  }
}
