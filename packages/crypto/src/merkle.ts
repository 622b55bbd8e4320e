/**
 * Merkle trees as in RFC 6962 §2.1: leaves and inner nodes are hashed under different prefixes, so no inner node passes
 * for a leaf; n leaves split at the largest power of two below n, so no leaf is ever duplicated.
 */
import { bytesEqual } from "@narses/core";
import { sha256 } from "./sha256.ts";

const DIGEST_BYTES = 32;
/** Depth of the deepest tree whose leaf count is a safe integer. */
const PATH_LENGTH_MAX = 53;
const LEAF = Uint8Array.of(0x00);
const NODE = Uint8Array.of(0x01);

export interface MerkleTree {
  /** 32 bytes; SHA-256 of nothing for a tree without leaves. */
  readonly root: Uint8Array;
  /** Sibling hashes from the leaf upwards. @throws RangeError unless 0 ≤ index < number of leaves. */
  path(index: number): Uint8Array[];
}

/** Hashes all leaves once: use this when more than one path is wanted. */
export function merkleTree(leaves: readonly Uint8Array[]): MerkleTree {
  // levels[0] are the leaf hashes; an odd last node moves up unchanged, which is the split of the RFC.
  const levels: Uint8Array[][] = [leaves.map((leaf) => sha256(LEAF, leaf))];
  for (let level = levels[0] ?? []; level.length > 1; ) {
    const parents: Uint8Array[] = [];
    for (let i = 0; i < level.length; i += 2) {
      const [left, right] = [level[i], level[i + 1]];
      if (left !== undefined) parents.push(right === undefined ? left : sha256(NODE, left, right));
    }
    levels.push(parents);
    level = parents;
  }
  return {
    root: levels.at(-1)?.[0] ?? sha256(),
    path(index) {
      if (!Number.isSafeInteger(index) || index < 0 || index >= leaves.length) {
        throw new RangeError(`leaf index must be an integer from 0 to ${leaves.length - 1}, got ${index}`);
      }
      const path: Uint8Array[] = [];
      for (const level of levels) {
        const sibling = level[index % 2 === 0 ? index + 1 : index - 1];
        if (sibling !== undefined) path.push(sibling);
        index = Math.floor(index / 2);
      }
      return path;
    },
  };
}

/** MTH of RFC 6962 §2.1, 32 bytes. */
export const merkleRoot = (leaves: readonly Uint8Array[]): Uint8Array => merkleTree(leaves).root;

/**
 * Audit path of RFC 6962 §2.1.1, from the leaf upwards: at most ⌈log2 n⌉ hashes.
 * @throws RangeError unless 0 ≤ index < number of leaves.
 */
export const merklePath = (leaves: readonly Uint8Array[], index: number): Uint8Array[] => merkleTree(leaves).path(index);

/**
 * True iff `path` proves that `leaf` (its data, not its hash) is number `index` of the `count` leaves under `root`.
 * Every argument may come from a stranger: anything malformed gives false, never an error. Hashes at most {@link PATH_LENGTH_MAX} nodes.
 */
export function merkleVerify(leaf: Uint8Array, index: number, count: number, path: readonly Uint8Array[], root: Uint8Array): boolean {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(count) || index < 0 || index >= count) return false;
  if (root.length !== DIGEST_BYTES || path.length > PATH_LENGTH_MAX || path.some((sibling) => sibling.length !== DIGEST_BYTES)) return false;
  let node = sha256(LEAF, leaf);
  let used = 0;
  // `width` nodes on this level, ours is number `index`.
  for (let width = count; width > 1; width = Math.ceil(width / 2), index = Math.floor(index / 2)) {
    if (index === width - 1 && index % 2 === 0) continue; // no sibling: moves up unchanged
    const sibling = path[used++];
    if (sibling === undefined) return false;
    node = index % 2 === 0 ? sha256(NODE, node, sibling) : sha256(NODE, sibling, node);
  }
  return used === path.length && bytesEqual(node, root);
}
