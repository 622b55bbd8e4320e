/**
 * Putting a fetched state in the place of the live one. The switch is one record, "install", synced: before it the old
 * state is what a restart finds, from it on the new one, because whoever opens the state finishes the move. The move takes
 * the staged pages over in small batches, each of them whole, so that no more than a batch is ever in memory.
 */
import { bytesEqual, type Hasher } from "@narses/core";
import { FETCH_STATE, dataCorrupt } from "../errors.ts";
import { decodeAnchor } from "./anchor.ts";
import type { StateBackend } from "./backend.ts";
import { encodeMeta } from "./meta.ts";
import { decodePage } from "./page.ts";
import { FAN_OUT_BITS, HashTree, leafHash } from "./tree.ts";

/** One batch of the move, roughly. */
const BATCH_BYTES = 4 << 20;
const BATCH_PAGES = 1_024;
const NOTHING = new Uint8Array(0);

/** Keys that came and went between two encodings of a page. */
function keyChanges(bucket: number, before: Uint8Array, after: Uint8Array, changes: Map<string, boolean>): void {
  // A damaged old page has no keys that could be known: they are looked up in vain from now on.
  const old = new Set(decodePage(bucket, before)?.keys);
  for (const key of decodePage(bucket, after)?.keys ?? []) if (!old.delete(key)) changes.set(key, true);
  for (const key of old) changes.set(key, false);
}

class Batch {
  readonly pages: Map<number, Uint8Array> = new Map();
  readonly staged: Map<number, undefined> = new Map();
  readonly keys: Map<string, boolean> = new Map();
  bytes = 0;

  get full(): boolean {
    return this.bytes >= BATCH_BYTES || this.pages.size >= BATCH_PAGES;
  }
}

/**
 * Finishes the move that the record "install" orders; can be repeated from any point. Returns the tree of the new state.
 * @throws NarsesError DATA_CORRUPT when what was staged is not what was verified; DISK_FAILED.
 */
export async function finishInstall(hasher: Hasher, backend: StateBackend, record: Uint8Array): Promise<HashTree> {
  const { bits, anchor } = decodeAnchor(record, backend.name);
  const { header } = anchor;
  const tree = new HashTree(hasher, bits);
  for await (const [parent, hashes] of backend.leaves()) tree.setLeaves(parent, hashes);
  let batch = new Batch();
  const flush = async (): Promise<void> => {
    if (batch.pages.size === 0) return;
    const parents = new Set([...batch.pages.keys()].map((bucket) => bucket >>> FAN_OUT_BITS));
    await backend.write({ ...batch, leaves: new Map([...parents].map((parent) => [parent, tree.children(1, parent).slice()])) });
    batch = new Batch();
  };
  for await (const [bucket, page] of backend.staged()) {
    if (page.length > 0 && decodePage(bucket, page) === undefined) {
      throw dataCorrupt(`staged page ${bucket} of state ${backend.name} is damaged`, FETCH_STATE, { path: backend.name, bucket });
    }
    keyChanges(bucket, (tree.hasPage(bucket) ? backend.page(bucket) : undefined) ?? NOTHING, page, batch.keys);
    tree.setLeaf(bucket, leafHash(hasher, page));
    batch.pages.set(bucket, page);
    batch.staged.set(bucket, undefined);
    batch.bytes += page.length;
    if (batch.full) await flush();
  }
  await flush();
  const root = tree.root();
  if (root !== header.stateRoot) {
    const what = `the state that was fetched for slot ${header.seq} into ${backend.name} has root ${root} instead of ${header.stateRoot}`;
    throw dataCorrupt(what, FETCH_STATE, { path: backend.name, seq: header.seq });
  }
  const meta = encodeMeta({ bits, seq: header.seq, root });
  await backend.write({ records: new Map([["meta", meta], ["anchor", record], ["install", undefined]]) });
  return tree;
}

/** Removes staged pages, in batches. */
export async function dropStaged(backend: StateBackend, buckets: readonly number[]): Promise<void> {
  for (let i = 0; i < buckets.length; i += BATCH_PAGES) {
    await backend.write({ staged: new Map(buckets.slice(i, i + BATCH_PAGES).map((bucket) => [bucket, undefined])) });
  }
}

/** Whether every page of `target` is live or staged with the right content. */
export function firstMissing(target: HashTree, live: HashTree, staged: ReadonlyMap<number, Uint8Array>): number | undefined {
  for (let bucket = 0; bucket < 2 ** target.bits; bucket++) {
    if (!bytesEqual(target.node(0, bucket), staged.get(bucket) ?? live.node(0, bucket))) return bucket;
  }
  return undefined;
}
