/** Audit paths: count u8, (hash 32) × count. How they hash is `crypto`'s affair. */
import type { Reader } from "./reader.ts";
import { DIGEST_BYTES } from "./limits.ts";
import type { Writer } from "./writer.ts";

/** A leaf's place in its tree, and the path from it. */
export interface LeafProof {
  readonly leafIndex: number;
  readonly leafCount: number;
  readonly path: readonly Uint8Array[];
}

/** leafIndex u32, leafCount u32, path. */
export function writeLeafProof(w: Writer, proof: LeafProof): void {
  w.u32(proof.leafIndex);
  w.u32(proof.leafCount);
  w.u8(proof.path.length);
  for (const hash of proof.path) w.fixed("a hash", hash, DIGEST_BYTES);
}

export function readLeafProof(r: Reader, leavesMax: number): LeafProof {
  const leafIndex = r.u32("leaf index");
  const leafCount = r.u32("leaf count");
  if (leafCount > leavesMax) r.fail("leaf count", `${leafCount}, at most ${leavesMax}`, r.tooLarge);
  if (leafIndex >= leafCount) r.fail("leaf count", `${leafCount} for leaf index ${leafIndex}`);
  const depth = Math.ceil(Math.log2(leafCount));
  const count = r.count("path count", r.u8("path count"), depth, DIGEST_BYTES);
  const path: Uint8Array[] = [];
  for (let i = 0; i < count; i++) path.push(r.take("path", DIGEST_BYTES));
  return { leafIndex, leafCount, path };
}
