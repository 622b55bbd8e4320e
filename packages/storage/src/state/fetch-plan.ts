/**
 * What is left to fetch of a state whose root is certified. Pure bookkeeping from the root down: every piece is checked
 * against the hash its parent gave, so it does not matter who sent it; what is here already is not asked for.
 */
import { bytesEqual, type Digest, type Hasher } from "@narses/core";
import { BUCKET_BITS_MAX, BUCKET_BITS_MIN, HASH_BYTES, decodePage } from "./page.ts";
import { FAN_OUT, HashTree, leafHash, nodesAt, rootDigest, treeDepth, type TreeNodes } from "./tree.ts";

/** Nodes whose children are wanted, or buckets whose pages are; ascending. */
export type FetchPiece =
  | { readonly kind: "nodes"; readonly level: number; readonly indexes: readonly number[] }
  | { readonly kind: "pages"; readonly indexes: readonly number[] };

export interface FetchPlanOptions {
  readonly hasher: Hasher;
  /** State root of a certified block header. */
  readonly root: Digest;
  /** What a donor says the tree is like: bits and the hash of its top node, bound by the root. */
  readonly bits: number;
  readonly top: Uint8Array;
  /** The durable state here. */
  readonly live: TreeNodes;
  /** Hashes of pages fetched earlier. */
  readonly staged: ReadonlyMap<number, Uint8Array>;
}

/** Whether `bits` and `top` are those of the state with this root. */
export const isTop = (hasher: Hasher, root: Digest, bits: number, top: Uint8Array): boolean =>
  Number.isSafeInteger(bits) && bits >= BUCKET_BITS_MIN && bits <= BUCKET_BITS_MAX && top.length === HASH_BYTES && rootDigest(hasher, bits, top) === root;

export class FetchPlan {
  readonly #options: FetchPlanOptions;
  readonly #tree: HashTree;
  /** wanted[l]: nodes of level l whose own hash is known and whose children are not; for l = 0 buckets whose page is not here. */
  readonly #wanted: readonly Set<number>[];
  /** Handed out by `next` and neither delivered nor given back. */
  #out = 0;
  readonly #hashes: Map<number, Uint8Array>[];
  #pages = 0;
  #nodesOpen = 0;

  /** @throws RangeError unless bits and top are those of the root, and the bits those of the state here. */
  constructor(options: FetchPlanOptions) {
    const { hasher, root, bits, top, live } = options;
    if (!isTop(hasher, root, bits, top) || bits !== live.bits) throw new RangeError(`a tree of ${bits} bits does not fit the state here (${live.bits} bits) and its root`);
    this.#options = options;
    this.#tree = new HashTree(hasher, bits);
    const depth = treeDepth(bits);
    this.#wanted = Array.from({ length: depth + 1 }, () => new Set<number>());
    this.#hashes = Array.from({ length: depth + 1 }, () => new Map<number, Uint8Array>());
    this.#meet(depth, 0, top);
  }

  /** Pages that differ from what was here when the plan was made. */
  get pagesTotal(): number {
    return this.#pages;
  }

  get pagesLeft(): number {
    return this.#wanted[0]?.size ?? 0;
  }

  /** Those, and the pages that were asked for and did not come yet. */
  get pagesOpen(): number {
    return this.pagesLeft + (this.mapped ? this.#out : 0);
  }

  /** Every node is known, so {@link pagesTotal} is final. */
  get mapped(): boolean {
    return this.#nodesOpen === 0;
  }

  get done(): boolean {
    return this.mapped && this.#out === 0 && this.pagesLeft === 0;
  }

  /** The tree of the whole state, once `done`. */
  get tree(): HashTree {
    return this.#tree;
  }

  /** Takes out up to so many nodes of one level, or pages, that nobody was asked for yet: deliver them or give them back. */
  next(nodesMax: number, pagesMax: number): FetchPiece | undefined {
    for (let level = this.#wanted.length - 1; level >= 0; level--) {
      const wanted = this.#wanted[level];
      if (wanted === undefined || wanted.size === 0) continue;
      const indexes = take(wanted, level === 0 ? pagesMax : nodesMax);
      this.#out += indexes.length;
      return level === 0 ? { kind: "pages", indexes } : { kind: "nodes", level, indexes };
    }
    return undefined;
  }

  /** Nobody delivered these: they are wanted again. */
  giveBack(piece: FetchPiece): void {
    const wanted = this.#wanted[piece.kind === "pages" ? 0 : piece.level];
    for (const index of piece.indexes) wanted?.add(index);
    this.#out -= piece.indexes.length;
  }

  /** The children of a node that was taken out; false when they are not, and then it is still out. */
  deliverNode(level: number, index: number, children: Uint8Array): boolean {
    const { hasher, bits } = this.#options;
    const width = level >= 1 && level <= treeDepth(bits) ? nodesAt(bits, level - 1) / nodesAt(bits, level) : 0;
    const hash = this.#hashes[level]?.get(index);
    if (hash === undefined || children.length !== width * HASH_BYTES || !bytesEqual(hasher.sha256(children), hash)) return false;
    this.#hashes[level]?.delete(index);
    this.#out--;
    this.#nodesOpen--;
    for (let child = 0; child < width; child++) {
      this.#meet(level - 1, index * FAN_OUT + child, children.slice(child * HASH_BYTES, (child + 1) * HASH_BYTES));
    }
    return true;
  }

  /** Whether `page` is the page of `bucket`, a bucket that `next` gave out: its hash is known, even while other nodes are not. */
  isPage(bucket: number, page: Uint8Array): boolean {
    return bytesEqual(leafHash(this.#options.hasher, page), this.#tree.node(0, bucket)) && decodePage(bucket, page) !== undefined;
  }

  /** A page that was taken out and is right, and is staged now. */
  deliverPage(): void {
    this.#out--;
  }

  /** The hash of a node became known. */
  #meet(level: number, index: number, hash: Uint8Array): void {
    const { live, staged } = this.#options;
    if (level === 0) {
      this.#tree.setLeaf(index, hash);
      if (bytesEqual(hash, live.node(0, index))) return;
      this.#pages++;
      const held = staged.get(index);
      if (held === undefined || !bytesEqual(held, hash)) this.#wanted[0]?.add(index);
      return;
    }
    if (bytesEqual(hash, live.node(level, index))) {
      const span = FAN_OUT ** level;
      for (let bucket = index * span; bucket < Math.min((index + 1) * span, 2 ** live.bits); bucket++) this.#tree.setLeaf(bucket, live.node(0, bucket));
      return;
    }
    this.#nodesOpen++;
    this.#hashes[level]?.set(index, hash);
    this.#wanted[level]?.add(index);
  }
}

function take(from: Set<number>, max: number): readonly number[] {
  const taken: number[] = [];
  for (const index of from) {
    if (taken.length >= max) break;
    taken.push(index);
  }
  for (const index of taken) from.delete(index);
  return taken.sort((a, b) => a - b);
}
