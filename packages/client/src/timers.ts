/** The client's only source of time, so that a test or a simulator can own it. */
export interface Timers {
  /** Unix milliseconds: for reported ages, and for how stale a proven read may be. */
  now(): number;
  /** Calls `callback` once, `ms` milliseconds from now. The handle is opaque. */
  set(ms: number, callback: () => void): unknown;
  clear(handle: unknown): void;
}

/** Longest delay the host's timers can hold. */
export const TIMER_MS_MAX = 0x7fff_ffff;

export const systemTimers: Timers = {
  now: () => Date.now(),
  set: (ms, callback) => setTimeout(callback, ms),
  clear: (handle) => clearTimeout(handle as ReturnType<typeof setTimeout>),
};
