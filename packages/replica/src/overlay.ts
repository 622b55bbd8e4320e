/**
 * The writes of one bundle, held back until all of it is known: those of an operation that fails never reach the state,
 * and a bundle whose writes the state cannot hold leaves no trace at all.
 */
import type { StateReader, StateStore } from "@narses/core";
import { APP_STATE_PREFIX } from "@narses/wire";

/** Writes of one operation that are noted without a look at which keys were noted before, which would cost more than it saves. */
const UNDOS_UNCHECKED_MAX = 64;

export class Overlay implements StateReader {
  readonly #base: StateReader;
  /** Null: deleted. */
  readonly #writes: Map<string, Uint8Array | null> = new Map();
  /** What the operation that runs has overwritten, oldest first: the first #undos of them. Kept between operations, as most write as much as the one before. */
  readonly #undoKeys: string[] = [];
  readonly #undoValues: (Uint8Array | null | undefined)[] = [];
  #undos = 0;
  /** Keys that are noted; once there are many notes. */
  #noted: Set<string> | undefined;
  #running = false;

  constructor(base: StateReader) {
    this.#base = base;
  }

  get(key: string): Uint8Array | undefined {
    const written = this.#writes.get(key);
    return written === undefined ? this.#base.get(key) : (written ?? undefined);
  }

  put(key: string, value: Uint8Array): void {
    this.#set(key, value);
  }

  delete(key: string): void {
    this.#set(key, null);
  }

  #set(key: string, value: Uint8Array | null): void {
    if (this.#running && this.#isToNote(key)) {
      this.#undoKeys[this.#undos] = key;
      this.#undoValues[this.#undos++] = this.#writes.get(key);
    }
    this.#writes.set(key, value);
  }

  /** An operation that writes a key again and again must not keep every value it had. */
  #isToNote(key: string): boolean {
    if (this.#undos < UNDOS_UNCHECKED_MAX) return true;
    this.#noted ??= new Set(this.#undoKeys.slice(0, this.#undos));
    return this.#noted.size < this.#noted.add(key).size;
  }

  /** Takes back all that the application wrote. */
  forgetApplication(): void {
    for (const key of this.#writes.keys()) if (key.startsWith(APP_STATE_PREFIX)) this.#writes.delete(key);
  }

  /** Begins an operation; then commit or rollback. */
  begin(): void {
    this.#running = true;
  }

  commit(): void {
    this.#undos = 0;
    this.#noted = undefined;
    this.#running = false;
  }

  rollback(): void {
    while (this.#undos > 0) {
      const key = this.#undoKeys[--this.#undos] ?? "";
      const value = this.#undoValues[this.#undos];
      if (value === undefined) this.#writes.delete(key);
      else this.#writes.set(key, value);
    }
    this.#noted = undefined;
    this.#running = false;
  }

  /**
   * Writes everything to the state, or nothing: false when the state has no room for it (a limit of its layout, so the same
   * on every replica). @throws a failure of the state.
   */
  flush(state: Pick<StateStore, "begin" | "put" | "delete" | "commit" | "rollback">): boolean {
    if (this.#writes.size === 0) return true;
    state.begin();
    try {
      for (const [key, value] of this.#writes) if (value === null) state.delete(key);
      for (const [key, value] of this.#writes) if (value !== null) state.put(key, value);
    } catch (error) {
      state.rollback();
      if (error instanceof RangeError) return false;
      throw error;
    }
    state.commit();
    return true;
  }
}
