/**
 * The writes of one bundle, held back until all of it is known: those of an operation that fails never reach the state,
 * and a bundle whose writes the state cannot hold leaves no trace at all.
 */
import type { StateReader, StateStore } from "@narses/core";
import { APP_STATE_PREFIX } from "@narses/wire";

/** Null: deleted. */
type Writes = Map<string, Uint8Array | null>;

export class Overlay implements StateReader {
  readonly #base: StateReader;
  readonly #bundle: Writes = new Map();
  /** Those of the operation that runs; empty when none does. */
  readonly #operation: Writes = new Map();
  #running = false;

  constructor(base: StateReader) {
    this.#base = base;
  }

  get(key: string): Uint8Array | undefined {
    let written = this.#running ? this.#operation.get(key) : undefined;
    if (written === undefined) written = this.#bundle.get(key);
    return written === undefined ? this.#base.get(key) : (written ?? undefined);
  }

  put(key: string, value: Uint8Array): void {
    (this.#running ? this.#operation : this.#bundle).set(key, value);
  }

  delete(key: string): void {
    (this.#running ? this.#operation : this.#bundle).set(key, null);
  }

  /** Takes back all that the application wrote. */
  forgetApplication(): void {
    for (const key of this.#bundle.keys()) if (key.startsWith(APP_STATE_PREFIX)) this.#bundle.delete(key);
  }

  /** Begins an operation; then commit or rollback. */
  begin(): void {
    this.#running = true;
  }

  commit(): void {
    for (const [key, value] of this.#operation) this.#bundle.set(key, value);
    this.rollback();
  }

  rollback(): void {
    this.#operation.clear();
    this.#running = false;
  }

  /**
   * Writes everything to the state, or nothing: false when the state has no room for it (a limit of its layout, so the same
   * on every replica). @throws a failure of the state.
   */
  flush(state: Pick<StateStore, "begin" | "put" | "delete" | "commit" | "rollback">): boolean {
    if (this.#bundle.size === 0) return true;
    state.begin();
    try {
      for (const [key, value] of this.#bundle) if (value === null) state.delete(key);
      for (const [key, value] of this.#bundle) if (value !== null) state.put(key, value);
    } catch (error) {
      state.rollback();
      if (error instanceof RangeError) return false;
      throw error;
    }
    state.commit();
    return true;
  }
}
