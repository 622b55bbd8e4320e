/**
 * Sending decided slots out of the block store to a replica that is further behind than the log reaches. Best effort: one
 * run per peer at a time, a few megabytes each; what is lost or left out is asked for again by the peer's next STATUS.
 */
import { NULL_DIGEST, seqNum, type BlockStore, type Logger, type PeerMessage, type ReplicaId, type SeqNum } from "@narses/core";
import { DECISION_BYTES_MAX, DECISION_SLOTS_MAX } from "./limits.ts";
import { describeError } from "./log.ts";

export interface DecisionsOptions {
  readonly blocks: Pick<BlockStore, "get">;
  /** False when the transport does not take it. */
  readonly send: (to: ReplicaId, message: PeerMessage) => boolean;
  readonly stopped: () => boolean;
  readonly logger: Logger;
}

export interface Decisions {
  /** Starts a run unless one to this peer is under way. */
  send(to: ReplicaId, first: SeqNum, last: SeqNum): void;
  /** Resolves when no run is under way. */
  idle(): Promise<void>;
}

export function createDecisions({ blocks, send, stopped, logger }: DecisionsOptions): Decisions {
  const running = new Map<ReplicaId, Promise<void>>();

  async function run(to: ReplicaId, first: SeqNum, last: SeqNum): Promise<void> {
    let bytes = 0;
    const end = Math.min(last, first + DECISION_SLOTS_MAX - 1);
    for (let seq: number = first; seq <= end && bytes < DECISION_BYTES_MAX; seq++) {
      const block = await blocks.get(seqNum(seq));
      if (stopped() || block?.certificate === undefined) return;
      // A null batch has no payload; any other block without one cannot be shown.
      if (block.batch === undefined && block.certificate.digest !== NULL_DIGEST) return;
      if (!send(to, { type: "decision", certificate: block.certificate, batch: block.batch })) return;
      bytes += (block.batch?.bytes.length ?? 0) + DECISION_OVERHEAD_BYTES;
    }
  }

  return {
    send(to, first, last) {
      if (running.has(to)) return;
      const work = run(to, first, last)
        .catch((error: unknown) => {
          logger.error({ replica: to, first, last, error: describeError(error) }, "decided slots could not be read for a peer that is behind");
        })
        .finally(() => running.delete(to));
      running.set(to, work);
    },
    async idle() {
      await Promise.all(running.values());
    },
  };
}

/** Counted for a certificate: a few frames of votes. */
const DECISION_OVERHEAD_BYTES = 4_096;
