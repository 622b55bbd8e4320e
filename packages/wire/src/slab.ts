/**
 * Small byte strings, cut one after the other from shared buffers: a buffer of its own costs more than what is in it, to make and to collect.
 * What is kept for long is copied by whoever keeps it, or it would keep its whole slab.
 */
const SLAB_BYTES = 16 << 10;
/** Longer ones get a buffer of their own. */
const PIECE_BYTES_MAX = 1 << 10;

let slab = new Uint8Array(0);
let used = 0;

/** Zeros, and nobody else's. */
export function piece(length: number): Uint8Array {
  if (length > PIECE_BYTES_MAX) return new Uint8Array(length);
  if (used + length > slab.length) {
    slab = new Uint8Array(SLAB_BYTES);
    used = 0;
  }
  used += length;
  return slab.subarray(used - length, used);
}

/** Up to here a loop is faster than a view and a call. */
const LOOP_BYTES_MAX = 48;

/** A copy of the first `length` bytes. */
export function pieceOf(bytes: Uint8Array, length: number): Uint8Array {
  const copy = piece(length);
  if (length > LOOP_BYTES_MAX) copy.set(bytes.subarray(0, length));
  else for (let i = 0; i < length; i++) copy[i] = bytes[i] ?? 0;
  return copy;
}
