/**
 * Linearizability by the log: replicas agree on a total order, so it is enough that (i) each acknowledged result is what replaying
 * that order one by one gives at the operation's place, and (ii) an operation that returned before another was invoked stands before
 * it. O(m log m). It trusts the log; `wgl.ts` does not.
 */
import type { HistoryEntry } from "./history.ts";

/** Where the agreed log has an operation, and what the replay of the log up to there gave. */
export interface Replayed<Output> {
  /** Counts operations over the whole log. */
  readonly position: number;
  readonly output: Output;
}

/** @returns the first thing wrong, in words; undefined when the history is linearizable in the order of the log. */
export function checkAgainstLog<Input, Output>(
  history: readonly HistoryEntry<Input, Output>[], log: ReadonlyMap<string, Replayed<Output>>, equal: (a: Output, b: Output) => boolean,
): string | undefined {
  const acknowledged: { readonly id: string; readonly invokedAt: number; readonly returnedAt: number; readonly position: number }[] = [];
  for (const { id, invokedAt, returned } of history) {
    if (returned === undefined) continue;
    const held = log.get(id);
    if (held === undefined) return `${id} was acknowledged, but the agreed log does not hold it`;
    if (!equal(held.output, returned.output)) return `${id} was answered ${show(returned.output)}, but replaying the log gives ${show(held.output)} at place ${held.position}`;
    acknowledged.push({ id, invokedAt, returnedAt: returned.at, position: held.position });
  }
  // Sweep by invocation: everything returned strictly earlier must stand lower.
  const byInvocation = [...acknowledged].sort((a, b) => a.invokedAt - b.invokedAt);
  const byReturn = [...acknowledged].sort((a, b) => a.returnedAt - b.returnedAt);
  let next = 0;
  let highest: (typeof acknowledged)[number] | undefined;
  for (const entry of byInvocation) {
    for (let earlier = byReturn[next]; earlier !== undefined && earlier.returnedAt < entry.invokedAt; earlier = byReturn[++next]) {
      if (highest === undefined || earlier.position > highest.position) highest = earlier;
    }
    if (highest !== undefined && highest.position > entry.position) {
      return `${highest.id} returned before ${entry.id} was invoked, but stands at ${highest.position} after it at ${entry.position}: the order contradicts real time`;
    }
  }
  return undefined;
}

const show = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value)) ?? "undefined";
