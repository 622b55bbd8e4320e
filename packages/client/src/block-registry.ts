/**
 * The blocks this client has seen certified by W replicas. Two certified blocks for one slot, or a certified block whose
 * parent is not the certified block before it, prove that more than f replicas lie: the client must stop believing them.
 */
import { assert, type BlockHeader, type Digest, type SeqNum } from "@narses/core";
import { setBounded } from "./bounded.ts";

/** Certified blocks remembered, at most. */
export const CERTIFIED_BLOCKS_MAX = 1_024;

export interface BlockRegistry {
  /** Entries are only ever certified blocks: hash is the hash of a header with that seq and parent. */
  readonly certified: Map<number, { readonly hash: Digest; readonly parent: Digest }>;
}

export const createBlockRegistry = (): BlockRegistry => ({ certified: new Map() });

/** @throws InvariantViolation when the block contradicts one certified before. */
export function recordCertifiedBlock(registry: BlockRegistry, header: BlockHeader, hash: Digest): void {
  const { seq, parent } = header;
  const { certified } = registry;
  const same = certified.get(seq);
  assert(same === undefined || same.hash === hash, conflict(seq, `two certified blocks, ${same?.hash ?? ""} and ${hash}`));
  const before = certified.get(seq - 1);
  assert(before === undefined || before.hash === parent, conflict(seq, `its parent ${parent} is not the certified block before it, ${before?.hash ?? ""}`));
  const after = certified.get(seq + 1);
  assert(after === undefined || after.parent === hash, conflict(seq, `the certified block after it has another parent, ${after?.parent ?? ""}`));
  setBounded(certified, seq, { hash, parent }, CERTIFIED_BLOCKS_MAX);
}

const conflict = (seq: SeqNum, what: string): string => `slot ${seq}: ${what}; more than f replicas are faulty`;
