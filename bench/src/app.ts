/** The application of every benchmark: the least that still is a state machine, so that the framework is what is measured. */
import { defineStateMachine } from "@narses/replica";

/** An operation is opaque bytes; the state counts them and their length, one key a client. */
export const benchApp: ReturnType<typeof defineStateMachine<Uint8Array, number>> = defineStateMachine<Uint8Array, number>({
  apply(operation, { store, client }) {
    const [count, bytes] = (store.get(client) as readonly [number, number] | undefined) ?? [0, 0];
    store.put(client, [count + 1, bytes + operation.length]);
    return count + 1;
  },
  query: () => null,
});
