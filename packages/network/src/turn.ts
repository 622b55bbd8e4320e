/**
 * Work put off to the end of what runs now, or of the current turn of the event loop, and the slow clock that deadlines are counted on.
 * Everything sent to a peer by one callback (a replica's turn, say) leaves in one write, before anything that came in meanwhile is read.
 */
export interface Task {
  run(): void;
}

interface NodeProcess {
  nextTick?(run: () => void): void;
}

// Absent in browsers, or replaced by less.
const { process } = globalThis as { readonly process?: NodeProcess };

const afterCallback: (run: () => void) => void =
  typeof process?.nextTick === "function" ? (run) => process.nextTick?.(run) : (run) => queueMicrotask(run);

const atEndOfTurn: (run: () => void) => void =
  typeof setImmediate === "function" ? (run) => void setImmediate(run) : (run) => queueMicrotask(run);

class Batch {
  readonly #schedule: (run: () => void) => void;
  #tasks = new Set<Task>();

  constructor(schedule: (run: () => void) => void) {
    this.#schedule = schedule;
  }

  add(task: Task): void {
    if (this.#tasks.size === 0) this.#schedule(() => this.#run());
    this.#tasks.add(task);
  }

  #run(): void {
    const tasks = this.#tasks;
    this.#tasks = new Set();
    for (const task of tasks) task.run();
  }
}

export class Turn {
  readonly #soon = new Batch(afterCallback);
  readonly #later = new Batch(atEndOfTurn);

  /** Runs `task` once, after the callback that runs now. Never from within a task: it would keep the event loop from turning. */
  soon(task: Task): void {
    this.#soon.add(task);
  }

  /** Runs `task` once, at the end of this turn; added from within a running task, at the end of the next. */
  add(task: Task): void {
    this.#later.add(task);
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
