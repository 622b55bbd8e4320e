/** The client's only source of time, so that a test or a simulator can own it. */
export interface Timers {
  /** Milliseconds; only differences are used, and only for reported ages. */
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
