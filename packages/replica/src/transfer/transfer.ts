/**
 * The receiving side of state transfer, from the engine's `transfer` to `transferred`. While it goes on this replica
 * executes nothing and answers no client; blocks and pages that others send are checked, staged, and installed at once.
 * One transfer at a time. A crash at any point loses at most the pages of the last moment: the next start asks for the rest.
 */
import {
  faultsTolerated, NarsesError, replicaId, seqNum, TICK_MS,
  type BlockHeader, type BlockStore, type Digest, type Hasher, type Input, type Logger, type Rejection, type ReplicaId, type SeqNum, type StableCheckpoint,
  type StateMessage,
} from "@narses/core";
import type { AuthenticatedState, FetchPlan, StateStaging } from "@narses/storage";
import { blockHash } from "@narses/wire";
import { count, type Counters } from "../counters.ts";
import type { Execution } from "../execution.ts";
import type { Executor } from "../executor.ts";
import { FETCH_RETRY_TICKS } from "../limits.ts";
import { createDifference, type Difference } from "./difference.ts";
import { Source, type DonorStatus } from "./donors.ts";
import { Fetch } from "./fetch.ts";
import { createRepairPace } from "./repair-pace.ts";
import type { Settled } from "./settled.ts";

/** What donors of a state send. */
export type StateAnswer = Extract<StateMessage, { type: "state-header" | "state-nodes" | "state-pages" | "state-gone" }>;

export type TransferReason = "behind" | "diverged";

export interface TransferStatus {
  readonly reason: TransferReason;
  readonly seq: SeqNum;
  readonly root: Digest;
  /** "waiting": it was repaired not long ago, and its state is wrong again. */
  readonly phase: "waiting" | "preparing" | "mapping" | "fetching" | "installing";
  /** Repairs in a row, this one included; and how long it waits before it begins. */
  readonly repairs: number;
  readonly waitsMs: number;
  /** Pages that differ, as far as they are known, and those that are here. */
  readonly pagesTotal: number;
  readonly pagesHere: number;
  readonly bytes: number;
  readonly donors: readonly DonorStatus[];
  readonly difference: Difference | null;
}

/** What the last transfer did. */
export interface TransferReport {
  readonly reason: TransferReason;
  readonly seq: SeqNum;
  readonly pages: number;
  readonly bytes: number;
  readonly milliseconds: number;
  /** Where the own state was wrong, for a repaired one. */
  readonly difference: Difference | null;
}

export interface TransferOptions {
  readonly self: ReplicaId;
  readonly replicas: number;
  readonly state: AuthenticatedState;
  readonly blocks: BlockStore;
  readonly hasher: Hasher;
  readonly executor: Pick<Executor, "reset">;
  readonly execution: Pick<Execution, "halt" | "resume" | "idle">;
  /** Waiting bundles that the installed state has executed. */
  readonly obsolete: () => readonly Digest[];
  readonly settled: Pick<Settled, "seq">;
  readonly send: (to: ReplicaId, message: StateMessage) => boolean;
  readonly input: (input: Input) => void;
  readonly fatal: (error: unknown) => void;
  readonly stopped: () => boolean;
  readonly nowMs: () => number;
  readonly counters: Counters;
  readonly logger: Logger;
}

export interface Transfer {
  /** Begins, or names a later target for what goes on. */
  start(target: StableCheckpoint, reason: TransferReason): void;
  message(from: ReplicaId, message: StateAnswer): void;
  peer(replica: ReplicaId, connected: boolean): void;
  tick(): void;
  readonly status: TransferStatus | undefined;
  readonly last: TransferReport | undefined;
  /** Resolves when nothing is being written. */
  idle(): Promise<void>;
}

export const createTransfer = (options: TransferOptions): Transfer => new Receiving(options);

interface Job {
  reason: TransferReason;
  /** The last one named. */
  target: StableCheckpoint;
  readonly startedMs: number;
  readonly difference: ReturnType<typeof createDifference>;
  staging: StateStaging | undefined;
  /** Tick from which the state is asked for. */
  readonly notBefore: number;
  /** That moment has come, or a moment to prepare first. */
  begun: boolean;
  fetch: Fetch | undefined;
  installing: boolean;
  /** Tick since which nobody could be asked. */
  aloneSince: number | undefined;
}

class Receiving implements Transfer {
  readonly #options: TransferOptions;
  readonly #sources: readonly Source[];
  #job: Job | undefined;
  /** Slot of the durable state at the start of the process. */
  readonly #startSeq: SeqNum;
  #swept = false;
  readonly #pace = createRepairPace();
  #tick = 0;
  #work: Promise<void> = Promise.resolve();
  last: TransferReport | undefined;

  constructor(options: TransferOptions) {
    this.#options = options;
    this.#startSeq = options.state.durableSeq;
    const others = Array.from({ length: options.replicas }, (_, id) => replicaId(id)).filter((id) => id !== options.self);
    this.#sources = others.map((id) => new Source(id));
  }

  get status(): TransferStatus | undefined {
    const job = this.#job;
    if (job === undefined) return undefined;
    const { fetch } = job;
    const { seq, root } = fetch?.target ?? job.target;
    const plan = fetch?.plan;
    const mapping = plan?.mapped === true ? "fetching" : "mapping";
    const waits = Math.max(0, job.notBefore - this.#tick);
    const idle = waits > 0 ? "waiting" : "preparing";
    const phase = fetch === undefined ? idle : mapping;
    const pagesTotal = plan?.pagesTotal ?? 0;
    return {
      reason: job.reason, seq, root, phase: job.installing ? "installing" : phase, repairs: this.#pace.repairs, waitsMs: waits * TICK_MS,
      pagesTotal, pagesHere: pagesTotal - (plan?.pagesOpen ?? 0), bytes: fetch?.bytes ?? 0,
      donors: this.#sources.map((source) => source.status(this.#tick)), difference: job.difference.found ?? null,
    };
  }

  start(target: StableCheckpoint, reason: TransferReason): void {
    const { execution, logger, nowMs } = this.#options;
    const job = this.#job;
    if (job !== undefined) {
      job.target = target;
      if (reason === "diverged") job.reason = reason;
      // Nothing has come yet: the later one is the better one.
      if (!job.installing && job.fetch !== undefined && job.fetch.header === undefined) this.#later(() => this.#aim(job));
      return;
    }
    const why = reason === "diverged"
      ? `its state differs from the stable checkpoint at slot ${target.seq} and is being repaired`
      : `it is far behind and fetches the state as of slot ${target.seq}`;
    execution.halt({ code: reason === "diverged" ? "DIVERGED" : "UNAVAILABLE", reason: `this replica executes nothing: ${why}` });
    const notBefore = reason === "diverged" ? this.#pace.next(this.#tick) : this.#tick;
    logger.info({ seq: target.seq, root: target.root, reason }, `state transfer begins: ${why}`);
    if (notBefore > this.#tick) this.#onRepeated(notBefore);
    const begun: Job = {
      reason, target, startedMs: nowMs(), difference: createDifference(this.#options), staging: undefined, notBefore, begun: false,
      fetch: undefined, installing: false, aloneSince: undefined,
    };
    this.#job = begun;
    this.#later(async () => {
      await execution.idle();
      begun.staging = await this.#options.state.stage();
      if (begun.staging.staged.size > 0) logger.info({ pages: begun.staging.staged.size }, "pages of an earlier transfer are taken up again");
      if (begun.reason === "diverged") await begun.difference.begin(begun.target);
      await this.#begin(begun);
    });
  }

  /** Once the state is staged, and its time has come. */
  async #begin(job: Job): Promise<void> {
    if (job.begun || job.staging === undefined || this.#tick < job.notBefore) return;
    job.begun = true;
    await this.#aim(job);
  }

  #onRepeated(notBefore: number): void {
    const { logger } = this.#options;
    const { repairs } = this.#pace;
    const seconds = ((notBefore - this.#tick) * TICK_MS) / 1_000;
    logger.error({ repairs, seconds }, `DIVERGED AGAIN, soon after a repair (${repairs} in a row): the next begins in ${seconds} s; until then this replica counts as faulty. ` +
      "No repair cures this: run the application under the determinism guard, compare its version with the other replicas', and test this machine's memory and disk");
  }

  message(from: ReplicaId, message: StateAnswer): void {
    const source = this.#sources.find(({ replica }) => replica === from);
    const fetch = this.#job?.fetch;
    if (source === undefined || fetch === undefined) return count(this.#options.counters.rejected, "UNSOLICITED");
    fetch.message(source, message);
  }

  peer(replica: ReplicaId, connected: boolean): void {
    const source = this.#sources.find((one) => one.replica === replica);
    if (source !== undefined) source.connected = connected;
  }

  tick(): void {
    this.#tick++;
    const job = this.#job;
    if (job === undefined) this.#sweep();
    if (job?.begun === false && job.staging !== undefined && this.#tick >= job.notBefore) this.#later(() => this.#begin(job));
    if (job?.fetch === undefined || job.installing) return;
    job.fetch.tick();
    this.#reconsider(job, job.fetch);
  }

  idle(): Promise<void> {
    return this.#work.then(() => this.#job?.fetch?.abandon());
  }

  /** Steps that wait for the disk, one after the other; the first failure stops the replica. */
  #later(step: () => Promise<void>): void {
    this.#work = this.#work.then(() => (this.#options.stopped() ? undefined : step())).catch((error: unknown) => this.#options.fatal(error));
  }

  /** A checkpoint of its own since the start: whatever an earlier process staged is not needed. Once. */
  #sweep(): void {
    const { state } = this.#options;
    if (this.#swept || state.durableSeq <= this.#startSeq) return;
    this.#swept = true;
    this.#later(() => state.unstage());
  }

  /**
   * Nobody who answers has the target any more: a later one is, or will be, certified. A donor that is silent does not count: it
   * could hold the transfer at a target that all others have dropped; nor, when more than f have dropped it, do those who still answer: they may
   * all be faulty, and give one page at a time. Until a later one is named, those who had not are asked again, some time later.
   */
  #reconsider(job: Job, fetch: Fetch): void {
    const answers = this.#sources.some(({ usable, stalled }) => usable && !stalled);
    const dropped = this.#sources.filter(({ gone }) => gone).length > faultsTolerated(this.#options.replicas);
    if ((!answers || dropped) && job.target.seq > fetch.target.seq) return this.#later(async () => (job.fetch === fetch ? this.#aim(job) : undefined));
    if (this.#sources.some(({ usable }) => usable)) return void (job.aloneSince = undefined);
    job.aloneSince ??= this.#tick;
    if (this.#tick - job.aloneSince < FETCH_RETRY_TICKS) return;
    job.aloneSince = undefined;
    for (const source of this.#sources) source.gone = false;
  }

  /** Fetches the last target named; what is staged stays of use. */
  async #aim(job: Job): Promise<void> {
    const { staging, fetch: earlier } = job;
    if (staging === undefined || job.installing || job !== this.#job) return;
    await earlier?.abandon();
    for (const source of this.#sources) source.renew();
    const { hasher, send, fatal, logger } = this.#options;
    const { target } = job;
    if (earlier !== undefined) logger.info({ seq: target.seq, root: target.root }, `state transfer goes on for the later checkpoint ${target.seq}`);
    job.fetch = new Fetch({
      target, staging, hasher, send, sources: this.#sources,
      now: () => this.#tick,
      onLie: (from, problem) => this.#onLie(from, problem),
      onPage: (bucket, page) => job.difference.compare(target, bucket, page),
      onDone: (header, plan) => {
        job.installing = true;
        this.#later(() => this.#install(job, target, header, plan));
      },
      onFailed: fatal,
    });
    job.fetch.pump();
  }

  #onLie(from: ReplicaId, problem: Rejection): void {
    const { counters, logger } = this.#options;
    count(counters.rejected, problem.code);
    logger.warn({ from, code: problem.code }, `replica ${from} sent wrong data and is not asked again: ${problem.detail}`);
  }

  async #install(job: Job, target: StableCheckpoint, header: BlockHeader, plan: FetchPlan): Promise<void> {
    const { state, blocks, executor, execution, input, logger, nowMs, counters, settled, obsolete } = this.#options;
    const { staging, fetch, reason } = job;
    if (staging === undefined || fetch === undefined) return;
    await fetch.abandon();
    const difference = await job.difference.conclude(target, header);
    // One record switches the state; what follows can be repeated by the next start.
    const kept = seqNum(Math.min(await settled.seq(), blocks.head ?? 0, header.seq - 1));
    await staging.install(plan.tree, header, kept);
    await blocks.skip(kept, header.seq);
    executor.reset({ header, hash: target.root });
    execution.resume(header.seq);
    this.#job = undefined;
    this.last = { reason, seq: header.seq, pages: plan.pagesTotal, bytes: fetch.bytes, milliseconds: Math.round(nowMs() - job.startedMs), difference };
    counters.transfers++;
    if (reason === "diverged") counters.repairs++;
    const { pages, bytes, milliseconds } = this.last;
    const what = reason === "diverged" ? "REPAIRED: the state is that of the stable checkpoint again" : "state transfer done";
    const fields = { seq: header.seq, root: target.root, stateRoot: state.root(), pages, bytes, milliseconds };
    logger.info(fields, `${what}: ${pages} pages differed, execution goes on after slot ${header.seq}`);
    input({ type: "transferred", stable: target, obsolete: obsolete() });
  }
}

/** Blocks before a state that was installed are a gap until they are fetched; a crash may have come between the two. */
export async function reconcileBlocks(state: Pick<AuthenticatedState, "anchor">, blocks: BlockStore, hasher: Hasher): Promise<void> {
  const { anchor } = state;
  if (anchor === undefined || blocks.gaps.some(({ last }) => last === anchor.header.seq)) return;
  const own = await blocks.get(anchor.header.seq);
  if (own !== undefined && blockHash(hasher, own.header) === blockHash(hasher, anchor.header)) return; // the gap was filled, at least its end
  if (blocks.head === undefined) {
    const remedy = "remove state and blocks (not votes) from the data directory and start once with --rejoin: they are fetched from the others";
    throw new NarsesError("DATA_CORRUPT", `the block store is empty beside a state that was fetched: ${remedy}`);
  }
  await blocks.skip(anchor.blocksKept, anchor.header.seq);
}
