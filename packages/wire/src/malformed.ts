/**
 * How a decoder gives up. Readers are straight-line code that throws {@link Malformed} at the first field that is wrong;
 * `decoding` turns that, and nothing else, into a value. No other exception is expected, on any input: one that escapes
 * is a bug of this package.
 */
import type { Rejection, RejectionCode } from "@narses/core";

export type Decoded<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly rejection: Rejection };

export class Malformed extends Error {
  override readonly name = "Malformed";
  readonly rejection: Rejection;
  /** Where the field starts, in bytes from the start of the outermost value given to the decoder that read it. */
  readonly offset: number;

  constructor(code: RejectionCode, detail: string, offset: number) {
    super(detail);
    this.rejection = { code, detail };
    this.offset = offset;
  }
}

export function decoding<T>(read: () => T): Decoded<T> {
  try {
    return { ok: true, value: read() };
  } catch (error) {
    if (error instanceof Malformed) return { ok: false, rejection: error.rejection };
    throw error;
  }
}
