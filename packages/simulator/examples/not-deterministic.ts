/** What must not be done: the fee depends on chance, so every replica computes another state. The simulator says so. */
import type { StateMachine } from "@narses/core";

export const app: StateMachine<{ readonly add: number }, number> = {
  apply({ add }, { store }) {
    const fee = Math.random() < 0.1 ? 1 : 0;
    const total = ((store.get("total") as number | undefined) ?? 0) + add - fee;
    store.put("total", total);
    return total;
  },
};

export const operation = (random: { int(min: number, max: number): number }): unknown => ({ add: random.int(1, 100) });
