/**
 * An operating-system process on virtual time: one thread that does one thing at a time, takes time for it, and can be paused and
 * killed. Whatever a killed process still has in its head (promises, callbacks) has no effect any more: every way out asks `alive`.
 */
import type { Scheduler } from "./scheduler.ts";

export interface ProcessOptions {
  readonly scheduler: Scheduler;
  /** An exception that nobody caught. */
  readonly onError: (error: unknown) => void;
}

/** Tasks that may wait for a thread, at most: beyond, the oldest kind of work (arrivals) is lost, as a kernel's buffers would. */
const WAITING_MAX = 100_000;

export class Process {
  alive = true;
  paused = false;
  private readonly options: ProcessOptions;
  private readonly waiting: (() => void)[] = [];
  private drainPlanned = false;
  private busyUntilUs = 0;
  /** Time the running task has used up. */
  private spentUs = 0;
  running = false;
  private readonly endings: ((spentUs: number) => void)[] = [];

  constructor(options: ProcessOptions) {
    this.options = options;
  }

  /** The running task takes this much longer. */
  spend(us: number): void {
    this.spentUs += us;
  }

  /** Runs once the thread is free; tasks run in the order in which they came. */
  run(task: () => void): void {
    if (!this.alive || this.waiting.length >= WAITING_MAX) return;
    this.waiting.push(task);
    this.drain();
  }

  after(delayUs: number, task: () => void): void {
    this.options.scheduler.after(delayUs, () => this.run(task));
  }

  /** When the running task is over, or at once if none runs: with the time it takes. */
  atEnd(task: (spentUs: number) => void): void {
    if (this.running) this.endings.push(task);
    else this.options.scheduler.after(0, () => task(0));
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.drain();
  }

  kill(): void {
    this.alive = false;
    this.waiting.length = 0;
  }

  private drain(): void {
    const { scheduler } = this.options;
    while (this.alive && !this.paused && !this.running && !this.drainPlanned && this.waiting.length > 0) {
      if (scheduler.now < this.busyUntilUs) {
        this.drainPlanned = true;
        scheduler.after(this.busyUntilUs - scheduler.now, () => {
          this.drainPlanned = false;
          this.drain();
        });
        return;
      }
      this.execute(this.waiting.shift() as () => void);
    }
  }

  private execute(task: () => void): void {
    const { scheduler, onError } = this.options;
    this.running = true;
    this.spentUs = 0;
    try {
      task();
    } catch (error) {
      onError(error);
    }
    scheduler.stir();
    this.running = false;
    for (const ending of this.endings.splice(0)) ending(this.spentUs);
    this.busyUntilUs = scheduler.now + Math.round(this.spentUs);
  }
}
