/** Stale reads with proof: replicas are asked one after the other until one proves a state that is new enough. */
import { NarsesError, type ReplicaId } from "@narses/core";
import { checkStateReceiptBytes, type VerifiedState } from "./state-receipt.ts";
import type { Membership } from "./membership.ts";

export interface ReadOptions {
  /** The block may be this old, by this machine's clock. Default: any age. */
  readonly maxStalenessMs?: number;
  /** The state after this slot, or a later one. */
  readonly atLeastSeq?: number;
  readonly signal?: AbortSignal;
}

export interface StaleAnswer extends VerifiedState {
  readonly consistency: "stale";
  /** The proof, to keep or to hand on: see verifyStateReceipt. */
  readonly receipt: Uint8Array;
}

export interface StaleReadOptions {
  readonly membership: Membership;
  readonly key: string;
  readonly wanted: ReadOptions;
  /** In the order in which they are asked. */
  readonly replicas: readonly ReplicaId[];
  readonly ask: (replica: ReplicaId) => Promise<unknown>;
  readonly nowMs: () => number;
  /** A replica gave something that is no proof. */
  readonly onInvalid: (replica: ReplicaId, problem: string) => void;
}

/** Why what is proven is not what was wanted, if so. */
function lacks({ seq, timestampMs, key }: VerifiedState, asked: string, { maxStalenessMs, atLeastSeq }: ReadOptions, nowMs: number): string | undefined {
  if (key !== asked) return `it proves ${JSON.stringify(key)}`;
  if (atLeastSeq !== undefined && seq < atLeastSeq) return `its newest proven state is of block ${seq}`;
  if (maxStalenessMs !== undefined && nowMs - timestampMs > maxStalenessMs) return `its newest proven state is ${nowMs - timestampMs} ms old`;
  return undefined;
}

/** @throws NarsesError UNAVAILABLE when nobody proves a state that is new enough; `signal.reason` when aborted. */
export async function staleRead({ membership, key, wanted, replicas, ask, nowMs, onInvalid }: StaleReadOptions): Promise<StaleAnswer> {
  const problems: string[] = [];
  for (const replica of replicas) {
    wanted.signal?.throwIfAborted();
    try {
      const bytes = await ask(replica);
      if (!(bytes instanceof Uint8Array)) {
        onInvalid(replica, "no bytes");
        continue;
      }
      const state = checkStateReceiptBytes(bytes, membership);
      const problem = lacks(state, key, wanted, nowMs());
      if (problem === undefined) return { ...state, consistency: "stale", receipt: bytes };
      problems.push(`replica ${replica}: ${problem}`);
    } catch (error) {
      if (error instanceof NarsesError && error.code === "RECEIPT_INVALID") onInvalid(replica, error.message);
      problems.push(`replica ${replica}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  wanted.signal?.throwIfAborted();
  const asked = problems.length === 0 ? "no replica is connected" : problems.join("; ");
  const text = `no replica proves a state of ${JSON.stringify(key)} that is new enough: ${asked}. Submit an ordered query, or ask for less`;
  throw new NarsesError("UNAVAILABLE", text, { key, problems });
}
