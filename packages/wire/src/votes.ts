/** PRE-PREPARE, vote frames, CHECKPOINT and OUTCOME: the small signed messages, and the hot path. */
import { votesPerFrameMax, type Checkpoint, type Outcome, type PrePrepare, type ReplicaId, type Signed, type Vote, type Votes } from "@narses/core";
import type { Context } from "./context.ts";
import { readEnvelope, writeReplicaHeader } from "./envelope.ts";
import { VOTE_BYTES } from "./limits.ts";
import type { Reader } from "./reader.ts";
import { TAG } from "./tags.ts";
import type { Writer } from "./writer.ts";

const PHASE_PREPARE = 1;
const PHASE_COMMIT = 2;

/** view u64, seq u64, digest 32. */
export function writePrePrepare(w: Writer, m: PrePrepare): void {
  writeReplicaHeader(w, TAG.PRE_PREPARE, m);
  w.u64(m.view);
  w.u64(m.seq);
  w.digest(m.digest);
}

function prePrepareBody(r: Reader, c: Context, sender: ReplicaId): PrePrepare {
  const view = r.view64("pre-prepare view", 0);
  const seq = r.seq64("pre-prepare seq", 1);
  return { type: "pre-prepare", epoch: c.epoch, sender, view, seq, digest: r.digest("pre-prepare digest") };
}

export const readPrePrepare = (r: Reader, c: Context): Signed<PrePrepare> => readEnvelope(r, c, TAG.PRE_PREPARE, "pre-prepare", prePrepareBody);

/** count u8, then per vote: phase u8, view u64, seq u64, digest 32. */
export function writeVotes(w: Writer, m: Votes): void {
  writeReplicaHeader(w, TAG.VOTES, m);
  w.u8(m.votes.length);
  for (const vote of m.votes) {
    w.u8(vote.phase === "prepare" ? PHASE_PREPARE : PHASE_COMMIT);
    w.u64(vote.view);
    w.u64(vote.seq);
    w.digest(vote.digest);
  }
}

function readVote(r: Reader): Vote {
  const phase = r.u8("vote phase");
  if (phase !== PHASE_PREPARE && phase !== PHASE_COMMIT) r.fail("vote phase", `${phase}, must be ${PHASE_PREPARE} or ${PHASE_COMMIT}`);
  const view = r.view64("vote view", 0);
  const seq = r.seq64("vote seq", 1);
  return { phase: phase === PHASE_PREPARE ? "prepare" : "commit", view, seq, digest: r.digest("vote digest") };
}

function votesBody(r: Reader, c: Context, sender: ReplicaId): Votes {
  const count = r.count("votes count", r.u8("votes count"), votesPerFrameMax(c.replicas), VOTE_BYTES);
  if (count === 0) r.fail("votes count", "0, at least 1");
  const votes: Vote[] = [];
  for (let i = 0; i < count; i++) votes.push(readVote(r));
  return { type: "votes", epoch: c.epoch, sender, votes };
}

export const readVotes = (r: Reader, c: Context): Signed<Votes> => readEnvelope(r, c, TAG.VOTES, "votes", votesBody);

/** seq u64, root 32. */
export function writeCheckpoint(w: Writer, m: Checkpoint): void {
  writeReplicaHeader(w, TAG.CHECKPOINT, m);
  w.u64(m.seq);
  w.digest(m.root);
}

function checkpointBody(r: Reader, c: Context, sender: ReplicaId): Checkpoint {
  const seq = r.seq64("checkpoint seq", 1);
  return { type: "checkpoint", epoch: c.epoch, sender, seq, root: r.digest("checkpoint root") };
}

export const readCheckpoint = (r: Reader, c: Context): Signed<Checkpoint> => readEnvelope(r, c, TAG.CHECKPOINT, "checkpoint", checkpointBody);

/** seq u64, block hash 32. */
export function writeOutcome(w: Writer, m: Outcome): void {
  writeReplicaHeader(w, TAG.OUTCOME, m);
  w.u64(m.seq);
  w.digest(m.block);
}

function outcomeBody(r: Reader, c: Context, sender: ReplicaId): Outcome {
  const seq = r.seq64("outcome seq", 1);
  return { type: "outcome", epoch: c.epoch, sender, seq, block: r.digest("outcome block") };
}

export const readOutcome = (r: Reader, c: Context): Signed<Outcome> => readEnvelope(r, c, TAG.OUTCOME, "outcome", outcomeBody);
