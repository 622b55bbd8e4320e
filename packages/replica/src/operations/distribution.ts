/** How often values of a size came up: a histogram as plain numbers, cheap enough for every turn; read at scrape time. */

export class Distribution {
  /** Upper bounds, inclusive, ascending. */
  readonly bounds: readonly number[];
  /** counts[i]: values in (bounds[i−1], bounds[i]]; the last one counts what is above every bound. */
  readonly counts: Float64Array;
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  get sum(): number {
    return this.#sum;
  }

  observe(value: number): void {
    let i = 0;
    while (i < this.bounds.length && value > (this.bounds[i] as number)) i++;
    this.counts[i] = (this.counts[i] as number) + 1;
    this.#sum += value;
  }
}

/** What a replica measures, beside what it counts. */
export interface Measures {
  /** Time of one wait for the disk of the vote log, seconds. */
  readonly fsyncSeconds: Distribution;
  /** Time to execute one slot, seconds. */
  readonly executionSeconds: Distribution;
  /** Operations of one executed slot. */
  readonly batchOperations: Distribution;
  /** Milliseconds from an arbitrary start. */
  readonly nowMs: () => number;
}

export function newMeasures(nowMs: () => number): Measures {
  return {
    fsyncSeconds: new Distribution([0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1]),
    executionSeconds: new Distribution([0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1]),
    batchOperations: new Distribution([0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000]),
    nowMs,
  };
}
