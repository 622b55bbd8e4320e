/** A promise that settles once: by an answer, a time limit, or the caller's AbortSignal, whichever comes first. */
import { assert } from "@narses/core";
import type { Timers } from "./timers.ts";

export interface Pending<T> {
  readonly promise: Promise<T>;
  readonly settled: boolean;
  /** Later calls do nothing. */
  resolve(value: T): void;
  reject(reason: unknown): void;
  /** The time is up, or the caller has aborted. */
  giveUp(reason: unknown): void;
}

export interface PendingOptions {
  /** Not aborted yet. */
  readonly signal: AbortSignal | undefined;
  /** The caller has stopped waiting (time limit or abort), not the answer come. */
  readonly onGivenUp: () => void;
  /** However it ended. */
  readonly onSettled?: () => void;
}

export interface TimedOptions extends PendingOptions {
  readonly timers: Timers;
  /** Milliseconds; Infinity: no limit. */
  readonly timeoutMs: number;
  /** Made when the time limit is reached, so that it can tell what was missing then. */
  readonly timeoutError: () => Error;
}

class Settlement<T> implements Pending<T> {
  readonly promise: Promise<T>;
  readonly #options: PendingOptions;
  #resolve: ((value: T) => void) | undefined;
  #reject: ((reason: unknown) => void) | undefined;
  #onAbort: (() => void) | undefined;

  constructor(options: PendingOptions) {
    const { signal } = options;
    assert(signal?.aborted !== true, "an operation is only started with a signal that is not aborted");
    this.#options = options;
    this.promise = new Promise<T>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (signal === undefined) return;
    this.#onAbort = () => this.giveUp(signal.reason);
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

  giveUp(reason: unknown): void {
    if (this.settled) return;
    this.reject(reason);
    this.#options.onGivenUp();
  }

  #settle(): void {
    this.#resolve = undefined;
    this.#reject = undefined;
    if (this.#onAbort !== undefined) this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#options.onSettled?.();
  }
}

/** Without a time limit of its own. */
export const createPending = <T>(options: PendingOptions): Pending<T> => new Settlement<T>(options);

export function createTimed<T>({ timers, timeoutMs, timeoutError, signal, onGivenUp }: TimedOptions): Pending<T> {
  let timer: unknown;
  const pending = createPending<T>({
    signal, onGivenUp,
    onSettled: () => {
      if (timer !== undefined) timers.clear(timer);
    },
  });
  if (timeoutMs !== Number.POSITIVE_INFINITY) timer = timers.set(timeoutMs, () => pending.giveUp(timeoutError()));
  return pending;
}
