/**
 * A receipt: proof, to anyone who holds the genesis cluster file, that an operation was ordered and what it gave.
 * W = f+1 outcome signatures over one block hash; the header leads to the result leaf of the bundle, the bundle to the operation.
 */
import type { BlockHeader, Checkpoint, Outcome, Signed } from "./messages.ts";

export interface Receipt {
  readonly version: 1;
  readonly header: BlockHeader;
  /** Signed envelopes from W distinct replicas. */
  readonly outcomes: readonly Signed<Outcome>[];
  readonly leafIndex: number;
  readonly leafCount: number;
  readonly path: readonly Uint8Array[];
  /** The client's signed bundle, as sent. */
  readonly bundle: Uint8Array;
  readonly results: readonly Uint8Array[];
  /** Which operation of the bundle this receipt is about. */
  readonly operation: number;
}

/** What leads from a key to the root of the state tree: the page where the key is, or would be, and the hashes beside its path. */
export interface StateProof {
  /** log2 of the number of pages. */
  readonly bits: number;
  /** Everything that shares the key's page is in it. */
  readonly page: Uint8Array;
  /** siblings[l]: the other children of the path's node at level l + 1, in order, one after the other. */
  readonly siblings: readonly Uint8Array[];
}

/**
 * A receipt about state: proof, to anyone who holds the genesis cluster file, that a key had a value, or none, after block
 * `header.seq`. W = f+1 CHECKPOINTs vouch for the block; its state root leads to the key. It says nothing about later blocks.
 */
export interface StateReceipt {
  readonly version: 1;
  readonly header: BlockHeader;
  /** Signed envelopes from W distinct replicas, ascending. */
  readonly checkpoints: readonly Signed<Checkpoint>[];
  /** The application's key. */
  readonly key: string;
  readonly proof: StateProof;
}
