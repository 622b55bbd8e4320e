/**
 * State and blocks as one process writes them: through the real state store over pages in memory, with the time a database takes. A
 * write under way when the process dies is there as a whole or not at all, as LevelDB's synced batches are.
 */
import { bytesEqual, NarsesError, type Block, type BlockGap, type BlockStore, type SeqNum } from "@narses/core";
import type { BackendSnapshot, MemoryBackend, MemoryBlockStore, StateBackend, StateWrite } from "@narses/storage/portable";
import type { Codec } from "@narses/wire";
import type { Random } from "../random.ts";
import type { ReplicaDisk } from "./replica-disk.ts";

/** Time a database takes. */
export interface Latency {
  /** Runs later, in the process; never once it is dead. */
  later(us: number, done: () => void): void;
  readUs(): number;
  writeUs(): number;
  readonly alive: () => boolean;
  /** What an operation on the database fails with, if it does. */
  readonly failure: () => NarsesError | undefined;
}

/** Flips a bit: what reads it must notice. */
function rotted(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  if (copy.length > 0) copy[copy.length >> 1] = (copy[copy.length >> 1] ?? 0) ^ 1;
  return copy;
}

export class ProcessBackend implements StateBackend {
  readonly name = "state";
  private readonly inner: MemoryBackend;
  private readonly disk: Pick<ReplicaDisk, "rottenPages" | "astrayPages" | "health">;
  private readonly latency: Latency;
  private readonly underWay: StateWrite[] = [];

  constructor(disk: Pick<ReplicaDisk, "state" | "rottenPages" | "astrayPages" | "health">, latency: Latency) {
    this.inner = disk.state;
    this.disk = disk;
    this.latency = latency;
  }

  page(bucket: number): Uint8Array | undefined {
    return this.read(bucket, this.inner.page(bucket));
  }

  /** What the disk makes of a page. */
  private read(bucket: number, bytes: Uint8Array | undefined): Uint8Array | undefined {
    if (bytes === undefined) return undefined;
    const { astrayPages, rottenPages, health } = this.disk;
    const other = astrayPages.get(bucket);
    if (other !== undefined && !bytesEqual(other, bytes)) {
      health.met.astray++;
      return other;
    }
    return rottenPages.has(bucket) ? rotted(bytes) : bytes;
  }

  record: StateBackend["record"] = (kind) => this.inner.record(kind);
  leaves: StateBackend["leaves"] = () => this.inner.leaves();
  staged: StateBackend["staged"] = () => this.inner.staged();
  keys: StateBackend["keys"] = (prefix, limit) => this.inner.keys(prefix, limit);

  write(write: StateWrite): Promise<void> {
    this.underWay.push(write);
    return new Promise((resolve, reject) => {
      this.latency.later(this.latency.writeUs(), () => {
        this.underWay.shift();
        const failure = this.latency.failure();
        if (failure !== undefined) return reject(failure);
        for (const bucket of write.pages?.keys() ?? []) this.disk.rottenPages.delete(bucket);
        resolve(this.inner.write(write));
      });
    });
  }

  snapshot(): BackendSnapshot {
    const snapshot = this.inner.snapshot();
    const { latency } = this;
    return {
      page: (bucket) => new Promise((resolve, reject) => {
        latency.later(latency.readUs(), () => void snapshot.page(bucket).then((bytes) => resolve(this.read(bucket, bytes)), reject));
      }),
      close: () => snapshot.close(),
    };
  }

  /** The process is dead: what was under way got through, in order, up to some point. */
  abandon(random: Random): void {
    for (const write of this.underWay.splice(0)) {
      if (random.chance(0.5)) return;
      void this.inner.write(write);
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

export class ProcessBlocks implements BlockStore {
  private readonly inner: MemoryBlockStore;
  private readonly rotten: ReadonlySet<number>;
  private readonly codec: Pick<Codec, "encodeBlock" | "decodeBlock">;
  private readonly latency: Latency;

  constructor(disk: Pick<ReplicaDisk, "blocks" | "rottenBlocks">, codec: Pick<Codec, "encodeBlock" | "decodeBlock">, latency: Latency) {
    this.inner = disk.blocks;
    this.rotten = disk.rottenBlocks;
    this.codec = codec;
    this.latency = latency;
  }

  get head(): SeqNum | undefined {
    return this.inner.head;
  }

  get gaps(): readonly BlockGap[] {
    return this.inner.gaps;
  }

  put(block: Block): void {
    if (this.latency.alive()) this.inner.put(block);
  }

  get(seq: SeqNum): Promise<Block | undefined> {
    return this.delayed(this.latency.readUs(), async () => {
      const block = await this.inner.get(seq);
      if (this.rotten.has(seq)) throw new NarsesError("DATA_CORRUPT", `block ${seq} does not validate`, { seq });
      return block === undefined ? undefined : this.codec.decodeBlock(this.codec.encodeBlock(block));
    });
  }

  skip(kept: SeqNum, head: SeqNum): Promise<void> {
    return this.written(() => this.inner.skip(kept, head));
  }

  fill(blocks: readonly Block[]): Promise<void> {
    return this.written(() => this.inner.fill(blocks));
  }

  sync(): Promise<void> {
    return this.written(() => this.inner.sync());
  }

  close(): Promise<void> {
    return this.sync();
  }

  private written(work: () => Promise<void>): Promise<void> {
    return this.delayed(this.latency.writeUs(), () => {
      const failure = this.latency.failure();
      return failure === undefined ? work() : Promise.reject(failure);
    });
  }

  private delayed<T>(us: number, work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.latency.later(us, () => void work().then(resolve, reject));
    });
  }
}
