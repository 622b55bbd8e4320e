/**
 * Blocks from before a state that was taken over: fetched in the background, from the last one down, for each names the hash of the one
 * before it, and the last one's is certified. So nobody who gives is trusted. Slow on purpose, resumable (every block is stored as it
 * is checked), and idle while state is transferred. Nothing waits for it: it serves auditors, receipts and replicas further behind.
 */
import {
  rejection, replicaId, seqNum,
  type Block, type BlockGap, type BlockStore, type ClusterConfig, type Digest, type Hasher, type Logger, type Rejection, type ReplicaId, type SeqNum, type StateMessage,
} from "@narses/core";
import type { AuthenticatedState } from "@narses/storage";
import { blockHash } from "@narses/wire";
import { count, type Counters } from "../counters.ts";
import { BACKFILL_BLOCKS_PER_TICK, BACKFILL_BYTES_MAX, BACKFILL_REST_TICKS, BACKFILL_REST_TICKS_MAX, BACKFILL_TIMEOUT_TICKS, BACKFILL_WINDOW } from "../limits.ts";
import type { BlockCheck } from "./block-check.ts";
import type { Settled } from "./settled.ts";

export interface BackfillStatus {
  /** Blocks that are still missing, and the next one that is wanted: the highest. */
  readonly blocksLeft: number;
  readonly nextSeq: SeqNum;
  /** Replicas that can be asked now. */
  readonly donors: readonly ReplicaId[];
}

export interface BackfillOptions {
  readonly self: ReplicaId;
  readonly cluster: ClusterConfig;
  readonly state: Pick<AuthenticatedState, "anchor">;
  readonly blocks: BlockStore;
  readonly hasher: Hasher;
  readonly check: BlockCheck;
  readonly settled: Pick<Settled, "seq">;
  /** The blocks are about to change under it. */
  readonly paused: () => boolean;
  readonly send: (to: ReplicaId, message: StateMessage) => boolean;
  readonly stopped: () => boolean;
  readonly fatal: (error: unknown) => void;
  readonly counters: Counters;
  readonly logger: Logger;
}

export interface Backfill {
  message(from: ReplicaId, part: Part): void;
  peer(replica: ReplicaId, connected: boolean): void;
  tick(): void;
  /** Undefined when no block is missing. */
  readonly status: BackfillStatus | undefined;
  /** Resolves when nothing is being read or written. */
  idle(): Promise<void>;
}

type Part = Extract<StateMessage, { type: "block-part" }>;

/** A replica that may have the blocks. */
interface Giver {
  readonly replica: ReplicaId;
  connected: boolean;
  /** It is left alone until then: it has not got what is wanted, did not answer, or sent something else; longer each time. */
  untilTick: number;
  restTicks: number;
}

/** A block on its way, in parts, or here and not yet checked. */
interface Piece {
  readonly from: Giver;
  readonly parts: Uint8Array[];
  bytes: number;
  whole: boolean;
  sinceTick: number;
}

export const createBackfill = (options: BackfillOptions): Backfill => new Filling(options);

class Filling implements Backfill {
  readonly #options: BackfillOptions;
  readonly #givers: readonly Giver[];
  readonly #pieces = new Map<SeqNum, Piece>();
  /** The next block that is wanted and its hash. */
  #next: { readonly seq: SeqNum; readonly hash: Digest } | undefined;
  /** The block above the gap is being read, or blocks are being written. */
  #work: Promise<void> | undefined;
  #tick = 0;
  #turn = 0;
  #told = false;

  constructor(options: BackfillOptions) {
    this.#options = options;
    const { cluster, self } = options;
    this.#givers = cluster.replicas.filter(({ id }) => id !== self).map(({ id }) => ({ replica: replicaId(id), connected: false, untilTick: 0, restTicks: BACKFILL_REST_TICKS }));
  }

  get #gap(): BlockGap | undefined {
    return this.#options.blocks.gaps.at(-1);
  }

  get status(): BackfillStatus | undefined {
    const { gaps } = this.#options.blocks;
    const last = gaps.at(-1);
    if (last === undefined) return undefined;
    const blocksLeft = gaps.reduce((sum, gap) => sum + gap.last - gap.first + 1, 0);
    return { blocksLeft, nextSeq: last.last, donors: this.#givers.filter((giver) => this.#mayAsk(giver)).map(({ replica }) => replica) };
  }

  peer(replica: ReplicaId, connected: boolean): void {
    const giver = this.#givers.find((one) => one.replica === replica);
    if (giver !== undefined) giver.connected = connected;
  }

  tick(): void {
    this.#tick++;
    const gap = this.#gap;
    if (gap === undefined || this.#options.paused()) return this.#forget();
    this.#tell(gap);
    if (this.#work !== undefined) return;
    if (this.#next === undefined || this.#next.seq !== gap.last) return this.#aim(gap);
    this.#takeOverdue();
    this.#ask(gap);
    this.#take();
  }

  message(from: ReplicaId, { seq, size, offset, bytes }: Part): void {
    const piece = this.#pieces.get(seq);
    if (piece?.from.replica !== from || piece.whole || offset !== piece.bytes) return count(this.#options.counters.rejected, "UNSOLICITED");
    if (size === 0) {
      this.#drop(seq);
      return this.#rest(piece.from);
    }
    piece.parts.push(bytes.slice());
    piece.bytes += bytes.length;
    piece.sinceTick = this.#tick;
    piece.whole = piece.bytes === size;
    if (piece.whole) return;
    // Too much is here that cannot be checked yet: it comes later, when it is its turn.
    if (this.#bytes() > BACKFILL_BYTES_MAX && seq !== this.#next?.seq) this.#drop(seq);
    else if (!this.#options.send(from, { type: "fetch-block", seq, offset: piece.bytes })) this.#drop(seq);
  }

  idle(): Promise<void> {
    return this.#work ?? Promise.resolve();
  }

  #tell({ first, last }: BlockGap): void {
    if (this.#told) return;
    this.#told = true;
    this.#options.logger.info({ first, last }, `blocks ${first} to ${last} are not here: they are fetched from the others, in the background`);
  }

  #forget(): void {
    this.#pieces.clear();
    this.#next = undefined;
  }

  #drop(seq: SeqNum): void {
    this.#pieces.delete(seq);
  }

  #bytes(): number {
    let sum = 0;
    for (const { bytes } of this.#pieces.values()) sum += bytes;
    return sum;
  }

  #mayAsk = ({ connected, untilTick }: Giver): boolean => connected && untilTick <= this.#tick;

  #rest(giver: Giver): void {
    giver.untilTick = this.#tick + giver.restTicks;
    giver.restTicks = Math.min(BACKFILL_REST_TICKS_MAX, 2 * giver.restTicks);
  }

  /** The hash of the block at the end of the gap: the state's anchor is certified, and so are settled blocks. */
  #aim(gap: BlockGap): void {
    this.#forget();
    const { state, blocks, hasher, settled } = this.#options;
    const anchor = state.anchor?.header;
    if (anchor?.seq === gap.last) {
      this.#next = { seq: gap.last, hash: blockHash(hasher, anchor) };
      return;
    }
    const above = seqNum(gap.last + 1);
    this.#later(async () => {
      const block = above <= (await settled.seq()) ? await blocks.get(above) : undefined;
      if (block !== undefined) this.#next = { seq: gap.last, hash: block.header.parent };
    });
  }

  /** One step at a time; the first failure stops the replica. */
  #later(step: () => Promise<void>): void {
    this.#work = step()
      .catch((error: unknown) => this.#options.stopped() || this.#options.fatal(error))
      .then(() => void (this.#work = undefined));
  }

  #takeOverdue(): void {
    const late = new Set<Giver>();
    for (const [seq, { whole, sinceTick, from }] of this.#pieces) {
      if (whole || (from.connected && this.#tick - sinceTick < BACKFILL_TIMEOUT_TICKS)) continue;
      this.#drop(seq);
      late.add(from);
    }
    for (const giver of late) this.#rest(giver);
  }

  #ask({ first }: BlockGap): void {
    const { send } = this.#options;
    const next = this.#next?.seq ?? first;
    const full = this.#bytes() > BACKFILL_BYTES_MAX;
    for (let seq: number = next; seq >= first && seq > next - BACKFILL_WINDOW && (!full || seq === next); seq--) {
      if (this.#pieces.has(seqNum(seq))) continue;
      const able = this.#givers.filter(this.#mayAsk);
      const from = able[this.#turn++ % Math.max(1, able.length)];
      if (from === undefined || !send(from.replica, { type: "fetch-block", seq: seqNum(seq), offset: 0 })) return;
      this.#pieces.set(seqNum(seq), { from, parts: [], bytes: 0, whole: false, sinceTick: this.#tick });
    }
  }

  /** Checks what is here, from the top, and stores it. */
  #take(): void {
    const { blocks, check, counters, logger } = this.#options;
    const good: Block[] = [];
    for (let i = 0; i < BACKFILL_BLOCKS_PER_TICK && this.#next !== undefined; i++) {
      const { seq, hash } = this.#next;
      const piece = this.#pieces.get(seq);
      if (piece?.whole !== true) break;
      this.#drop(seq);
      const block = check(Buffer.concat(piece.parts), hash);
      if (typeof block === "string") {
        const problem: Rejection = rejection("STATE_INVALID", `block ${seq}: ${block}`);
        count(counters.rejected, problem.code);
        this.#rest(piece.from);
        logger.warn({ from: piece.from.replica, code: problem.code }, `replica ${piece.from.replica} sent a wrong block and is left alone for a while: ${problem.detail}`);
        break;
      }
      piece.from.restTicks = BACKFILL_REST_TICKS;
      good.push(block);
      if (seq === this.#gap?.first) break;
      this.#next = { seq: seqNum(seq - 1), hash: block.header.parent };
    }
    if (good.length === 0) return;
    this.#later(async () => {
      await blocks.fill(good);
      counters.blocksFilled += good.length;
      if (blocks.gaps.length > 0) return;
      this.#told = false;
      logger.info({ first: good.at(-1)?.header.seq }, "all blocks are here now, from genesis on");
    });
  }
}
