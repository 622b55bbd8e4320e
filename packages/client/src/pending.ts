/** A promise that settles once: by an answer, a time limit, or the caller's AbortSignal, whichever comes first. */
import { assert } from "@narses/core";
import type { Timers } from "./timers.ts";

export interface Pending<T> {
  readonly promise: Promise<T>;
  readonly settled: boolean;
  /** Later calls do nothing. */
  resolve(value: T): void;
  reject(reason: unknown): void;
}

export interface TimedOptions {
  /** Not aborted yet. */
  readonly signal: AbortSignal | undefined;
  /** The caller has stopped waiting (time limit or abort), not the answer come. */
  readonly onGivenUp: () => void;
  readonly timers: Timers;
  /** Milliseconds; Infinity: no limit. */
  readonly timeoutMs: number;
  /** Made when the time limit is reached, so that it can tell what was missing then. */
  readonly timeoutError: () => Error;
}

class Settlement<T> implements Pending<T> {
  readonly promise: Promise<T>;
  readonly #options: TimedOptions;
  #resolve: ((value: T) => void) | undefined;
  #reject: ((reason: unknown) => void) | undefined;
  #onAbort: (() => void) | undefined;
  #timer: unknown;

  constructor(options: TimedOptions) {
    const { signal, timers, timeoutMs, timeoutError } = options;
    assert(signal?.aborted !== true, "an operation is only started with a signal that is not aborted");
    this.#options = options;
    this.promise = new Promise<T>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (timeoutMs !== Number.POSITIVE_INFINITY) this.#timer = timers.set(timeoutMs, () => this.#giveUp(timeoutError()));
    if (signal === undefined) return;
    this.#onAbort = () => this.#giveUp(signal.reason);
    signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  get settled(): boolean {
    return this.#resolve === undefined;
  }

  resolve(value: T): void {
    const resolve = this.#resolve;
    if (resolve === undefined) return;
    this.#settle();
    resolve(value);
  }

  reject(reason: unknown): void {
    const reject = this.#reject;
    if (reject === undefined) return;
    this.#settle();
    reject(reason);
  }

  #giveUp(reason: unknown): void {
    if (this.settled) return;
    this.reject(reason);
    this.#options.onGivenUp();
  }

  #settle(): void {
    const { signal, timers } = this.#options;
    this.#resolve = undefined;
    this.#reject = undefined;
    if (this.#timer !== undefined) timers.clear(this.#timer);
    if (this.#onAbort !== undefined) signal?.removeEventListener("abort", this.#onAbort);
  }
}

export const createTimed = <T>(options: TimedOptions): Pending<T> => new Settlement<T>(options);
