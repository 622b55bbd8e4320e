/**
 * The application's view of the state: its own prefix, msgpack values, and a lifetime of one operation. A failure of the
 * store itself is never mistaken for a failure of the application: the first one is kept, and stops the replica.
 */
import { NarsesError, type AppReader, type AppStore, type StateReader, type StateStore } from "@narses/core";
import { STATE_VALUE_BYTES_MAX } from "@narses/storage/portable";
import { decodeOwnPayload, encodePayload } from "@narses/wire";
import { appKey } from "./state-keys.ts";

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

/** The state, for one call of it. @throws TypeError when the lifetime is over. */
let inUse: <State extends StateReader>(lease: LeasedReader<State>) => State;
/** A call of the state failed, which is not the application's doing. */
let failed: (lease: Lease, error: unknown) => unknown;
/** Ends the lifetime: from now on every use throws TypeError. @throws the failure of the underlying state, if it had one. */
let endLease: (lease: Lease) => void;

/** A lifetime and a view of the state in one object: one is made for each operation. */
class LeasedReader<State extends StateReader> implements AppReader {
  readonly #state: State;
  #ended = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(state: State) {
    this.#state = state;
  }

  get(key: string): unknown {
    const full = appKey(key);
    const state = inUse(this);
    try {
      return read(state, full);
    } catch (error) {
      throw failed(this, error);
    }
  }

  // Out of the application's reach, which holds the object.
  static {
    inUse = (lease) => {
      if (lease.#ended) throw new TypeError("this store belongs to an operation that has ended: apply and query must not keep it, and must be synchronous");
      return lease.#state as never;
    };
    failed = (lease, error) => {
      lease.#failure ??= { error };
      return error;
    };
    endLease = (lease) => {
      lease.#ended = true;
      if (lease.#failure !== undefined) throw lease.#failure.error;
    };
  }
}

type Writable = StateReader & Pick<StateStore, "put" | "delete">;

class LeasedStore extends LeasedReader<Writable> implements AppStore {
  put(key: string, value: unknown): void {
    const full = appKey(key);
    if (value === undefined) throw new TypeError(`the value for ${JSON.stringify(key)} is undefined: use delete, or null`);
    const bytes = encodePayload(value);
    if (bytes.length > STATE_VALUE_BYTES_MAX) {
      throw new TypeError(`the value for ${JSON.stringify(key)} has ${bytes.length} bytes, at most ${STATE_VALUE_BYTES_MAX}`);
    }
    const state = inUse(this);
    try {
      state.put(full, bytes);
    } catch (error) {
      throw failed(this, error);
    }
  }

  delete(key: string): void {
    const full = appKey(key);
    const state = inUse(this);
    try {
      state.delete(full);
    } catch (error) {
      throw failed(this, error);
    }
  }
}

/** What the application is given: usable until {@link endLease}. */
export type Lease = LeasedReader<StateReader>;

export const leaseReader = (state: StateReader): Lease => new LeasedReader(state);
export const leaseStore = (state: Writable): Lease & AppStore => new LeasedStore(state);

export { endLease };
