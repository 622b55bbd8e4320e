/**
 * DECISION FORWARDING, for clusters with fast reads. There a client believes an answer when Q replicas give it, so that every
 * write it believes in is in the state of a correct replica of every later quorum. A faulty primary may keep f correct replicas
 * in the dark while f liars are silent to the client: Q−f < Q answers for ever, and nobody who executed complains (Berger et
 * al., SRDS 2021). So who decides a slot hands the decision to every replica whose COMMIT it has not seen.
 *
 * A vote may simply be on its way: nothing is forwarded in the tick of the decision. Peers take turns, W at a time: any W of
 * them include a correct one, and one copy is enough.
 */
import type { ReplicaId, SeqNum } from "@narses/core";
import { NULL_DIGEST } from "@narses/core";
import { hasPayload } from "./slots.ts";
import { emit, n, type Replica, type Slot, weak } from "./state.ts";

/** Decisions forwarded in one tick over all peers, after which no further wave begins; the rest follows in later ticks. */
const FORWARDS_PER_TICK_MAX = 64;
/** The same in bytes of batches. */
const FORWARD_BYTES_PER_TICK_MAX: number = 1 << 20;

/** The slot was decided here by Q COMMITs. Bounded by the slots of the log. */
export function rememberToForward(r: Replica, seq: SeqNum): void {
  if (r.config.parameters.fastReads && n(r) > 1) r.forwarding.set(seq, { sinceTick: r.tick, wave: 0 });
}

/** Called every tick. */
export function forwardTick(r: Replica): void {
  const waves = Math.ceil((n(r) - 1) / weak(r));
  let sent = 0;
  let bytes = 0;
  for (const [seq, task] of [...r.forwarding].sort(([a], [b]) => a - b)) {
    const slot = r.slots.get(seq);
    if (slot?.committed === undefined) {
      r.forwarding.delete(seq); // truncated: who still lacks it takes the checkpoint
      continue;
    }
    const { digest } = slot.committed;
    if (!hasPayload(slot, digest)) continue;
    const batch = digest === NULL_DIGEST ? undefined : slot.payloads.get(digest);
    for (; task.wave < waves && task.sinceTick + task.wave < r.tick; task.wave++) {
      if (sent >= FORWARDS_PER_TICK_MAX || bytes >= FORWARD_BYTES_PER_TICK_MAX) return; // the rest in the next tick
      for (const to of inTheDark(r, slot, task.wave)) {
        emit(r, { type: "send", to, message: { type: "decision", certificate: slot.committed, batch } });
        sent++;
        bytes += batch?.bytes.length ?? 0;
      }
    }
    if (task.wave >= waves) r.forwarding.delete(seq);
  }
}

/** Connected peers of this wave that have shown no COMMIT for the decision and do not claim to have executed it. */
function inTheDark(r: Replica, slot: Slot, wave: number): readonly ReplicaId[] {
  const found: ReplicaId[] = [];
  for (const [id, peer] of r.peers) {
    const rank = (((r.self - id - 1) % n(r)) + n(r)) % n(r); // 0 … n−2: whose turn it is to serve this peer
    if (Math.floor(rank / weak(r)) !== wave || peer.connected === false || peer.claimedExecuted >= slot.seq) continue;
    if (peer.claimedExecuted + r.config.parameters.logWindow < slot.seq) continue; // far behind: it pulls
    if (slot.commits.get(id)?.digest !== slot.committed?.digest) found.push(id);
  }
  return found.sort((a, b) => a - b);
}
