/**
 * A receipt: proof, to anyone who holds the genesis cluster file, that an operation was ordered and what it gave.
 * W = f+1 outcome signatures over one block hash; the header leads to the result leaf of the bundle, the bundle to the operation.
 */
import type { BlockHeader, Outcome, Signed } from "./messages.ts";

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
