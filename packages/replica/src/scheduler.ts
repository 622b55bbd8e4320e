/** When things run: real timers in production; a simulator brings virtual time, so that a whole cluster runs in one thread. */
export interface Timer {
  stop(): void;
}

export interface Scheduler {
  /** Once, after what runs now and what has come in meanwhile. */
  soon(run: () => void): void;
  after(ms: number, run: () => void): Timer;
  every(ms: number, run: () => void): Timer;
}

export const systemScheduler: Scheduler = {
  soon: (run) => void setImmediate(run),
  after: (ms, run) => {
    const timer = setTimeout(run, ms);
    timer.unref(); // nothing that waits keeps a process alive
    return { stop: () => clearTimeout(timer) };
  },
  every: (ms, run) => {
    const timer = setInterval(run, ms);
    return { stop: () => clearInterval(timer) };
  },
};
