import type { Timers } from "../../src/timers.ts";

/** Time that moves only when told to; callbacks run in order of their deadline. */
export class FakeTimers implements Timers {
  #now = 0;
  #lastId = 0;
  readonly #waiting = new Map<number, { readonly at: number; readonly callback: () => void }>();

  now(): number {
    return this.#now;
  }

  set(ms: number, callback: () => void): unknown {
    this.#waiting.set(++this.#lastId, { at: this.#now + ms, callback });
    return this.#lastId;
  }

  clear(handle: unknown): void {
    this.#waiting.delete(handle as number);
  }

  get pending(): number {
    return this.#waiting.size;
  }

  /** Milliseconds until the next callback. */
  get nextInMs(): number | undefined {
    return this.#waiting.size === 0 ? undefined : Math.min(...[...this.#waiting.values()].map(({ at }) => at)) - this.#now;
  }

  /** Moves time, running what falls due, and lets promises settle after each. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await turn();
      const due = [...this.#waiting].filter(([, { at }]) => at <= end).sort(([a, x], [b, y]) => x.at - y.at || a - b)[0];
      if (due === undefined) break;
      this.#waiting.delete(due[0]);
      this.#now = due[1].at;
      due[1].callback();
    }
    this.#now = end;
    await turn();
  }
}

/** Lets everything that is already due in the promise queue run. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
