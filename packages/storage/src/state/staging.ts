/**
 * The place where a fetched state is put together, page by page, beside the live one. Pages stay across a crash and across a
 * change of target: whether one can be used is decided by its hash alone.
 */
import { bytesEqual, type BlockHeader, type Hasher, type SeqNum } from "@narses/core";
import { encodeAnchor } from "./anchor.ts";
import type { StateBackend } from "./backend.ts";
import { dropStaged, finishInstall, firstMissing } from "./install.ts";
import { leafHash, type HashTree, type TreeNodes } from "./tree.ts";

export interface StateStaging {
  /** The durable state of this replica: pages that are alike need no fetching. */
  readonly live: TreeNodes;
  /** Hash of each page that is staged, by bucket. */
  readonly staged: ReadonlyMap<number, Uint8Array>;
  /** Durable when it resolves. The pages have been verified; one without bytes empties its bucket. */
  put(pages: ReadonlyMap<number, Uint8Array>): Promise<void>;
  /**
   * Makes the staged pages, with the live ones that are alike, the state as of `header`; atomic, also across a crash.
   * Everything the state was given since its last checkpoint is dropped. Nothing may use the state meanwhile.
   * @throws RangeError when a page of `tree` is missing or the tree is not that of `header`; NarsesError DISK_FAILED, DATA_CORRUPT.
   */
  install(tree: HashTree, header: BlockHeader, blocksKept: SeqNum): Promise<void>;
}

export interface StagingOptions {
  readonly hasher: Hasher;
  readonly backend: StateBackend;
  /** Of the durable state. */
  readonly live: HashTree;
  /** The live state is about to change under its readers. */
  readonly onSwitch: () => void;
  readonly onInstalled: (tree: HashTree, header: BlockHeader, blocksKept: SeqNum) => Promise<void>;
}

/** Reads back what an earlier attempt left. */
export async function openStaging(options: StagingOptions): Promise<StateStaging> {
  const staged = new Map<number, Uint8Array>();
  for await (const [bucket, page] of options.backend.staged()) {
    if (bucket < 2 ** options.live.bits) staged.set(bucket, leafHash(options.hasher, page));
  }
  return new Staging(options, staged);
}

class Staging implements StateStaging {
  readonly #options: StagingOptions;
  readonly #staged: Map<number, Uint8Array>;

  constructor(options: StagingOptions, staged: Map<number, Uint8Array>) {
    this.#options = options;
    this.#staged = staged;
  }

  get live(): TreeNodes {
    return this.#options.live;
  }

  get staged(): ReadonlyMap<number, Uint8Array> {
    return this.#staged;
  }

  async put(pages: ReadonlyMap<number, Uint8Array>): Promise<void> {
    const { backend, hasher } = this.#options;
    await backend.write({ staged: pages });
    for (const [bucket, page] of pages) this.#staged.set(bucket, leafHash(hasher, page));
  }

  async install(tree: HashTree, header: BlockHeader, blocksKept: SeqNum): Promise<void> {
    const { backend, hasher, live } = this.#options;
    if (tree.bits !== live.bits || tree.root() !== header.stateRoot) throw new RangeError(`this is not the tree of block ${header.seq}`);
    // Left over from an earlier target, or no different from the live page.
    const useless = [...this.#staged].flatMap(([bucket, hash]) => {
      const wanted = tree.node(0, bucket);
      return bytesEqual(hash, wanted) && !bytesEqual(live.node(0, bucket), wanted) ? [] : [bucket];
    });
    await dropStaged(backend, useless);
    for (const bucket of useless) this.#staged.delete(bucket);
    const missing = firstMissing(tree, live, this.#staged);
    if (missing !== undefined) throw new RangeError(`page ${missing} of block ${header.seq} is not here`);
    const record = encodeAnchor({ header, blocksKept }, tree.bits);
    await backend.write({ records: new Map([["install", record]]) });
    this.#options.onSwitch();
    const installed = await finishInstall(hasher, backend, record);
    this.#staged.clear();
    await this.#options.onInstalled(installed, header, blocksKept);
  }
}
