/** Retransmission delays: exponential, capped, spread by a seeded jitter so that a run can be repeated exactly. */

/** Share of a delay that jitter may take away. Only downwards: the configured delays are upper bounds. */
const JITTER = 0.25;

/** Mulberry32: a deterministic stream of numbers in [0, 1). Not for secrets. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b_79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

export interface Backoff {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * How long answers take lately: mean and deviation as TCP keeps them (RFC 6298). Measured from the first sending, so that answers to
 * bundles sent again count too, as what they are: slow. A cluster that is late is not made later by hearing everything again.
 */
export class Patience {
  #mean: number | undefined;
  #deviation = 0;

  answered(ms: number): void {
    if (this.#mean === undefined) {
      this.#mean = ms;
      this.#deviation = ms / 2;
      return;
    }
    this.#deviation += (Math.abs(ms - this.#mean) - this.#deviation) / 4;
    this.#mean += (ms - this.#mean) / 8;
  }

  /** Silence longer than this says something; at least `leastMs`. */
  delayMs(leastMs: number): number {
    return this.#mean === undefined ? leastMs : Math.max(leastMs, this.#mean + 4 * this.#deviation);
  }
}

/** Delays are multiples of it, but for the longest of a kind: Node keeps timers of one length in one list, and each new length costs a sorted insertion. */
const GRID_MS = 16;

/** Delay before retransmission `attempt` (0 for the first): from 75 % to 100 % of min(firstMs · 2^attempt, maxMs). */
export function retransmitDelayMs(attempt: number, backoff: Backoff, random: () => number): number {
  const full = Math.min(backoff.firstMs * 2 ** Math.min(attempt, 30), backoff.maxMs);
  const exact = full * (1 - JITTER * random());
  return Math.max(1, Math.round(Math.min(full, Math.ceil(exact / GRID_MS) * GRID_MS)));
}
