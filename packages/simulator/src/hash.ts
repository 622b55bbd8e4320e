/**
 * Fast, deterministic, NOT cryptographic hashing of short texts: 128 bits, enough to tell every value of a run apart.
 * Nothing in the simulator searches for collisions, so this stands in for SHA-256 at a fraction of its cost.
 */
import type { Digest } from "@narses/core";

export type Lanes = readonly [number, number, number, number];

/** Four 32-bit lanes over the UTF-16 units of `text`. */
export function lanes(text: string): Lanes {
  let a = 0x6a09e667 | 0;
  let b = 0xbb67ae85 | 0;
  let c = 0x3c6ef372 | 0;
  let d = 0xa54ff53a | 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    const previous = a;
    a = b ^ Math.imul(a ^ unit, 597_399_067);
    b = c ^ Math.imul(b ^ unit, 2_869_860_233);
    c = d ^ Math.imul(c ^ unit, 951_274_213);
    d = previous ^ Math.imul(d ^ unit, 2_716_044_179);
  }
  a = Math.imul(c ^ (a >>> 18), 597_399_067);
  b = Math.imul(d ^ (b >>> 22), 2_869_860_233);
  c = Math.imul(a ^ (c >>> 17), 951_274_213);
  d = Math.imul(b ^ (d >>> 19), 2_716_044_179);
  a ^= b ^ c ^ d;
  return [a >>> 0, (b ^ a) >>> 0, (c ^ a) >>> 0, (d ^ a) >>> 0];
}

const hex32 = (value: number): string => (value >>> 0).toString(16).padStart(8, "0");
const mix = (value: number): number => {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
  return (x ^ (x >>> 15)) >>> 0;
};

/** A digest in the shape of SHA-256: 64 hex digits, of which the second half follows from the first. */
export function hashText(text: string): Digest {
  const [a, b, c, d] = lanes(text);
  return (hex32(a) + hex32(b) + hex32(c) + hex32(d) + hex32(mix(a)) + hex32(mix(b)) + hex32(mix(c)) + hex32(mix(d))) as Digest;
}

/** 16 bytes. */
export function hashBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  lanes(text).forEach((lane, i) => {
    view.setUint32(4 * i, lane);
  });
  return bytes;
}
