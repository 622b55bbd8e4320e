/**
 * The rule `ed25519-strict`: which public keys and which signatures are valid, to the last bit.
 *
 * Once per key: 32 bytes, canonical (y < p, no negative zero), on the curve, not of small order, torsion-free.
 * Per signature:
 *   1. 64 bytes R ‖ S,
 *   2. S < L,
 *   3. R is not one of the 14 encodings, canonical or not, of a point of small order,
 *   4. encode([S]B − [k]A) = R byte for byte, k = SHA-512(R ‖ A ‖ M) mod L over the bytes as received (no cofactor).
 *
 * Libraries differ in all of these (and one library between its versions), which a Byzantine signer can use to split
 * a cluster. Steps 1–3 and the key check are made here for every backend; 4 is what a backend brings, see `probe.ts`.
 */
import { bytesEqual, fromHex, NarsesError, toHex } from "@narses/core";
import { Point } from "@noble/ed25519";

export const PUBLIC_KEY_BYTES = 32;
export const SIGNATURE_BYTES = 64;

/** L, the order of the prime-order subgroup. */
export const GROUP_ORDER: bigint = Point.CURVE().n;
const GROUP_ORDER_BYTES = fromHex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");

/** y of every small-order point, sign bit clear, little-endian: 0, 1, p−1, the two of order 8, and p, p+1 for 0 and 1. With either sign: 14. */
const SMALL_ORDER_Y: readonly Uint8Array[] = [
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
].map(fromHex);

/** True when the 32 bytes at the start of `bytes` encode, canonically or not, a point whose order divides 8. */
export function startsWithSmallOrderPoint(bytes: Uint8Array): boolean {
  return SMALL_ORDER_Y.some((y) => {
    if (((bytes[31] ?? 0) & 0x7f) !== y[31]) return false;
    for (let i = 0; i < 31; i++) if (bytes[i] !== y[i]) return false;
    return true;
  });
}

function isScalarBelowOrder(signature: Uint8Array): boolean {
  for (let i = 31; i >= 0; i--) {
    const difference = (signature[32 + i] ?? 0) - (GROUP_ORDER_BYTES[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}

/** Steps 1 to 3 of the rule; step 4 is left to the backend. */
export function isSignatureWellFormed(signature: Uint8Array): boolean {
  return signature.length === SIGNATURE_BYTES && isScalarBelowOrder(signature) && !startsWithSmallOrderPoint(signature);
}

/** A public key that passed the once-per-key check. `bytes` is a private copy. */
export interface CheckedKey {
  readonly bytes: Uint8Array;
}

function invalid(bytes: Uint8Array, problem: string): NarsesError {
  const publicKey = toHex(bytes.subarray(0, PUBLIC_KEY_BYTES));
  return new NarsesError(
    "KEY_INVALID",
    `public key ${publicKey || "(empty)"} ${problem}; its owner did not make it with an Ed25519 library, or it was altered: get the key again`,
    { publicKey },
  );
}

/**
 * The once-per-key half of the rule; 1 to 2 ms, or 50 µs where the backend brings a native check (which `probe.ts` has tried).
 * @throws NarsesError KEY_INVALID naming the check that failed.
 */
export function checkPublicKey(publicKey: Uint8Array, isPrimeOrderPoint?: (bytes: Uint8Array) => boolean): CheckedKey {
  if (publicKey.length !== PUBLIC_KEY_BYTES) throw invalid(publicKey, `has ${publicKey.length} bytes, not ${PUBLIC_KEY_BYTES}`);
  const bytes = Uint8Array.from(publicKey);
  if (startsWithSmallOrderPoint(bytes)) throw invalid(bytes, "is a point of small order");
  if (isPrimeOrderPoint === undefined) return checkPoint(bytes);
  if (!isPrimeOrderPoint(bytes)) throw invalid(bytes, "is not the canonical encoding of a point of prime order on the curve");
  return { bytes };
}

function checkPoint(bytes: Uint8Array): CheckedKey {
  let point: Point;
  try {
    point = Point.fromBytes(bytes, false);
  } catch (cause) {
    throw invalid(bytes, `is not the canonical encoding of a point on the curve (${cause instanceof Error ? cause.message : String(cause)})`);
  }
  if (!bytesEqual(point.toBytes(), bytes)) throw invalid(bytes, "is not a canonical encoding");
  if (!point.isTorsionFree()) throw invalid(bytes, "has a component of small order");
  return { bytes };
}
