/**
 * Stale reads with proof (protocol.md 1.13 c): the value of a key, or its absence, as of the newest stable checkpoint whose state is
 * still here: a Merkle path to the state root of the block that W CHECKPOINTs vouch for. Nobody need believe this replica.
 */
import { type BlockHeader, type BlockStore, type Checkpoint, type Quorums, type SeqNum, type Signed, type StableCheckpoint } from "@narses/core";
import type { AuthenticatedState, StateCheckpoint } from "@narses/storage";
import type { Codec } from "@narses/wire";
import { CallError } from "../call-error.ts";
import type { Halt } from "../execution.ts";
import { PROOFS_AT_ONCE_MAX } from "../limits.ts";
import { appKey } from "../state-keys.ts";

export interface ProvenReadsOptions {
  readonly codec: Pick<Codec, "encodeStateReceipt">;
  readonly state: Pick<AuthenticatedState, "checkpoints" | "anchor">;
  readonly blocks: Pick<BlockStore, "get">;
  readonly quorums: Quorums;
  readonly halted: () => Halt | undefined;
  /** From the log: what was stable before a restart. */
  readonly stable: StableCheckpoint | undefined;
}

export interface ProvenReads {
  /** A stable checkpoint, and its proof. The two newest are kept, like the states they are of. */
  certified(stable: StableCheckpoint): void;
  /** An encoded receipt about the state. @throws CallError DIVERGED, UNAVAILABLE or OVERLOADED; TypeError for what can be no key. */
  prove(key: string): Promise<Uint8Array>;
}

const STABLE_KEPT = 2;

export function createProvenReads(options: ProvenReadsOptions): ProvenReads {
  const known = new Map<SeqNum, StableCheckpoint>();
  let open = 0;

  function certified(stable: StableCheckpoint): void {
    if (stable.seq === 0) return; // genesis is proven by the cluster file alone, and nobody signs it
    known.set(stable.seq, stable);
    const seqs = [...known.keys()].sort((a, b) => b - a);
    for (const old of seqs.slice(STABLE_KEPT)) known.delete(old);
  }
  if (options.stable !== undefined) certified(options.stable);

  /** The newest state that is both durable here and certified. */
  function newest(): { readonly checkpoint: StateCheckpoint; readonly stable: StableCheckpoint } {
    const halt = options.halted();
    if (halt?.code === "DIVERGED") throw new CallError(halt.code, halt.reason);
    for (const checkpoint of [...options.state.checkpoints].reverse()) {
      const stable = known.get(checkpoint.seq);
      if (stable !== undefined) return { checkpoint, stable };
    }
    throw new CallError("UNAVAILABLE", "no stable checkpoint is here yet whose state is held; submit an ordered query, or ask again after the next checkpoint");
  }

  async function headerAt(seq: SeqNum): Promise<BlockHeader | undefined> {
    const anchor = options.state.anchor?.header;
    return anchor?.seq === seq ? anchor : (await options.blocks.get(seq))?.header;
  }

  return {
    certified,
    async prove(key) {
      const full = appKey(key);
      if (open >= PROOFS_AT_ONCE_MAX) throw new CallError("OVERLOADED", `${open} proofs are being made; ask later, or another replica`);
      const { checkpoint, stable } = newest();
      open++;
      try {
        const [proof, header] = await Promise.all([checkpoint.prove(full), headerAt(checkpoint.seq)]);
        if (header === undefined) throw new CallError("UNAVAILABLE", `block ${checkpoint.seq} is not held here; ask another replica`);
        const checkpoints: readonly Signed<Checkpoint>[] = [...stable.proof].sort((a, b) => a.body.sender - b.body.sender).slice(0, options.quorums.weak);
        return options.codec.encodeStateReceipt({ version: 1, header, checkpoints, key, proof });
      } finally {
        open--;
      }
    },
  };
}
