/** Proofs that a key has a value, or none, under a state root; and where two states differ. Portable: no Node API. */
import { bytesEqual, type Digest, type Hasher } from "@narses/core";
import { compareUtf8 } from "../bytes.ts";
import { BUCKET_BITS_MAX, BUCKET_BITS_MIN, HASH_BYTES, STATE_PAGE_BYTES_MAX, bucketOf, checkKey, decodePage, getValue } from "./page.ts";
import { FAN_OUT, FAN_OUT_BITS, leafHash, nodesAt, rootDigest, treeDepth, type TreeNodes } from "./tree.ts";

/** The page where the key is, or would be, and the hashes beside its path to the root. */
export interface StateProof {
  readonly bits: number;
  readonly page: Uint8Array;
  /** siblings[l]: the other children of the path's node at level l + 1, in order, one after the other. */
  readonly siblings: readonly Uint8Array[];
}

export type ProofVerdict =
  /** `value` is undefined when the proof is one of absence. */
  | { readonly ok: true; readonly value: Uint8Array | undefined }
  | { readonly ok: false; readonly reason: string };

/** The path of `bucket` through `nodes`; `page` is the bucket's page. */
export function makeProof(nodes: TreeNodes, bucket: number, page: Uint8Array): StateProof {
  const siblings: Uint8Array[] = [];
  for (let level = 1, index = bucket; level <= treeDepth(nodes.bits); level++) {
    const place = (index % FAN_OUT) * HASH_BYTES;
    index >>>= FAN_OUT_BITS;
    const children = nodes.children(level, index);
    const others = new Uint8Array(children.length - HASH_BYTES);
    others.set(children.subarray(0, place));
    others.set(children.subarray(place + HASH_BYTES), place);
    siblings.push(others);
  }
  return { bits: nodes.bits, page, siblings };
}

const refused = (reason: string): ProofVerdict => ({ ok: false, reason });

/**
 * Judges a proof from an untrusted source. `root` must come from a trusted one, for example a certified block header.
 * @throws RangeError when `key` can be no state key.
 */
export function verifyProof(hasher: Hasher, root: Digest, key: string, proof: StateProof): ProofVerdict {
  checkKey(key);
  const { bits, page, siblings } = proof;
  if (!Number.isSafeInteger(bits) || bits < BUCKET_BITS_MIN || bits > BUCKET_BITS_MAX) {
    return refused(`a state tree has ${BUCKET_BITS_MIN} to ${BUCKET_BITS_MAX} bits, not ${bits}`);
  }
  const depth = treeDepth(bits);
  if (siblings.length !== depth) return refused(`the path has ${siblings.length} levels, a tree of ${bits} bits has ${depth}`);
  if (page.length > STATE_PAGE_BYTES_MAX) return refused(`the page has ${page.length} bytes, at most ${STATE_PAGE_BYTES_MAX} are allowed`);
  const bucket = bucketOf(hasher, key, bits);
  const decoded = decodePage(bucket, page);
  if (decoded === undefined) return refused(`the page is not a canonical page of bucket ${bucket}`);
  let hash = leafHash(hasher, page);
  for (let level = 1, index = bucket; level <= depth; level++) {
    const others = siblings[level - 1] ?? page;
    const width = nodesAt(bits, level - 1) / nodesAt(bits, level);
    const expected = (width - 1) * HASH_BYTES;
    if (others.length !== expected) return refused(`level ${level} of the path has ${others.length} bytes, not ${expected}`);
    const place = (index % FAN_OUT) * HASH_BYTES;
    hash = hasher.sha256(others.subarray(0, place), hash, others.subarray(place));
    index >>>= FAN_OUT_BITS;
  }
  if (rootDigest(hasher, bits, hash) !== root) return refused("the path does not lead to the root");
  return { ok: true, value: getValue(decoded, key) };
}

/** Buckets whose pages differ, ascending, at most `limit`: walks down only where hashes differ. */
export function differingBuckets(a: TreeNodes, b: TreeNodes, limit: number): readonly number[] {
  if (a.bits !== b.bits) throw new RangeError(`trees of ${a.bits} and ${b.bits} bits cannot be compared`);
  const found: number[] = [];
  const walk = (level: number, index: number): void => {
    if (found.length >= limit || bytesEqual(a.node(level, index), b.node(level, index))) return;
    if (level === 0) {
      found.push(index);
      return;
    }
    const width = a.children(level, index).length / HASH_BYTES;
    for (let child = 0; child < width; child++) walk(level - 1, index * FAN_OUT + child);
  };
  walk(treeDepth(a.bits), 0);
  return found;
}

/** First key, in byte order, that two encoded pages of `bucket` do not agree on; undefined when they are equal. */
export function firstDifferingKey(bucket: number, a: Uint8Array, b: Uint8Array): string | undefined {
  const [left, right] = [decodePage(bucket, a), decodePage(bucket, b)];
  if (left === undefined || right === undefined) throw new RangeError(`not a canonical page of bucket ${bucket}`);
  for (let i = 0; i < Math.max(left.keys.length, right.keys.length); i++) {
    const [x, y] = [left.keys[i], right.keys[i]];
    if (x === undefined || y === undefined) return x ?? y;
    if (x !== y) return compareUtf8(x, y) < 0 ? x : y;
    if (!bytesEqual(left.values[i] ?? a, right.values[i] ?? b)) return x;
  }
  return undefined;
}
