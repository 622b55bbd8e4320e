/**
 * Every combination of edge cases of the two points of a signature, made rather than copied: key A and nonce R each run
 * over honest points, points with one of the seven small-order components added, and the 14 encodings of small-order
 * points; S solves the equation for the prime-order parts. For each pair two messages, if there are: one where the small-order
 * parts of R + [k]A cancel (the equation without cofactor holds) and one where they do not (only the cofactored one holds).
 */
import { fromHex } from "@narses/core";
import { Point } from "@noble/ed25519";
import { sha512 } from "@noble/hashes/sha2.js";
import { GROUP_ORDER } from "../src/rule.ts";

export const bytesOf = (scalar: bigint): Uint8Array => fromHex(scalar.toString(16).padStart(64, "0")).reverse();
const scalarOf = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
export const concat = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts));
export const flipped = (bytes: Uint8Array, bit: number): Uint8Array => bytes.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));

const T8 = Point.fromHex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05");
/** [i]T8: all points of small order. */
const TORSION: readonly Point[] = Array.from({ length: 8 }, (_, i) => T8.multiply(BigInt(i), false));

/** The encodings beyond the canonical eight: y ≥ p, or x = 0 with the sign bit set. */
const ALTERNATES: readonly { readonly encoding: string; readonly torsion: number }[] = [
  { encoding: `01${"00".repeat(30)}80`, torsion: 0 },
  { encoding: `ee${"ff".repeat(30)}7f`, torsion: 0 },
  { encoding: `ee${"ff".repeat(31)}`, torsion: 0 },
  { encoding: `ec${"ff".repeat(31)}`, torsion: 4 },
  ...[`ed${"ff".repeat(30)}7f`, `ed${"ff".repeat(31)}`].map((encoding) => {
    const torsion = TORSION.findIndex((point) => point.equals(Point.fromHex(encoding, true)));
    return { encoding, torsion };
  }),
];

export interface EdgePoint {
  readonly label: string;
  readonly encoding: Uint8Array;
  /** The point is [scalar]B + [torsion]T8. */
  readonly scalar: bigint;
  readonly torsion: number;
  readonly kind: "honest" | "mixed" | "small";
}

function edgePoints(name: string, scalar: bigint): readonly EdgePoint[] {
  const base = Point.BASE.multiply(scalar);
  const large = TORSION.map((torsion, i): EdgePoint => {
    return { label: `${name} + T${i}`, encoding: base.add(torsion).toBytes(), scalar, torsion: i, kind: i === 0 ? "honest" : "mixed" };
  });
  const small = TORSION.map((torsion, i): EdgePoint => ({ label: `T${i}`, encoding: torsion.toBytes(), scalar: 0n, torsion: i, kind: "small" }));
  const alternate = ALTERNATES.map(({ encoding, torsion }): EdgePoint => {
    return { label: `T${torsion} as ${encoding}`, encoding: fromHex(encoding), scalar: 0n, torsion, kind: "small" };
  });
  return [...large, ...small, ...alternate];
}

const secret = (name: string): bigint => scalarOf(sha512(Buffer.from(name))) % GROUP_ORDER;

export const EDGE_KEYS: readonly EdgePoint[] = edgePoints("aB", secret("narses test key"));
export const EDGE_NONCES: readonly EdgePoint[] = edgePoints("rB", secret("narses test nonce"));

export interface EdgeCase {
  readonly label: string;
  readonly key: EdgePoint;
  readonly nonce: EdgePoint;
  readonly message: Uint8Array;
  readonly signature: Uint8Array;
  /** The small-order parts cancel: the equation holds without cofactor too. */
  readonly cofactorless: boolean;
}

function casesOf(key: EdgePoint, nonce: EdgePoint): EdgeCase[] {
  const found = new Map<boolean, EdgeCase>();
  for (let i = 0; i < 40 && found.size < 2; i++) {
    const message = Buffer.from(`edge case ${i}`);
    const k = scalarOf(sha512(concat(nonce.encoding, key.encoding, message))) % GROUP_ORDER;
    const cofactorless = (nonce.torsion + Number(k % 8n) * key.torsion) % 8 === 0;
    if (found.has(cofactorless)) continue;
    const signature = concat(nonce.encoding, bytesOf((nonce.scalar + k * key.scalar) % GROUP_ORDER));
    found.set(cofactorless, { label: `A = ${key.label}, R = ${nonce.label}, ${i}`, key, nonce, message, signature, cofactorless });
  }
  return [...found.values()];
}

export const EDGE_CASES: readonly EdgeCase[] = EDGE_KEYS.flatMap((key) => EDGE_NONCES.flatMap((nonce) => casesOf(key, nonce)));
