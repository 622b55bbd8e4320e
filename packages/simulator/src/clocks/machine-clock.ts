/** The clocks of one machine: a monotonic one for timers, a wall clock for timestamps. */
import type { Scheduler } from "../scheduler.ts";
import { EPOCH_MS } from "../node.ts";

export class MachineClock {
  private readonly scheduler: Scheduler;
  /** Wall clock minus true time. */
  offsetMs: number;

  constructor(scheduler: Scheduler, offsetMs: number) {
    this.scheduler = scheduler;
    this.offsetMs = offsetMs;
  }

  monotonicMs(): number {
    return this.scheduler.now / 1000;
  }

  wallMs(): number {
    return Math.floor(EPOCH_MS + this.scheduler.now / 1000 + this.offsetMs);
  }
}
