/** `#native` in Node: the fast paths, best first, and OpenSSL's SHA-256. */
import { createHash, hash } from "node:crypto";
import { openssl } from "./openssl.ts";
import type { RawBackend } from "./raw.ts";
import { loadSodium } from "./sodium.ts";

export function nativeBackends(): readonly RawBackend[] {
  const sodium = loadSodium();
  return sodium === undefined ? [openssl] : [sodium, openssl];
}

/** Up to here, copying the parts together for one call is cheaper than a hash object (measured: equal at 32 KiB). */
const SCRATCH_BYTES = 16 << 10;
const DIGEST_BYTES = 32;
const scratch = new Uint8Array(SCRATCH_BYTES);

/**
 * A hash that comes as a string of bytes costs a third of one that comes as a Buffer, whose memory lies outside the heap and has to be
 * collected there; an array of 32 bytes lies inside.
 */
function fromBinary(digest: string): Uint8Array {
  const bytes = new Uint8Array(DIGEST_BYTES);
  for (let i = 0; i < DIGEST_BYTES; i++) bytes[i] = digest.charCodeAt(i);
  return bytes;
}

export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1 && parts[0] !== undefined) return fromBinary(hash("sha256", parts[0], "binary"));
  let length = 0;
  for (const part of parts) length += part.length;
  if (length > SCRATCH_BYTES) {
    const object = createHash("sha256");
    for (const part of parts) object.update(part);
    return fromBinary(object.digest("binary"));
  }
  let at = 0;
  for (const part of parts) {
    scratch.set(part, at);
    at += part.length;
  }
  return fromBinary(hash("sha256", scratch.subarray(0, length), "binary"));
}
