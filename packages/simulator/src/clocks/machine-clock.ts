/**
 * The clocks of one machine: a monotonic one for timers, that may run a little fast or slow, and a wall clock for timestamps, that may
 * be set, stand still, or be wrong from the start. The one says nothing about the other.
 */
import { EPOCH_MS } from "../node.ts";
import type { Scheduler } from "../scheduler.ts";

export class MachineClock {
  private readonly scheduler: Scheduler;
  /** Own seconds per true second. */
  readonly rate: number;
  private readonly usualOffsetMs: number;
  /** Wall clock minus true time. */
  private offsetMs: number;
  private frozenAtMs: number | undefined;

  constructor(scheduler: Scheduler, { offsetMs, rate }: { readonly offsetMs: number; readonly rate: number }) {
    this.scheduler = scheduler;
    this.offsetMs = offsetMs;
    this.usualOffsetMs = offsetMs;
    this.rate = rate;
  }

  monotonicMs(): number {
    return this.scheduler.now / 1000 * this.rate;
  }

  wallMs(): number {
    return this.frozenAtMs ?? Math.floor(EPOCH_MS + this.scheduler.now / 1000 + this.offsetMs);
  }

  /** True microseconds that this machine takes for `ms` of its own milliseconds. */
  trueUs(ms: number): number {
    return ms * 1000 / this.rate;
  }

  /** Somebody sets the wall clock. */
  jump(ms: number): void {
    this.frozenAtMs = undefined;
    this.offsetMs += ms;
  }

  /** The wall clock stands still. */
  freeze(): void {
    this.frozenAtMs = this.wallMs();
  }

  /** The wall clock is as it was. */
  heal(): void {
    this.frozenAtMs = undefined;
    this.offsetMs = this.usualOffsetMs;
  }
}
