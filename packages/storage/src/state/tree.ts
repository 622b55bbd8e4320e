/**
 * The hash tree over 2^bits pages, held in memory. Level 0 are the leaf hashes (SHA-256 of the page, zeros for an empty
 * one), each node above is SHA-256 of its up to 16 children, the root binds the number of bits:
 * SHA-256("narses/state-root/1" ‖ bits ‖ top node). Depth is fixed by the bits, so no node can pass for a leaf.
 */
import { digest, toHex, type Digest, type Hasher } from "@narses/core";
import { isZero } from "../bytes.ts";
import { HASH_BYTES } from "./page.ts";

export const FAN_OUT = 16;
export const FAN_OUT_BITS = 4;

const ROOT_TAG = new TextEncoder().encode("narses/state-root/1");

/** Nodes at level 0 (leaves) … depth (the top node, alone). */
export const treeDepth = (bits: number): number => Math.ceil(bits / FAN_OUT_BITS);
export const nodesAt = (bits: number, level: number): number => 2 ** Math.max(0, bits - FAN_OUT_BITS * level);

export const leafHash = (hasher: Hasher, page: Uint8Array): Uint8Array =>
  page.length === 0 ? new Uint8Array(HASH_BYTES) : hasher.sha256(page);

export function rootDigest(hasher: Hasher, bits: number, top: Uint8Array): Digest {
  return digest(toHex(hasher.sha256(ROOT_TAG, Uint8Array.of(bits), top)));
}

/** Read access to the nodes of some state's tree. */
export interface TreeNodes {
  readonly bits: number;
  /** Hash of a node; level 0 are the leaves. @throws RangeError outside the tree. */
  node(level: number, index: number): Uint8Array;
  /** Hashes of the children of a node of level ≥ 1, one after the other. @throws RangeError outside the tree. */
  children(level: number, index: number): Uint8Array;
}

export class HashTree implements TreeNodes {
  readonly bits: number;
  readonly #hasher: Hasher;
  /** #levels[l] holds the hashes of level l, one after the other. */
  readonly #levels: readonly Uint8Array[];
  /** Parents (level 1) whose children changed since the last `update`. */
  readonly #dirty: Set<number> = new Set();

  constructor(hasher: Hasher, bits: number, levels?: readonly Uint8Array[]) {
    this.#hasher = hasher;
    this.bits = bits;
    this.#levels = levels ?? emptyLevels(hasher, bits);
  }

  node(level: number, index: number): Uint8Array {
    const nodes = this.#levels[level];
    if (nodes === undefined || !Number.isSafeInteger(index) || index < 0 || index >= nodesAt(this.bits, level)) {
      throw new RangeError(`the state tree of ${this.bits} bits has no node ${index} at level ${level}`);
    }
    return nodes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES);
  }

  children(level: number, index: number): Uint8Array {
    this.node(level, index);
    const below = this.#levels[level - 1];
    if (below === undefined) throw new RangeError("leaves of the state tree have no children");
    return below.subarray(index * FAN_OUT * HASH_BYTES, (index + 1) * FAN_OUT * HASH_BYTES);
  }

  /** The leaf is not empty: there is a page to read. */
  hasPage(bucket: number): boolean {
    return !isZero(this.node(0, bucket));
  }

  setLeaf(bucket: number, hash: Uint8Array): void {
    this.node(0, bucket).set(hash);
    this.#dirty.add(bucket >>> FAN_OUT_BITS);
  }

  /** Sets the children of a node of level 1, as {@link children} gave them. False when their number is wrong. */
  setLeaves(parent: number, hashes: Uint8Array): boolean {
    const target = parent < nodesAt(this.bits, 1) ? this.children(1, parent) : undefined;
    if (target?.length !== hashes.length) return false;
    target.set(hashes);
    this.#dirty.add(parent);
    return true;
  }

  /** Recomputes what changed and returns the root. */
  root(): Digest {
    let dirty: Iterable<number> = this.#dirty;
    for (let level = 1; level <= treeDepth(this.bits); level++) {
      const above = new Set<number>();
      for (const index of dirty) {
        this.node(level, index).set(this.#hasher.sha256(this.children(level, index)));
        above.add(index >>> FAN_OUT_BITS);
      }
      dirty = above;
    }
    this.#dirty.clear();
    return rootDigest(this.#hasher, this.bits, this.node(treeDepth(this.bits), 0));
  }

  /** An independent copy of every node; 2^bits × 34 bytes. */
  copy(): HashTree {
    return new HashTree(this.#hasher, this.bits, this.#levels.map((level) => level.slice()));
  }
}

function emptyLevels(hasher: Hasher, bits: number): readonly Uint8Array[] {
  const levels: Uint8Array[] = [new Uint8Array(nodesAt(bits, 0) * HASH_BYTES)];
  for (let level = 1; level <= treeDepth(bits); level++) {
    const below = levels[level - 1] ?? new Uint8Array(0);
    // In an empty tree the nodes of a level are all alike.
    const hash = hasher.sha256(below.subarray(0, FAN_OUT * HASH_BYTES));
    const nodes = new Uint8Array(nodesAt(bits, level) * HASH_BYTES);
    for (let at = 0; at < nodes.length; at += HASH_BYTES) nodes.set(hash, at);
    levels.push(nodes);
  }
  return levels;
}
