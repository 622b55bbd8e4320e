/** The default application: every operation adds one to a counter and answers the new count; any repetition, loss or reordering shows. */
import type { StateMachine } from "@narses/core";

export const counterApp: StateMachine = {
  genesis: (_data, store) => store.put("count", 0),
  apply(operation, { store, client, rid }) {
    const count = (store.get("count") as number) + 1;
    store.put("count", count);
    // Keys of its own for each client, so that the state has some breadth.
    store.put(`last/${client}/${rid % 8}`, { operation, count });
    return count;
  },
};
