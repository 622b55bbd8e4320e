/** What is drawn about links: weather, and which of them are cut. */
import type { Random } from "../random.ts";
import { DELAY_SHAPES, type Conditions } from "./network.ts";

/** Directed links, by their endpoints. */
export type Pairs = readonly (readonly [number, number])[];

const SHAPES = ["halves", "single", "one-way", "ring", "star", "bridge"] as const;
export type CutShape = (typeof SHAPES)[number];

export const drawConditions = (random: Random): Conditions => ({
  delayMinUs: random.pick([100, 1_000, 10_000]),
  delayMeanUs: random.pick([200, 2_000, 30_000, 100_000]),
  shape: random.pick(DELAY_SHAPES),
  loss: random.pick([0, 0, 0.02, 0.1, 0.3]),
  duplication: random.pick([0, 0, 0.05, 0.5]),
  reordering: random.chance(0.7),
});

export const describeConditions = ({ delayMinUs, delayMeanUs, shape, loss, duplication, reordering }: Conditions): string =>
  `delay ${delayMinUs}+${delayMeanUs} µs ${shape}, loss ${loss}, duplication ${duplication}${reordering ? ", reordering" : ""}`;

/** Links to cut: in two halves, one node alone, only one direction, only neighbours, only through one node, two halves with one node between. */
export function drawCut(random: Random, endpoints: readonly number[]): { readonly shape: CutShape; readonly pairs: Pairs } {
  const order = random.shuffle(endpoints);
  const shape = random.pick(SHAPES);
  const size = random.int(1, Math.max(1, order.length - 1));
  const cut = (i: number, j: number): boolean => {
    switch (shape) {
      case "halves":
      case "one-way":
        return i < size && j >= size;
      case "single":
        return i === 0;
      case "ring":
        return j - i > 1 && j - i < order.length - 1;
      case "star":
        return i > 0;
      case "bridge":
        return i > 0 && i <= order.length / 2 && j > order.length / 2;
    }
  };
  const pairs = order.flatMap((a, i) => order.flatMap((b, j) => {
    if (i >= j || !cut(i, j)) return [];
    return shape === "one-way" ? [[a, b] as const] : [[a, b] as const, [b, a] as const];
  }));
  return { shape, pairs };
}
