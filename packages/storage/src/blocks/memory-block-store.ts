/** Blocks in maps, for tests and the simulator. */
import { NarsesError, type Block, type BlockGap, type BlockStore, type SeqNum } from "@narses/core";
import { checkNext } from "./block-value.ts";
import { withGap, withoutLast } from "./gaps.ts";

export interface MemoryBlockStore extends BlockStore {
  /** The store as reopened after a crash: what was put since the last sync is gone. */
  reopen(): MemoryBlockStore;
}

class MemoryBlocks implements MemoryBlockStore {
  readonly #blocks: Map<SeqNum, Block>;
  #durable: Map<SeqNum, Block>;
  #head: SeqNum | undefined;
  #gaps: readonly BlockGap[];
  #closed = false;

  constructor(durable: Map<SeqNum, Block>, gaps: readonly BlockGap[]) {
    this.#blocks = new Map(durable);
    this.#durable = durable;
    this.#gaps = gaps;
    this.#head = gaps.at(-1)?.last;
    for (const seq of durable.keys()) this.#head = this.#head === undefined || seq > this.#head ? seq : this.#head;
  }

  get gaps(): readonly BlockGap[] {
    return this.#gaps;
  }

  get head(): SeqNum | undefined {
    return this.#head;
  }

  put(block: Block): void {
    this.#check();
    const { seq } = block.header;
    checkNext(seq, this.#head);
    this.#blocks.set(seq, block);
    if (this.#head === undefined || seq > this.#head) this.#head = seq;
  }

  get(seq: SeqNum): Promise<Block | undefined> {
    return Promise.resolve(this.#blocks.get(seq));
  }

  async skip(kept: SeqNum, head: SeqNum): Promise<void> {
    this.#gaps = withGap(this.#gaps, kept, head);
    for (const seq of this.#blocks.keys()) if (seq > kept) this.#blocks.delete(seq);
    this.#head = head;
    await this.sync();
  }

  async fill(blocks: readonly Block[]): Promise<void> {
    this.#check();
    for (const block of blocks) {
      const { seq } = block.header;
      const gaps = withoutLast(this.#gaps, seq);
      if (gaps === undefined) continue;
      this.#gaps = gaps;
      this.#blocks.set(seq, block);
      this.#durable.set(seq, block);
    }
  }

  async sync(): Promise<void> {
    this.#check();
    this.#durable = new Map(this.#blocks);
  }

  async close(): Promise<void> {
    if (!this.#closed) await this.sync();
    this.#closed = true;
  }

  reopen(): MemoryBlockStore {
    return new MemoryBlocks(this.#durable, this.#gaps);
  }

  #check(): void {
    if (this.#closed) throw new NarsesError("CLOSED", "the block store was closed");
  }
}

export const memoryBlockStore = (): MemoryBlockStore => new MemoryBlocks(new Map(), []);
