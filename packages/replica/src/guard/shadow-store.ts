/** A store for one run of a state machine: reads what is there, keeps what is written to itself, in order. */
import type { AppReader, AppStore } from "@narses/core";
import { decodePayload, encodePayload } from "@narses/wire";
import type { Outside } from "./traps.ts";

/** Null: deleted. */
export type Written = Uint8Array | null;

export class ShadowStore implements AppStore {
  readonly #base: AppReader;
  readonly #writes = new Map<string, Written>();
  /** Keys in the order of their first write. */
  readonly order: string[] = [];

  readonly #outside: Outside;

  constructor(base: AppReader, outside: Outside) {
    this.#base = base;
    this.#outside = outside;
  }

  get writes(): ReadonlyMap<string, Written> {
    return this.#writes;
  }

  get(key: string): unknown {
    const written = this.#writes.get(key);
    if (written === undefined) return this.#outside(() => this.#base.get(key));
    return written === null ? undefined : this.#outside(() => decode(written));
  }

  put(key: string, value: unknown): void {
    // As the real store does: what is written is the bytes, not the object.
    this.#set(key, this.#outside(() => encodePayload(value)));
  }

  delete(key: string): void {
    this.#set(key, null);
  }

  #set(key: string, value: Written): void {
    if (!this.#writes.has(key)) this.order.push(key);
    this.#writes.set(key, value);
  }
}

/** @throws TypeError for bytes that `encodePayload` did not make. */
export function decode(bytes: Uint8Array): unknown {
  const decoded = decodePayload(bytes);
  if (!decoded.ok) throw new TypeError(decoded.rejection.detail);
  return decoded.value;
}
