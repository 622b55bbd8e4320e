/**
 * The engine's clock: one tick per TICK_MS of monotonic time. After the loop was late (a long collection, a stopped
 * process) only a few ticks are made up for and the rest never happened: else every timer would fire at once, on messages
 * that wait unread.
 */
import { TICK_MS } from "@narses/core";
import { CATCH_UP_TICKS_MAX } from "./limits.ts";
import type { Scheduler, Timer } from "./scheduler.ts";

export interface Clock {
  /** Milliseconds from an arbitrary start, never backwards. */
  monotonicMs(): number;
  /** Unix milliseconds; may jump, and have fractions. */
  wallMs(): number;
}

export const systemClock: Clock = { monotonicMs: () => performance.now(), wallMs: () => Date.now() };

/** What the engine is told: a batch carries whole milliseconds. */
export const wholeMs = (clock: Clock): number => Math.floor(clock.wallMs());

/** How many ticks are due at `now`, and where the count goes on. Pure. */
export function dueTicks(lastMs: number, nowMs: number): { readonly ticks: number; readonly lastMs: number } {
  const due = Math.max(0, Math.floor((nowMs - lastMs) / TICK_MS));
  if (due <= CATCH_UP_TICKS_MAX) return { ticks: due, lastMs: lastMs + due * TICK_MS };
  return { ticks: CATCH_UP_TICKS_MAX, lastMs: nowMs };
}

export function startTicker(clock: Clock, scheduler: Scheduler, onTicks: (ticks: number) => void): Timer {
  let lastMs = clock.monotonicMs();
  return scheduler.every(TICK_MS, () => {
    const due = dueTicks(lastMs, clock.monotonicMs());
    lastMs = due.lastMs;
    if (due.ticks > 0) onTicks(due.ticks);
  });
}
