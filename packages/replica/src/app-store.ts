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

/** A state and its lifetime; every use of the store is one of this. */
class Guard<State extends StateReader> {
  readonly #state: State;
  #ended = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(state: State) {
    this.#state = state;
  }

  /** The state, for one call of it. */
  use(): State {
    if (this.#ended) throw new TypeError("this store belongs to an operation that has ended: apply and query must not keep it, and must be synchronous");
    return this.#state;
  }

  /** The call failed, which is not the application's doing. */
  failed(error: unknown): unknown {
    this.#failure ??= { error };
    return error;
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

class LeasedReader<State extends StateReader> implements AppReader {
  readonly #guard: Guard<State>;

  constructor(guard: Guard<State>) {
    this.#guard = guard;
  }

  get(key: string): unknown {
    const full = appKey(key);
    const state = this.#guard.use();
    try {
      return read(state, full);
    } catch (error) {
      throw this.#guard.failed(error);
    }
  }
}

type Writable = StateReader & Pick<StateStore, "put" | "delete">;

class LeasedStore extends LeasedReader<Writable> implements AppStore {
  readonly #guard: Guard<Writable>;

  constructor(guard: Guard<Writable>) {
    super(guard);
    this.#guard = guard;
  }

  put(key: string, value: unknown): void {
    const full = appKey(key);
    if (value === undefined) throw new TypeError(`the value for ${JSON.stringify(key)} is undefined: use delete, or null`);
    const bytes = encodePayload(value);
    if (bytes.length > STATE_VALUE_BYTES_MAX) {
      throw new TypeError(`the value for ${JSON.stringify(key)} has ${bytes.length} bytes, at most ${STATE_VALUE_BYTES_MAX}`);
    }
    const state = this.#guard.use();
    try {
      state.put(full, bytes);
    } catch (error) {
      throw this.#guard.failed(error);
    }
  }

  delete(key: string): void {
    const full = appKey(key);
    const state = this.#guard.use();
    try {
      state.delete(full);
    } catch (error) {
      throw this.#guard.failed(error);
    }
  }
}

class Leased<Store> implements Lease<Store> {
  readonly store: Store;
  readonly #guard: Guard<StateReader>;

  constructor(store: Store, guard: Guard<StateReader>) {
    this.store = store;
    this.#guard = guard;
  }

  end(): void {
    this.#guard.end();
  }
}

export function leaseReader(state: StateReader): Lease<AppReader> {
  const guard = new Guard(state);
  return new Leased<AppReader>(new LeasedReader(guard), guard);
}

export function leaseStore(state: Writable): Lease<AppStore> {
  const guard = new Guard(state);
  return new Leased<AppStore>(new LeasedStore(guard), guard);
}
