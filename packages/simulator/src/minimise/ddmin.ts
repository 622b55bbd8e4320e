/** Delta debugging (Zeller and Hildebrandt, 2002): the parts of a failing case without which it still fails are taken out. */

/**
 * @param parts what can be left out.
 * @param fails whether the case made of these parts alone still fails in the same way.
 * @returns parts that still fail together, and from which no tried group can be taken.
 */
export async function ddmin<T>(parts: readonly T[], fails: (kept: readonly T[]) => Promise<boolean>): Promise<readonly T[]> {
  let kept = parts;
  let groups = 2;
  if (kept.length > 0 && (await fails([]))) return [];
  while (kept.length >= 2) {
    const size = Math.ceil(kept.length / groups);
    let smaller: readonly T[] | undefined;
    for (let start = 0; start < kept.length && smaller === undefined; start += size) {
      const rest = [...kept.slice(0, start), ...kept.slice(start + size)];
      if (await fails(rest)) smaller = rest;
    }
    if (smaller !== undefined) {
      kept = smaller;
      groups = Math.max(groups - 1, 2);
    } else if (size === 1) return kept;
    else groups = Math.min(kept.length, groups * 2);
  }
  return kept;
}
