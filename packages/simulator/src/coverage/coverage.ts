/**
 * Coverage counters: what a run really did, by rule of the protocol and by fault. A fault is *reached* when a run may use it and
 * *effective* when it changed something. Observed from outside, on inputs, effects and the trace: nothing is planted in the engine.
 */
import type { Depth } from "../cli/seeds.ts";
import { catalogueOf } from "./catalogue.ts";

export type Counts = Readonly<Record<string, number>>;

export class Coverage {
  private readonly counts = new Map<string, number>();

  /** A rule was used, or a fault was effective. */
  sometimes(id: string): void {
    this.counts.set(id, (this.counts.get(id) ?? 0) + 1);
  }

  get all(): Counts {
    return Object.fromEntries([...this.counts].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}

export function addCounts(a: Counts, b: Counts): Counts {
  const sum: Record<string, number> = { ...a };
  for (const [id, count] of Object.entries(b)) sum[id] = (sum[id] ?? 0) + count;
  return sum;
}

/** Everything in the catalogue of this depth that never happened. */
export const neverHappened = (counts: Counts, depth: Depth): readonly string[] => catalogueOf(depth).filter((id) => (counts[id] ?? 0) === 0);
