/**
 * Work put off to the end of the current turn of the event loop, and the slow clock that deadlines are counted on.
 * Everything sent to a peer during one turn leaves in one write.
 */
export interface Task {
  run(): void;
}

const atEndOfTurn: (run: () => void) => void =
  typeof setImmediate === "function" ? (run) => void setImmediate(run) : (run) => queueMicrotask(run);

export class Turn {
  #tasks = new Set<Task>();
  #scheduled = false;

  /** Runs `task` once, at the end of this turn; added from within a running task, at the end of the next. */
  add(task: Task): void {
    this.#tasks.add(task);
    if (this.#scheduled) return;
    this.#scheduled = true;
    atEndOfTurn(() => this.#run());
  }

  #run(): void {
    const tasks = this.#tasks;
    this.#tasks = new Set();
    this.#scheduled = false;
    for (const task of tasks) task.run();
  }
}

const TICK_MS = 250;

/**
 * Milliseconds of running time, in steps of TICK_MS. A process that was suspended or starved does not find every peer
 * overdue when it comes back: time it did not live through is not counted against anybody.
 */
export class Clock {
  #ms = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  get ms(): number {
    return this.#ms;
  }

  start(onTick: () => void): void {
    this.#timer = setInterval(() => {
      this.#ms += TICK_MS;
      onTick();
    }, TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
