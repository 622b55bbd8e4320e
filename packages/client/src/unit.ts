/**
 * Operations that were submitted together, travel together, and are waited for together: each has an outcome of its own, but one promise,
 * one timer and one listener serve them all.
 */
import { assert, type Operation, type Receipt, type Digest, type SeqNum } from "@narses/core";
import type { Timers } from "./timers.ts";

/** What an executed operation gave. */
export interface Submitted {
  /** As the state machine returned it. */
  readonly result: unknown;
  /** Verifies offline, see verifyReceipt. */
  readonly receipt: Receipt;
  readonly seq: SeqNum;
  /** Hash of block `seq`. */
  readonly block: Digest;
}

/** One operation of a unit. It settles once: by its answer, the time limit, or the caller's AbortSignal, whichever comes first. */
export class Submission {
  readonly operation: Operation;
  readonly #unit: Unit;
  readonly #index: number;

  constructor(operation: Operation, unit: Unit, index: number) {
    this.operation = operation;
    this.#unit = unit;
    this.#index = index;
  }

  get settled(): boolean {
    return this.#unit.outcomes[this.#index] !== undefined;
  }

  /** Later calls do nothing. */
  resolve(value: Submitted): void {
    this.#unit.settle(this.#index, { status: "fulfilled", value });
  }

  reject(reason: unknown): void {
    this.#unit.settle(this.#index, { status: "rejected", reason });
  }
}

export interface UnitOptions {
  readonly operations: readonly Operation[];
  readonly timers: Timers;
  /** Milliseconds; Infinity: no limit. */
  readonly timeoutMs: number;
  /** Made when the time limit is reached, so that it can tell what was missing then. */
  readonly timeoutError: (submission: Submission) => Error;
  /** Not aborted yet. */
  readonly signal: AbortSignal | undefined;
  /** The caller has stopped waiting for this one (time limit or abort), not the answer come. */
  readonly onGivenUp: (unit: Unit, submission: Submission) => void;
}

export class Unit {
  readonly submissions: readonly Submission[];
  /** Resolves when all are settled, in the order of the operations. Never rejects. */
  readonly settled: Promise<readonly PromiseSettledResult<Submitted>[]>;
  /** So far; undefined where there is none yet. For its submissions. */
  readonly outcomes: (PromiseSettledResult<Submitted> | undefined)[];
  readonly #options: UnitOptions;
  readonly #resolve: (outcomes: readonly PromiseSettledResult<Submitted>[]) => void;
  readonly #onAbort: (() => void) | undefined;
  #timer: unknown;
  #open: number;

  constructor(options: UnitOptions) {
    const { operations, timers, timeoutMs, timeoutError, signal } = options;
    assert(signal?.aborted !== true, "an operation is only started with a signal that is not aborted");
    this.#options = options;
    this.#open = operations.length;
    this.outcomes = operations.map(() => undefined);
    this.submissions = operations.map((operation, index) => new Submission(operation, this, index));
    let resolve: ((outcomes: readonly PromiseSettledResult<Submitted>[]) => void) | undefined;
    this.settled = new Promise((done) => (resolve = done));
    this.#resolve = (outcomes) => resolve?.(outcomes);
    if (timeoutMs !== Number.POSITIVE_INFINITY) this.#timer = timers.set(timeoutMs, () => this.#giveUp(timeoutError));
    if (signal === undefined) return;
    this.#onAbort = () => this.#giveUp(() => signal.reason);
    signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** The first outcome of each counts. */
  settle(index: number, outcome: PromiseSettledResult<Submitted>): void {
    if (this.outcomes[index] !== undefined) return;
    this.outcomes[index] = outcome;
    if (--this.#open > 0) return;
    const { timers, signal } = this.#options;
    if (this.#timer !== undefined) timers.clear(this.#timer);
    if (this.#onAbort !== undefined) signal?.removeEventListener("abort", this.#onAbort);
    this.#resolve(this.outcomes as readonly PromiseSettledResult<Submitted>[]);
  }

  #giveUp(reason: (submission: Submission) => unknown): void {
    for (const submission of this.submissions) {
      if (submission.settled) continue;
      submission.reject(reason(submission));
      this.#options.onGivenUp(this, submission);
    }
  }
}
