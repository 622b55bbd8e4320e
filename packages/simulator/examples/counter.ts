/** A well-behaved application: `narses-sim --app examples/counter.ts --faults byzantine`. */
import { AppRejection, type StateMachine } from "@narses/core";

export const app: StateMachine<{ readonly key: string; readonly add: number }, number> = {
  apply({ key, add }, { store }) {
    const total = ((store.get(key) as number | undefined) ?? 0) + add;
    if (total < 0) throw new AppRejection("OVERDRAWN", `${key} has too little`);
    store.put(key, total);
    return total;
  },
};

export const operation = (random: { int(min: number, max: number): number }): unknown => ({ key: `account ${random.int(1, 5)}`, add: random.int(-50, 100) });
