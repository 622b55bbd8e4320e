/** Digest of what an operation means: the basis of "the same payload again". */
import { bytesEqual, type Hasher } from "@narses/core";

export interface PayloadDigest {
  /** SHA-256 over the JSON text of a list of strings: unambiguous, and independent of the order of an object's fields. */
  (fields: readonly string[]): Uint8Array;
  equal(a: Uint8Array, b: Uint8Array): boolean;
}

const utf8 = new TextEncoder();

export function payloadDigest(hasher: Hasher): PayloadDigest {
  const digest = (fields: readonly string[]): Uint8Array => Uint8Array.from(hasher.sha256(utf8.encode(JSON.stringify(fields))));
  return Object.assign(digest, { equal: bytesEqual });
}
