/**
 * Runs decided slots through the executor, in order: stores the block, answers clients, tells the engine; at a checkpoint
 * makes the state durable. A bounded share per turn; waits only for the disk: when too much waits for it, and at replays.
 */
import {
  InvariantViolation, type BlockStore, type Digest, type Effect, type Hasher, type Input, type Logger, type SeqNum, type StateStore,
} from "@narses/core";
import { blockHash } from "@narses/wire";
import type { AdmissionControl } from "./admission.ts";
import type { Counters } from "./counters.ts";
import type { ExecutedSlot, Executor } from "./executor.ts";
import type { Measures } from "./operations/distribution.ts";
import { BLOCKS_UNSYNCED_BYTES_MAX, TURN_OPERATIONS_MAX } from "./limits.ts";
import type { PendingBundles } from "./pending.ts";
import type { Probe } from "./probe.ts";
import type { Replies } from "./replies.ts";

export type ExecuteEffect = Extract<Effect, { type: "execute" }>;

export interface ExecutionOptions {
  readonly executor: Executor;
  readonly state: StateStore;
  readonly blocks: BlockStore;
  readonly hasher: Hasher;
  readonly pending: PendingBundles;
  readonly admission: Pick<AdmissionControl, "doneNow">;
  readonly replies: Pick<Replies, "executed">;
  readonly counters: Counters;
  readonly measures: Measures;
  readonly logger: Logger;
  readonly probe: Probe | undefined;
  /** Tells the engine, in the next turn. */
  readonly input: (input: Input) => void;
  /** Execution waited and can go on: a turn is wanted. */
  readonly wake: () => void;
  /** The replica cannot go on. */
  readonly fatal: (error: unknown) => void;
}

/** Why nothing is executed, with the code clients are refused with. */
export interface Halt {
  readonly code: "DIVERGED" | "UNAVAILABLE";
  readonly reason: string;
}

export interface Execution {
  /** Slots waiting that could run in this turn. */
  readonly ready: boolean;
  push(effect: ExecuteEffect): void;
  /** Executes this turn's share. */
  run(): void;
  /** The state is not to be trusted, or about to be replaced: nothing is executed, and what waits is dropped. The first halt counts. */
  halt(why: Halt): void;
  /** The state is that of this slot, which was fetched: execution goes on after it. */
  resume(seq: SeqNum): void;
  readonly halted: Halt | undefined;
  /** Resolves when no checkpoint and no read of a block is under way. */
  idle(): Promise<void>;
}

export function createExecution(options: ExecutionOptions): Execution {
  return new ExecutionQueue(options);
}

class ExecutionQueue implements Execution {
  readonly #options: ExecutionOptions;
  /** Blocks up to this one are on disk from before a restart: executing them again must give the same. */
  #storedSeq: number;
  #queue: ExecuteEffect[] = [];
  #halted: Halt | undefined;
  /** Executing waits for this. */
  #blocked: Promise<void> | undefined;
  /** The one that is being written. */
  #checkpoint: Promise<void> | undefined;
  /** Of blocks put since the last sync, roughly. */
  #unsyncedBytes = 0;

  constructor(options: ExecutionOptions) {
    this.#options = options;
    this.#storedSeq = options.blocks.head ?? 0;
  }

  get ready(): boolean {
    return this.#queue.length > 0 && this.#blocked === undefined && this.#halted === undefined;
  }

  get halted(): Halt | undefined {
    return this.#halted;
  }

  push(effect: ExecuteEffect): void {
    this.#queue.push(effect);
  }

  halt(why: Halt): void {
    this.#halted ??= why;
    this.#queue = [];
  }

  resume(seq: SeqNum): void {
    this.#halted = undefined;
    this.#storedSeq = seq;
    this.#unsyncedBytes = 0;
  }

  run(): void {
    let operations = 0;
    while (this.ready && operations < TURN_OPERATIONS_MAX) {
      const effect = this.#queue.shift();
      if (effect === undefined) return;
      if (effect.seq <= this.#storedSeq) {
        this.#block(this.#replay(effect));
        return;
      }
      operations += 1 + this.#execute(effect).operations;
    }
  }

  async idle(): Promise<void> {
    // A slot that is run again may begin a checkpoint when its stored block has been read.
    for (let waited: Promise<void> | undefined; this.#blocked !== waited; await waited) waited = this.#blocked;
    await this.#checkpoint;
  }

  #execute({ seq, batch, certificate, checkpoint }: ExecuteEffect): ExecutedSlot {
    const { blocks } = this.#options;
    const slot = this.#apply({ seq, batch, certificate });
    blocks.put(slot.block);
    this.#unsyncedBytes += blockBytes(slot);
    this.#finish(slot, checkpoint);
    return slot;
  }

  #apply({ seq, batch, certificate }: Pick<ExecuteEffect, "seq" | "batch" | "certificate">): ExecutedSlot {
    const { executor, measures } = this.#options;
    const startedMs = measures.nowMs();
    const slot = executor.execute(seq, batch, certificate);
    measures.executionSeconds.observe((measures.nowMs() - startedMs) / 1_000);
    measures.batchOperations.observe(slot.operations);
    return slot;
  }

  /** After a restart: the same decisions must lead to the block that this replica may already have vouched for. */
  async #replay({ seq, batch, certificate, checkpoint }: ExecuteEffect): Promise<void> {
    const { blocks, hasher, logger } = this.#options;
    const stored = await blocks.get(seq);
    const slot = this.#apply({ seq, batch, certificate });
    if (stored === undefined) blocks.put(slot.block);
    else if (blockHash(hasher, stored.header) !== slot.hash) {
      const headers = { stored: JSON.stringify(stored.header), executed: JSON.stringify(slot.block.header) };
      logger.error({ seq, ...headers }, "executing a slot again gave another block");
      throw new InvariantViolation(
        `slot ${seq} executed again gives block ${slot.hash}, the block store holds ${blockHash(hasher, stored.header)}: ` +
          "the application is not deterministic or was changed, or the data directory is damaged",
      );
    }
    this.#finish(slot, checkpoint);
  }

  #finish(slot: ExecutedSlot, checkpoint: boolean): void {
    const { pending, admission, replies, counters, probe, input } = this.#options;
    const { seq } = slot.block.header;
    probe?.executed(slot.block, slot.hash);
    counters.slotsExecuted++;
    counters.operationsExecuted += slot.operations;
    const obsolete = pending.executed(slot.bundles.map(({ bundle }) => bundle), admission.doneNow(), slot.evictions);
    replies.executed(slot);
    input({ type: "executed", seq, obsolete });
    if (checkpoint) this.#checkpointAt(seq, slot.hash);
    else if (this.#unsyncedBytes > BLOCKS_UNSYNCED_BYTES_MAX) this.#block(this.#syncBlocks());
  }

  async #syncBlocks(): Promise<void> {
    this.#unsyncedBytes = 0;
    await this.#options.blocks.sync();
  }

  /** The state is frozen as of now, and later slots run while it is written. Only one is: a second has to wait, and execution with it. */
  #checkpointAt(seq: SeqNum, root: Digest): void {
    if (this.#checkpoint === undefined) this.#startCheckpoint(seq, root);
    else this.#block(this.#checkpoint.then(() => this.#startCheckpoint(seq, root)));
  }

  /** Blocks first: a durable state whose block is lost could not go on. */
  #startCheckpoint(seq: SeqNum, root: Digest): void {
    const { state, counters, input, fatal } = this.#options;
    const synced = this.#syncBlocks();
    synced.catch(() => undefined); // the checkpoint fails with it, unless the state has failed before
    this.#checkpoint = state.checkpoint(seq, synced).then(
      () => {
        this.#checkpoint = undefined;
        counters.checkpoints++;
        input({ type: "checkpointed", seq, root });
      },
      (error: unknown) => fatal(error),
    );
  }

  #block(work: Promise<void>): void {
    // A replay that ends in a checkpoint waits for both.
    const previous = this.#blocked;
    const blocked: Promise<void> = Promise.all([previous, work]).then(
      () => {
        if (this.#blocked === blocked) {
          this.#blocked = undefined;
          this.#options.wake();
        }
      },
      (error: unknown) => this.#options.fatal(error),
    );
    this.#blocked = blocked;
  }
}

const blockBytes = ({ block, bundles }: ExecutedSlot): number =>
  bundles.reduce((sum, { results }) => sum + results.reduce((own, result) => own + result.length, 0), block.batch?.bytes.length ?? 0);
