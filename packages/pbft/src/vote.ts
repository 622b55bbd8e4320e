/** PREPARE and COMMIT: collecting votes, and what follows when enough of them agree (PBFT §4.2). */
import type { CommitCertificate, Digest, PreparedCertificate, ReplicaId, Signed, View, Votes } from "@narses/core";
import { assert, primaryOf } from "@narses/core";
import { executeReady } from "./execute.ts";
import { rememberToForward } from "./forward.ts";
import { addVote, hasPayload, matchingVotes, slotAt } from "./slots.ts";
import { emit, lowWatermark, n, pair, reject, type Replica, type Slot, storeLimit, strong } from "./state.ts";
import { considerClock, noteDecided } from "./time.ts";

/** A vote frame, from a peer or own (`from` = self). Own votes count from here on: they are durable and signed. */
export function onVotes(r: Replica, from: ReplicaId, frame: Signed<Votes>): void {
  const { sender, epoch, votes } = frame.body;
  if (epoch !== r.config.epoch) return reject(r, from, "votes", "EPOCH_FOREIGN", `epoch ${epoch}, this is ${r.config.epoch}`);
  const touched = new Set<Slot>();
  votes.forEach((vote, index) => {
    if (vote.seq <= lowWatermark(r)) return; // settled: the usual fate of the last votes of a slot
    if (vote.seq > storeLimit(r)) return reject(r, from, vote.phase, "SEQ_ABOVE_WINDOW", `seq ${vote.seq}, storing up to ${storeLimit(r)}`);
    if (vote.phase === "prepare" && sender === primaryOf(vote.view, n(r))) {
      return reject(r, from, "prepare", "PRIMARY_PREPARE", `replica ${sender} is the primary of view ${vote.view}: its pre-prepare is its vote`);
    }
    const slot = slotAt(r, vote.seq);
    const outcome = addVote(vote.phase === "prepare" ? slot.prepares : slot.commits, sender, vote, { frame, index });
    if (outcome === "added") touched.add(slot);
    else if (outcome === "equivocation") {
      assert(sender !== r.self, `own ${vote.phase} for view ${vote.view}, seq ${vote.seq} differs from an earlier one`);
      reject(r, from, vote.phase, "EQUIVOCATION", `replica ${sender} voted for two digests at view ${vote.view}, seq ${vote.seq}`,
        pair((vote.phase === "prepare" ? slot.prepares : slot.commits).get(sender)?.ref.frame, frame));
    }
  });
  for (const slot of touched) advance(r, slot);
}

/** Re-checks every quorum of a slot: after each vote, also the own one (n = 1 has no other), and after each payload. */
export function advance(r: Replica, slot: Slot): void {
  considerClock(r, slot);
  checkPrepared(r, slot);
  checkCommitted(r, slot);
}

/** prepared(v, n, D): pre-prepare, payload and Q−1 PREPAREs of distinct backups, all in the current, active view. */
function checkPrepared(r: Replica, slot: Slot): void {
  const proposal = slot.proposal;
  if (!r.active || proposal === undefined || proposal.view !== r.view || proposal.signed === undefined) return;
  if (slot.prepared?.prePrepare.body.view === r.view || !hasPayload(slot, proposal.digest)) return;
  const prepares = matchingVotes(slot.prepares, proposal.view, proposal.digest).slice(0, strong(r) - 1);
  if (prepares.length < strong(r) - 1) return;
  const certificate: PreparedCertificate = { prePrepare: proposal.signed, prepares };
  slot.prepared = certificate;
  emit(r, { type: "persist", record: { type: "prepared", certificate }, lazy: false });
  emit(r, { type: "vote", vote: { phase: "commit", view: proposal.view, seq: slot.seq, digest: proposal.digest } });
}

/** committed: Q COMMITs for one (v, n, D) decide n, in whatever view this replica is and whether or not it prepared. */
function checkCommitted(r: Replica, slot: Slot): void {
  if (slot.committed === undefined) {
    const decided = decidedBy(r, slot);
    if (decided === undefined) return;
    const commits = matchingVotes(slot.commits, decided.view, decided.digest).slice(0, strong(r));
    decide(r, slot, { ...decided, seq: slot.seq, commits });
    rememberToForward(r, slot.seq);
  }
  executeReady(r);
}

function decidedBy(r: Replica, slot: Slot): { readonly view: View; readonly digest: Digest } | undefined {
  if (slot.commits.size < strong(r)) return undefined;
  for (const { view, digest } of slot.commits.values()) {
    let count = 0;
    for (const other of slot.commits.values()) if (other.view === view && other.digest === digest) count++;
    if (count >= strong(r)) return { view, digest };
  }
  return undefined;
}

/** Marks the slot decided. @throws InvariantViolation when it was decided otherwise: more than f replicas are faulty. */
export function decide(r: Replica, slot: Slot, certificate: CommitCertificate): void {
  assert(
    slot.committed === undefined || slot.committed.digest === certificate.digest,
    `seq ${slot.seq} has commit certificates for two digests, ${slot.committed?.digest} and ${certificate.digest}: more than f = ${r.config.quorums.f} replicas are faulty`,
  );
  if (slot.committed !== undefined) return;
  slot.committed = certificate;
  noteDecided(r);
  considerClock(r, slot);
  // Nothing is executed or shown while a state is fetched, and the log must not grow for as long as that takes: `onTransferred` makes up for it.
  if (r.transfer !== undefined) return;
  const { fastReads } = r.config.parameters;
  if (slot.seq <= r.stableKnown.seq && !fastReads) return; // will be covered by a certified checkpoint: can be fetched again
  // A fast read may show this slot: a replica that comes back must know how far it had been. Prepared here, its log says so already.
  persistDecided(r, slot, certificate, !fastReads || slot.prepared?.prePrepare.body.digest === certificate.digest);
}

export function persistDecided(r: Replica, slot: Slot, certificate: CommitCertificate, lazy: boolean): void {
  const batch = slot.proposal?.digest === certificate.digest ? undefined : slot.payloads.get(certificate.digest);
  emit(r, { type: "persist", record: { type: "committed", certificate, ...(batch && { batch }) }, lazy });
}
