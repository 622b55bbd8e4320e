/**
 * Which of the own blocks are certified: those up to a stable checkpoint whose root is the hash of the own block there. That is looked at, and
 * not taken from the low watermark: a checkpoint that the own state had passed (after a restart) is stable without having been compared, and
 * a state that went wrong before it left wrong blocks below it, which a repair must not keep.
 */
import { seqNum, type BlockStore, type Hasher, type SeqNum, type StableCheckpoint } from "@narses/core";
import type { AuthenticatedState } from "@narses/storage";
import { blockHash } from "@narses/wire";

export interface SettledOptions {
  readonly state: Pick<AuthenticatedState, "anchor">;
  readonly blocks: Pick<BlockStore, "get" | "head">;
  readonly hasher: Hasher;
  /** From the log: what was stable before a restart. */
  readonly stable: StableCheckpoint | undefined;
}

export interface Settled {
  /** The low watermark has moved. */
  certified(stable: StableCheckpoint): void;
  /** Own blocks up to this one are certified. */
  seq(): Promise<SeqNum>;
}

export function createSettled({ state, blocks, hasher, stable }: SettledOptions): Settled {
  let known = stable;
  let settled = seqNum(0);
  return {
    certified(later) {
      known = later;
    },
    async seq() {
      if (known === undefined || known.seq <= settled) return settled;
      const { seq, root } = known;
      const anchor = state.anchor?.header;
      const header = anchor?.seq === seq ? anchor : (await blocks.get(seq))?.header;
      if (header !== undefined && blockHash(hasher, header) === root) settled = seqNum(Math.max(settled, seq));
      return settled;
    },
  };
}
