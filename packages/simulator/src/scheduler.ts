/** Virtual time: one binary heap of events, ordered by (µs, seeded tie-break, insertion). */
import type { Random } from "./random.ts";

interface Event {
  readonly at: number;
  readonly tie: number;
  readonly order: number;
  readonly run: () => void;
}

const before = (x: Event, y: Event): boolean =>
  x.at !== y.at ? x.at < y.at : x.tie !== y.tie ? x.tie < y.tie : x.order < y.order;

export class Scheduler {
  /** Virtual microseconds since the start of the run. */
  now = 0;
  /** Events run so far. */
  events = 0;
  private stirred = false;
  private readonly heap: Event[] = [];
  private readonly ties: Random;
  private order = 0;

  constructor(random: Random) {
    this.ties = random;
  }

  /** Runs `run` after `delayUs` (rounded, at least 0). Events of the same microsecond run in seeded random order. */
  after(delayUs: number, run: () => void): void {
    this.push({ at: this.now + Math.max(0, Math.round(delayUs)), tie: this.ties.word(), order: this.order++, run });
  }

  /** This event may have settled promises. */
  stir(): void {
    this.stirred = true;
  }

  /** Whether `stir` was called since the last call. */
  takeStirred(): boolean {
    const { stirred } = this;
    this.stirred = false;
    return stirred;
  }

  /** Runs the next event; false when there is none at or before `untilUs`. */
  next(untilUs: number): boolean {
    const first = this.heap[0];
    if (first === undefined || first.at > untilUs) return false;
    this.pop();
    this.now = first.at;
    this.events++;
    first.run();
    return true;
  }

  private push(event: Event): void {
    const { heap } = this;
    let i = heap.length;
    heap.push(event);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const above = heap[parent] as Event;
      if (!before(event, above)) break;
      heap[i] = above;
      i = parent;
    }
    heap[i] = event;
  }

  private pop(): void {
    const { heap } = this;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Event, heap[child] as Event)) child++;
      const lower = heap[child] as Event;
      if (!before(lower, last)) break;
      heap[i] = lower;
      i = child;
    }
    heap[i] = last;
  }
}
