/** Measures an import from outside: when payments were confirmed, and the longest silence in between. */

export interface Watch {
  confirmed(): void;
  /** From now on silences count. */
  mark(): void;
  readonly count: number;
  /** Milliseconds: the longest time without a confirmation, from the last one before `mark` on. */
  readonly longestGapMs: number;
}

export function createWatch(now: () => number): Watch {
  let count = 0;
  let last = now();
  let marked = false;
  let longest = 0;
  return {
    confirmed: () => {
      const at = now();
      if (marked) longest = Math.max(longest, at - last);
      last = at;
      count++;
    },
    mark: () => {
      marked = true;
    },
    get count() {
      return count;
    },
    get longestGapMs() {
      return longest;
    },
  };
}

/** Waits before each chunk so that items start at `perSecond` on average; never sleeps for less than a millisecond. */
export function createPace(perSecond: number, now: () => number): (started: number) => Promise<void> {
  const begin = now();
  return async (started) => {
    const early = begin + (started * 1_000) / perSecond - now();
    if (early >= 1) await new Promise((resolve) => setTimeout(resolve, early));
  };
}
