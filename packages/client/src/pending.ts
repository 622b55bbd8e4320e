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

export interface PendingOptions {
  readonly timers: Timers;
  /** Milliseconds; Infinity: no limit. */
  readonly timeoutMs: number;
  /** Not aborted yet. */
  readonly signal: AbortSignal | undefined;
  /** Made when the time limit is reached, so that it can tell what was missing then. */
  readonly timeoutError: () => Error;
  /** The caller has stopped waiting (time limit or abort), not the answer come. */
  readonly onGivenUp: () => void;
}

export function createPending<T>(options: PendingOptions): Pending<T> {
  const { timers, timeoutMs, signal } = options;
  let settled = false;
  let timer: unknown;
  let settleWith: { resolve: (value: T) => void; reject: (reason: unknown) => void } | undefined;
  const promise = new Promise<T>((resolve, reject) => {
    settleWith = { resolve, reject };
  });
  const settle = (act: (promise: NonNullable<typeof settleWith>) => void): void => {
    if (settled || settleWith === undefined) return;
    settled = true;
    if (timer !== undefined) timers.clear(timer);
    signal?.removeEventListener("abort", onAbort);
    act(settleWith);
  };
  const giveUp = (reason: unknown): void => {
    if (settled) return;
    settle((p) => p.reject(reason));
    options.onGivenUp();
  };
  const onAbort = (): void => giveUp(signal?.reason);

  assert(signal?.aborted !== true, "an operation is only started with a signal that is not aborted");
  signal?.addEventListener("abort", onAbort, { once: true });
  if (timeoutMs !== Number.POSITIVE_INFINITY) timer = timers.set(timeoutMs, () => giveUp(options.timeoutError()));
  return {
    promise,
    get settled() {
      return settled;
    },
    resolve: (value) => settle((p) => p.resolve(value)),
    reject: (reason) => settle((p) => p.reject(reason)),
  };
}
