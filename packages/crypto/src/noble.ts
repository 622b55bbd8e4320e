/**
 * The portable backend: RFC 8032 §5.1.6 and the byte-compare equation on noble's points. noble's own `verify` multiplies
 * by the cofactor in both of its modes and accepts what the rule refuses, so it must not be used.
 */
import { bytesEqual } from "@narses/core";
import { Point } from "@noble/ed25519";
import { sha512 } from "@noble/hashes/sha2.js";
import { GROUP_ORDER, type CheckedKey } from "./rule.ts";
import type { RawBackend, RawSigner, RawVerifier } from "./raw.ts";

function toScalar(littleEndian: Uint8Array): bigint {
  let value = 0n;
  const view = new DataView(littleEndian.buffer, littleEndian.byteOffset, littleEndian.byteLength);
  for (let at = littleEndian.length - 8; at >= 0; at -= 8) value = (value << 64n) | view.getBigUint64(at, true);
  return value;
}

function fromScalar(value: bigint): Uint8Array {
  const bytes = new Uint8Array(32);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < 32; at += 8, value >>= 64n) view.setBigUint64(at, BigInt.asUintN(64, value), true);
  return bytes;
}

function hashToScalar(...parts: readonly Uint8Array[]): bigint {
  const hash = sha512.create();
  for (const part of parts) hash.update(part);
  return toScalar(hash.digest()) % GROUP_ORDER;
}

function signer(seed: Uint8Array): RawSigner {
  const expanded = sha512(seed);
  const prefix = expanded.slice(32);
  const clamped = expanded.slice(0, 32);
  clamped[0] = (clamped[0] ?? 0) & 0xf8;
  clamped[31] = ((clamped[31] ?? 0) & 0x7f) | 0x40;
  const secret = toScalar(clamped) % GROUP_ORDER;
  const publicKey = Point.BASE.multiply(secret).toBytes();
  return {
    publicKey,
    sign: (message) => {
      const r = hashToScalar(prefix, message);
      const commitment = Point.BASE.multiply(r).toBytes();
      const k = hashToScalar(commitment, publicKey, message);
      const signature = new Uint8Array(64);
      signature.set(commitment);
      signature.set(fromScalar((r + k * secret) % GROUP_ORDER), 32);
      return signature;
    },
  };
}

function verifier({ bytes }: CheckedKey): RawVerifier {
  const negated = Point.fromBytes(bytes, false).negate();
  return (message, signature) => {
    const commitment = signature.subarray(0, 32);
    const k = hashToScalar(commitment, bytes, message);
    const s = toScalar(signature.subarray(32));
    // Everything here is public: variable-time multiplication is safe.
    const expected = Point.BASE.multiply(s, false).add(negated.multiply(k, false));
    return bytesEqual(expected.toBytes(), commitment);
  };
}

export const noble: RawBackend = { name: "noble", signer, verifier };
