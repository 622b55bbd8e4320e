/** The log between the watermarks: slots by sequence number, their payloads and votes. */
import type { Batch, Digest, ReplicaId, SeqNum, Vote, VoteRef } from "@narses/core";
import { NULL_DIGEST } from "@narses/core";
import { type CastVote, PAYLOADS_PER_SLOT_MAX, type Replica, type Slot, VOTED_PAYLOADS_PER_SLOT_MAX } from "./state.ts";

/** The slot for `seq`, made if absent. Callers check the range first (low watermark < seq ≤ storeLimit). */
export function slotAt(r: Replica, seq: SeqNum): Slot {
  let slot = r.slots.get(seq);
  if (slot === undefined) {
    slot = {
      seq, proposal: undefined, payloads: new Map(), voted: new Set(), prepares: new Map(), commits: new Map(),
      prepared: undefined, committed: undefined, refused: undefined, resent: new Map(), announced: undefined, early: undefined,
    };
    r.slots.set(seq, slot);
  }
  return slot;
}

/** Slots in ascending order: a Map iterates in order of arrival, which differs between replicas. */
export const slotsAscending = (r: Replica): readonly Slot[] => [...r.slots.values()].sort((a, b) => a.seq - b.seq);

export function addPayload(slot: Slot, batch: Batch): void {
  if (slot.payloads.has(batch.digest)) return;
  slot.payloads.set(batch.digest, batch);
  makeRoom(slot, [...slot.payloads.keys()].filter((digest) => !slot.voted.has(digest)), PAYLOADS_PER_SLOT_MAX);
  makeRoom(slot, [...slot.voted].filter((digest) => slot.payloads.has(digest)), VOTED_PAYLOADS_PER_SLOT_MAX);
}

/** Drops the oldest of `digests` that no certificate names, until `max` are left. The youngest is what was just added. */
function makeRoom(slot: Slot, digests: readonly Digest[], max: number): void {
  let over = digests.length - max;
  for (const digest of digests.slice(0, -1)) {
    if (over <= 0) return;
    if (isPinned(slot, digest)) continue;
    slot.payloads.delete(digest);
    over--;
  }
}

const isPinned = (slot: Slot, digest: Digest): boolean =>
  slot.proposal?.digest === digest || slot.prepared?.prePrepare.body.digest === digest || slot.committed?.digest === digest;

/** Whether the payload for `digest` is at hand; a null batch has none and needs none. */
export const hasPayload = (slot: Slot, digest: Digest): boolean => digest === NULL_DIGEST || slot.payloads.has(digest);

export type VoteOutcome = "added" | "duplicate" | "stale" | "equivocation";

/** Keeps the first vote of a sender in its latest view. A second, different one in that view is evidence, not a replacement. */
export function addVote(votes: Map<ReplicaId, CastVote>, sender: ReplicaId, vote: Vote, ref: VoteRef): VoteOutcome {
  const held = votes.get(sender);
  if (held !== undefined) {
    if (vote.view < held.view) return "stale";
    if (vote.view === held.view) return vote.digest === held.digest ? "duplicate" : "equivocation";
  }
  votes.set(sender, { view: vote.view, digest: vote.digest, ref });
  return "added";
}

/** References to the votes for (view, digest), ascending by sender. */
export function matchingVotes(votes: ReadonlyMap<ReplicaId, CastVote>, view: number, digest: Digest): readonly VoteRef[] {
  const senders: ReplicaId[] = [];
  for (const [sender, vote] of votes) if (vote.view === view && vote.digest === digest) senders.push(sender);
  senders.sort((a, b) => a - b);
  return senders.map((sender) => (votes.get(sender) as CastVote).ref);
}
