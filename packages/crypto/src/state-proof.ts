/**
 * Proofs that a key has a value, or none, under a state root: the verifying half of the state tree, in Node and in a browser
 * alike. `storage` makes trees and proofs; its `page.ts` and `tree.ts` describe the format.
 */
import { STATE_BITS_MAX, STATE_PAGE_BYTES_MAX, bytesEqual, toHex, type Digest, type Hasher, type StateProof } from "@narses/core";

export type ProofVerdict =
  /** `value` is undefined when the proof is one of absence. */
  | { readonly ok: true; readonly value: Uint8Array | undefined }
  | { readonly ok: false; readonly reason: string };

/** Fewest bits of a tree that has a proof; a proof of another one is refused. */
const BITS_MIN = 4;
const FAN_OUT_BITS = 4;
const HASH_BYTES = 32;
/** UTF-8 bytes of a key; a longer one has no proof. */
const KEY_BYTES_MAX = 512;
const PAGE_HEADER_BYTES = 8;
const ENTRY_HEADER_BYTES = 6;
const ROOT_TAG = new TextEncoder().encode("narses/state-root/1");
const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const refused = (reason: string): ProofVerdict => ({ ok: false, reason });

/** @throws RangeError when `key` can be no state key. */
function keyBytesOf(key: string): Uint8Array {
  const bytes = utf8.encode(key);
  if (bytes.length === 0 || bytes.length > KEY_BYTES_MAX) throw new RangeError(`a state key has 1 to ${KEY_BYTES_MAX} UTF-8 bytes, got ${bytes.length}`);
  if (/\p{Surrogate}/u.test(key)) throw new RangeError(`a state key must be well-formed Unicode, got a lone surrogate in ${JSON.stringify(key)}`);
  return bytes;
}

/** Namespaces with a quarter of the buckets each; every other key shares the first half. */
const QUARTERS: Readonly<Record<string, number>> = { "s/": 2, "r/": 3 };

function bucketOf(hasher: Hasher, key: string, keyBytes: Uint8Array, bits: number): number {
  const hash = new DataView(hasher.sha256(keyBytes).slice().buffer).getUint32(0);
  const quarter = QUARTERS[key.slice(0, 2)];
  return quarter === undefined ? hash >>> (33 - bits) : (quarter << (bits - 2)) | (hash >>> (34 - bits));
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return (a[i] ?? 0) - (b[i] ?? 0);
  return a.length - b.length;
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    strictUtf8.decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** The entries of a canonical page of `bucket`: keys strictly ascending, nothing left over. Undefined for any other bytes. */
function readPage(bucket: number, page: Uint8Array): readonly { readonly key: Uint8Array; readonly value: Uint8Array }[] | undefined {
  if (page.length === 0) return [];
  if (page.length < PAGE_HEADER_BYTES) return undefined;
  const view = new DataView(page.buffer, page.byteOffset, page.length);
  const count = view.getUint32(4);
  if (view.getUint32(0) !== bucket || count === 0) return undefined;
  const entries: { key: Uint8Array; value: Uint8Array }[] = [];
  let at = PAGE_HEADER_BYTES;
  for (let i = 0; i < count; i++) {
    const keyAt = at + ENTRY_HEADER_BYTES;
    if (keyAt > page.length) return undefined;
    const keyLength = view.getUint16(at);
    const valueAt = keyAt + keyLength;
    const end = valueAt + view.getUint32(at + 2);
    if (keyLength === 0 || keyLength > KEY_BYTES_MAX || end > page.length) return undefined;
    const key = page.subarray(keyAt, valueAt);
    const before = entries[i - 1];
    if (!isUtf8(key) || (before !== undefined && compareBytes(before.key, key) >= 0)) return undefined;
    entries.push({ key, value: page.subarray(valueAt, end) });
    at = end;
  }
  return at === page.length ? entries : undefined;
}

/**
 * Judges a proof from an untrusted source. `root` must come from a trusted one, for example a certified block header.
 * @throws RangeError when `key` can be no state key.
 */
export function verifyStateProof(hasher: Hasher, root: Digest, key: string, proof: StateProof): ProofVerdict {
  const keyBytes = keyBytesOf(key);
  const { bits, page, siblings } = proof;
  if (!Number.isSafeInteger(bits) || bits < BITS_MIN || bits > STATE_BITS_MAX) return refused(`a state tree has ${BITS_MIN} to ${STATE_BITS_MAX} bits, not ${bits}`);
  const depth = Math.ceil(bits / FAN_OUT_BITS);
  if (siblings.length !== depth) return refused(`the path has ${siblings.length} levels, a tree of ${bits} bits has ${depth}`);
  if (page.length > STATE_PAGE_BYTES_MAX) return refused(`the page has ${page.length} bytes, at most ${STATE_PAGE_BYTES_MAX} are allowed`);
  const bucket = bucketOf(hasher, key, keyBytes, bits);
  const entries = readPage(bucket, page);
  if (entries === undefined) return refused(`the page is not a canonical page of bucket ${bucket}`);
  let hash = page.length === 0 ? new Uint8Array(HASH_BYTES) : hasher.sha256(page);
  let index = bucket;
  for (const [i, others] of siblings.entries()) {
    const width = 2 ** (Math.max(0, bits - FAN_OUT_BITS * i) - Math.max(0, bits - FAN_OUT_BITS * (i + 1)));
    const expected = (width - 1) * HASH_BYTES;
    if (others.length !== expected) return refused(`level ${i + 1} of the path has ${others.length} bytes, not ${expected}`);
    const place = (index % 2 ** FAN_OUT_BITS) * HASH_BYTES;
    hash = hasher.sha256(others.subarray(0, place), hash, others.subarray(place));
    index >>>= FAN_OUT_BITS;
  }
  if (toHex(hasher.sha256(ROOT_TAG, Uint8Array.of(bits), hash)) !== root) return refused("the path does not lead to the root");
  return { ok: true, value: entries.find((entry) => bytesEqual(entry.key, keyBytes))?.value };
}
