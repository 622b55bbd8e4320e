/** Makes proofs that a key has a value, or none, under a state root (`crypto` verifies them); and where two states differ. */
import { bytesEqual, type StateProof } from "@narses/core";
import { compareUtf8 } from "../bytes.ts";
import { HASH_BYTES, decodePage } from "./page.ts";
import { FAN_OUT, FAN_OUT_BITS, treeDepth, type TreeNodes } from "./tree.ts";

export { verifyStateProof as verifyProof, type ProofVerdict } from "@narses/crypto";
export type { StateProof } from "@narses/core";

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
