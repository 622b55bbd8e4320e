/**
 * Blocks in LevelDB, for ever, under their slot (u64, big-endian), and the gaps between them under one zero byte. Every write is a synced batch: LevelDB keeps no promise
 * about an unsynced write once it has switched its log file. Batches go out by themselves when enough is waiting, so that
 * `sync` finds little left to do.
 */
import { NarsesError, seqNum, type Block, type BlockGap, type BlockStore, type SeqNum } from "@narses/core";
import { getU64, putU64 } from "../bytes.ts";
import { levelFailed, openLevel, plain, type Level } from "../level.ts";
import { blockCorrupt, checkNext, packBlock, unpackBlock, type BlockCodec } from "./block-value.ts";
import { decodeGaps, encodeGaps, inGap, withGap, withoutLast } from "./gaps.ts";

/** A batch is begun when this much waits. */
const BATCH_BYTES = 1 << 20;
/** Put and not yet durable, at most: beyond it the disk is too slow for this replica (OVERLOADED). */
export const BLOCKS_WAITING_BYTES_MAX: number = 512 << 20;
const WRITE_BUFFER_BYTES = 4 << 20;
/** Blocks are read by those who catch up, each once. */
const CACHE_BYTES = 1 << 20;

/** Sorts before every block. */
const GAPS = Uint8Array.of(0);

export interface BlockStoreOptions {
  /** Made when missing. Nothing but these blocks may be in it. */
  readonly directory: string;
  readonly codec: BlockCodec;
  /** The replica has run before: a directory without blocks is DATA_CORRUPT. For tools too, which must not make one. */
  readonly mustExist?: boolean;
}

function keyOf(seq: SeqNum): Uint8Array {
  const key = new Uint8Array(8);
  putU64(key, 0, seq);
  return key;
}

class LevelBlocks implements BlockStore {
  readonly #db: Level;
  readonly #directory: string;
  readonly #codec: BlockCodec;
  #head: SeqNum | undefined;
  #gaps: readonly BlockGap[];
  /** Put and not yet in a batch; and the batch under way. Both are readable. */
  #waiting: Map<SeqNum, Uint8Array> = new Map();
  #writing: ReadonlyMap<SeqNum, Uint8Array> = new Map();
  #waitingBytes = 0;
  #writingBytes = 0;
  /** The batch under way; there is at most one. */
  #batch: Promise<void> | undefined;
  /** Changes of the gaps, one after the other. */
  #gapChange: Promise<void> = Promise.resolve();
  #failed: NarsesError | undefined;
  #closing: Promise<void> | undefined;

  constructor(db: Level, options: BlockStoreOptions, found: { readonly head: SeqNum | undefined; readonly gaps: readonly BlockGap[] }) {
    this.#db = db;
    this.#directory = options.directory;
    this.#codec = options.codec;
    this.#head = found.head;
    this.#gaps = found.gaps;
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
    const value = packBlock(this.#codec, block);
    const bytes = this.#waitingBytes + this.#writingBytes + value.length;
    if (bytes > BLOCKS_WAITING_BYTES_MAX) {
      const message = `${bytes} bytes of blocks wait for the disk of ${this.#directory}: execute no further until they are durable`;
      throw new NarsesError("OVERLOADED", message, { path: this.#directory });
    }
    this.#waitingBytes += value.length - (this.#waiting.get(seq)?.length ?? 0);
    this.#waiting.set(seq, value);
    if (this.#head === undefined || seq > this.#head) this.#head = seq;
    // The failure is kept and thrown by the next call.
    if (this.#waitingBytes >= BATCH_BYTES) this.#write().catch(() => undefined);
  }

  async get(seq: SeqNum): Promise<Block | undefined> {
    if (this.#head === undefined || seq > this.#head || inGap(this.#gaps, seq)) return undefined;
    const value = this.#waiting.get(seq) ?? this.#writing.get(seq) ?? (await this.#read(seq));
    if (value === undefined) throw blockCorrupt(this.#directory, seq, `is missing although the head is ${this.#head}`);
    return unpackBlock(this.#codec, seq, value, this.#directory);
  }

  skip(kept: SeqNum, head: SeqNum): Promise<void> {
    return this.#changeGaps(() => this.#skip(kept, head));
  }

  fill(blocks: readonly Block[]): Promise<void> {
    return this.#changeGaps(() => this.#fill(blocks));
  }

  #changeGaps(change: () => Promise<void>): Promise<void> {
    const done = this.#gapChange.then(change);
    this.#gapChange = done.catch(() => undefined); // kept in #failed, or the caller's mistake
    return done;
  }

  async #fill(blocks: readonly Block[]): Promise<void> {
    this.#check();
    let gaps = this.#gaps;
    const batch = this.#db.batch();
    for (const block of blocks) {
      const { seq } = block.header;
      const without = withoutLast(gaps, seq);
      if (without === undefined) continue;
      gaps = without;
      batch.put(keyOf(seq), packBlock(this.#codec, block));
    }
    try {
      // Not synced: what a power cut takes is fetched once more, and the log of the store keeps the order.
      await batch.put(GAPS, encodeGaps(gaps)).write();
    } catch (error) {
      this.#failed = levelFailed("writing blocks", this.#directory, error);
      throw this.#failed;
    }
    this.#gaps = gaps;
  }

  async #skip(kept: SeqNum, head: SeqNum): Promise<void> {
    this.#check();
    await this.#drain();
    const gaps = withGap(this.#gaps, kept, head);
    try {
      const batch = this.#db.batch();
      for await (const key of this.#db.keys({ gt: keyOf(kept) })) batch.del(key);
      batch.put(GAPS, encodeGaps(gaps));
      await batch.write({ sync: true });
    } catch (error) {
      this.#failed = levelFailed("removing blocks", this.#directory, error);
      throw this.#failed;
    }
    this.#gaps = gaps;
    this.#head = head;
  }

  async sync(): Promise<void> {
    this.#check();
    await this.#drain();
  }

  close(): Promise<void> {
    this.#closing ??= this.#finish();
    return this.#closing;
  }

  async #finish(): Promise<void> {
    await this.#gapChange;
    try {
      if (this.#failed === undefined) await this.#drain();
    } finally {
      await this.#db.close();
    }
  }

  /** Waits for the batch under way, and for the one that holds what was put after that was begun. */
  async #drain(): Promise<void> {
    await this.#batch;
    await (this.#waiting.size > 0 ? this.#write() : this.#batch);
  }

  #write(): Promise<void> {
    this.#batch ??= this.#writeBatch().finally(() => {
      this.#batch = undefined;
    });
    return this.#batch;
  }

  async #writeBatch(): Promise<void> {
    if (this.#failed !== undefined) throw this.#failed;
    this.#writing = this.#waiting;
    this.#writingBytes = this.#waitingBytes;
    this.#waiting = new Map();
    this.#waitingBytes = 0;
    try {
      await this.#db.batch([...this.#writing].map(([seq, value]) => ({ type: "put" as const, key: keyOf(seq), value })), { sync: true });
    } catch (error) {
      this.#failed = levelFailed("writing blocks", this.#directory, error);
      throw this.#failed;
    }
    this.#writing = new Map();
    this.#writingBytes = 0;
  }

  async #read(seq: SeqNum): Promise<Uint8Array | undefined> {
    try {
      return plain(await this.#db.get(keyOf(seq)));
    } catch (error) {
      throw levelFailed("reading blocks", this.#directory, error);
    }
  }

  #check(): void {
    if (this.#failed !== undefined) throw this.#failed;
    if (this.#closing === undefined) return;
    throw new NarsesError("CLOSED", `block store ${this.#directory} was closed`, { path: this.#directory });
  }
}

/**
 * Opens or makes a block store. `get` of a block that is lost or damaged rejects with DATA_CORRUPT and its `seq`.
 * @throws NarsesError DATA_CORRUPT, DATA_DIR_LOCKED, DISK_FAILED.
 */
export async function openBlockStore(options: BlockStoreOptions): Promise<BlockStore> {
  const { directory, mustExist = false } = options;
  const db = await openLevel(directory, { writeBufferSize: WRITE_BUFFER_BYTES, cacheSize: CACHE_BYTES }, mustExist);
  try {
    const [last] = await db.keys({ reverse: true, limit: 1 }).all();
    const record = await db.get(GAPS);
    const gaps = record === undefined ? [] : decodeGaps(record);
    const end = gaps.at(-1)?.last;
    const top = last === undefined || last.length !== 8 ? undefined : seqNum(getU64(last, 0));
    const head = top === undefined || (end !== undefined && end > top) ? end : top;
    return new LevelBlocks(db, options, { head, gaps });
  } catch (error) {
    await db.close();
    throw levelFailed("reading blocks", directory, error);
  }
}
