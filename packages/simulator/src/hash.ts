/**
 * Fast, deterministic, NOT cryptographic hashing of short texts: 128 bits, enough to tell every value of a run apart.
 * Nothing in the simulator searches for collisions, so this stands in for SHA-256 at a fraction of its cost.
 */
import type { Digest } from "@narses/core";

export type Lanes = readonly [number, number, number, number];

/** A bijection that spreads every bit. */
const mix = (value: number): number => {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
  return (x ^ (x >>> 15)) >>> 0;
};

/**
 * Four 32-bit lanes over the UTF-16 units of `text`. Each lane's step is a bijection of the lane for a given unit, so that
 * nothing said early is forgotten later (a hash that mixes lanes non-bijectively forgets: one did, and the oracles saw it).
 */
export function lanes(text: string): Lanes {
  let a = 0x6a09e667 | 0;
  let b = 0xbb67ae85 | 0;
  let c = 0x3c6ef372 | 0;
  let d = 0xa54ff53a | 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    a = Math.imul(((a << 5) | (a >>> 27)) ^ unit, 0x9e3779b1);
    b = Math.imul(((b << 7) | (b >>> 25)) ^ unit, 0x85ebca77);
    c = Math.imul(((c << 11) | (c >>> 21)) ^ unit, 0xc2b2ae3d);
    d = Math.imul(((d << 13) | (d >>> 19)) ^ unit, 0x27d4eb2f);
  }
  return [mix(a ^ text.length), mix(b + a), mix(c + b), mix(d + c)];
}

const hex32 = (value: number): string => (value >>> 0).toString(16).padStart(8, "0");
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
