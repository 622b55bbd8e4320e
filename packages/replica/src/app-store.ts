/**
 * The application's view of the state: its own prefix, msgpack values, and a lifetime of one operation. A failure of the
 * store itself is never mistaken for a failure of the application: the first one is kept, and stops the replica.
 */
import { NarsesError, type AppReader, type AppStore, type StateReader, type StateStore } from "@narses/core";
import { STATE_VALUE_BYTES_MAX } from "@narses/storage/portable";
import { decodeOwnPayload, encodePayload } from "@narses/wire";
import { appKey } from "./state-keys.ts";

export interface Lease<Store> {
  readonly store: Store;
  /** Ends the lifetime: from now on every use throws TypeError. @throws the failure of the underlying store, if it had one. */
  end(): void;
}

class Guard {
  #ended = false;
  #failure: { readonly error: unknown } | undefined;

  /** Runs a call of the underlying store. */
  run<T>(call: () => T): T {
    if (this.#ended) throw new TypeError("this store belongs to an operation that has ended: apply and query must not keep it, and must be synchronous");
    try {
      return call();
    } catch (error) {
      this.#failure ??= { error };
      throw error;
    }
  }

  end(): void {
    this.#ended = true;
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

function read(state: StateReader, key: string): unknown {
  const bytes = state.get(key);
  if (bytes === undefined) return undefined;
  const decoded = decodeOwnPayload(bytes);
  if (!decoded.ok) {
    const where = JSON.stringify(key);
    throw new NarsesError("DATA_CORRUPT", `the state holds a value that cannot be decoded under ${where}: ${decoded.rejection.detail}`, { key });
  }
  return decoded.value;
}

export function leaseReader(state: StateReader): Lease<AppReader> {
  const guard = new Guard();
  const store: AppReader = {
    get(key) {
      const full = appKey(key);
      return guard.run(() => read(state, full));
    },
  };
  return { store, end: () => guard.end() };
}

export function leaseStore(state: StateReader & Pick<StateStore, "put" | "delete">): Lease<AppStore> {
  const guard = new Guard();
  const store: AppStore = {
    get(key) {
      const full = appKey(key);
      return guard.run(() => read(state, full));
    },
    put(key, value) {
      const full = appKey(key);
      if (value === undefined) throw new TypeError(`the value for ${JSON.stringify(key)} is undefined: use delete, or null`);
      const bytes = encodePayload(value);
      if (bytes.length > STATE_VALUE_BYTES_MAX) {
        throw new TypeError(`the value for ${JSON.stringify(key)} has ${bytes.length} bytes, at most ${STATE_VALUE_BYTES_MAX}`);
      }
      guard.run(() => state.put(full, bytes));
    },
    delete(key) {
      const full = appKey(key);
      guard.run(() => state.delete(full));
    },
  };
  return { store, end: () => guard.end() };
}
