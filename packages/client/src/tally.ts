/**
 * The replies to one bundle. Signatures are the expensive part, so they are checked last: only when enough replicas claim the
 * same, W of them, and once per replica and block. (The others are known by their connection, which is all a vote needs.)
 */
import { rejection, type Digest, type Outcome, type Rejection, type ReplicaId, type SeqNum, type Signed } from "@narses/core";
import { setBounded } from "./bounded.ts";
import { isSignedBy, type Membership } from "./membership.ts";
import type { CheckedReply } from "./reply.ts";

/** Verified outcomes remembered, at most. */
export const VERIFIED_OUTCOMES_MAX = 4_096;

/** Outcomes whose signature is good, by replica and block. */
export type VerifiedOutcomes = Map<string, Signed<Outcome>>;

const outcomeKey = (replica: ReplicaId, block: Digest): string => `${replica} ${block}`;

export interface Tally {
  /** The most telling checked reply of each replica, see {@link supersedes}. */
  readonly votes: Map<ReplicaId, CheckedReply>;
  /** Where replicas executed it whose state was transferred since: they have no block to show. The last word of each. */
  readonly executed: Map<ReplicaId, { readonly seq: SeqNum; readonly leafIndex: number }>;
  /** Replicas that sent to this bundle what no correct replica sends; not heard again about it. */
  readonly excluded: Set<ReplicaId>;
}

/** First byte of an encoded result that says "not executed" (`encodeResult`). */
const NOT_EXECUTED_STATUS = 3;

function refusals({ reply }: CheckedReply): number {
  let count = 0;
  for (const result of reply.results) if (result[0] === NOT_EXECUTED_STATUS) count++;
  return count;
}

/**
 * A bundle may be ordered more than once: executed in one block and refused as already executed in a later one. Both answers
 * are true and certified; the one that executed is what the caller asked for. So a reply with fewer refusals counts, then the earlier.
 */
export function supersedes(newer: CheckedReply, held: CheckedReply | undefined): boolean {
  if (held === undefined) return true;
  const difference = refusals(newer) - refusals(held);
  return difference < 0 || (difference === 0 && newer.reply.header.seq < held.reply.header.seq);
}

export const createTally = (): Tally => ({ votes: new Map(), executed: new Map(), excluded: new Set() });

/**
 * Enough replicas claim the same (Q with fast reads, W otherwise), W of them with good signatures: the results are those of a
 * correct replica.
 */
export interface Quorum {
  readonly accepted: CheckedReply;
  /** Exactly W, ascending by sender. */
  readonly outcomes: readonly Signed<Outcome>[];
}

/**
 * Looks for enough votes with `claim`. Votes whose signature is bad are removed, their senders excluded and told to `onForged`.
 */
export function findQuorum(
  tally: Tally,
  claim: string,
  membership: Membership,
  verified: VerifiedOutcomes,
  onForged: (from: ReplicaId, reason: Rejection) => void,
): Quorum | undefined {
  const { weak } = membership.quorums;
  // Most replies do not complete an answer: they are counted before anything is sorted.
  let count = 0;
  for (const vote of tally.votes.values()) if (vote.claim === claim) count++;
  if (count < weak || (count < membership.replyQuorum && count + confirmations(tally, claim) < membership.replyQuorum)) return undefined;
  const alike = [...tally.votes].filter(([, vote]) => vote.claim === claim).sort(([a], [b]) => a - b);
  const outcomes: Signed<Outcome>[] = [];
  for (const [from, vote] of alike) {
    const signed = verifyOutcome(from, vote.reply.outcome, membership, verified);
    if (signed === undefined) {
      tally.votes.delete(from);
      tally.excluded.add(from);
      onForged(from, rejection("SIGNATURE_INVALID", `outcome of block ${vote.reply.header.seq} is not signed by replica ${from}`));
      return findQuorum(tally, claim, membership, verified, onForged);
    }
    outcomes.push(signed);
    if (outcomes.length === weak) return { accepted: vote, outcomes };
  }
  return undefined;
}

/** Replicas that say they executed the bundle where this claim says, and give no reply of their own. */
function confirmations({ votes, executed, excluded }: Tally, claim: string): number {
  const place = [...votes.values()].find((vote) => vote.claim === claim)?.reply;
  return [...executed].filter(([id, { seq, leafIndex }]) => !votes.has(id) && !excluded.has(id) && seq === place?.header.seq && leafIndex === place.leafIndex).length;
}

/** The outcome if its signature is good; the one verified first for this replica and block, so that receipts carry checked bytes. */
function verifyOutcome(from: ReplicaId, outcome: Signed<Outcome>, membership: Membership, verified: VerifiedOutcomes): Signed<Outcome> | undefined {
  const key = outcomeKey(from, outcome.body.block);
  const known = verified.get(key);
  if (known !== undefined) return known;
  if (!isSignedBy(membership.codec, membership.keyOf(from), outcome.bytes)) return undefined;
  setBounded(verified, key, outcome, VERIFIED_OUTCOMES_MAX);
  return outcome;
}
