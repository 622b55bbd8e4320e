/**
 * Judging certificates. Pure: signatures were checked by the verifier, these functions check that the signed statements
 * add up to what the certificate claims. Each returns undefined when valid, else what is wrong.
 */
import type { CommitCertificate, EngineConfig, PreparedCertificate, ReplicaId, StableCheckpoint, Vote, VoteRef } from "@narses/core";
import { primaryOf } from "@narses/core";

type Problem = string | undefined;

/** Votes must be of distinct senders, none of `excluded`, and all say exactly `expected`. */
function checkVotes(config: EngineConfig, refs: readonly VoteRef[], expected: Vote, excluded: ReplicaId | undefined, needed: number): Problem {
  const senders = new Set<ReplicaId>();
  for (const { frame, index } of refs) {
    const vote = frame.body.votes[index];
    if (vote === undefined) return `names vote ${index} of a frame that has ${frame.body.votes.length}`;
    if (frame.body.epoch !== config.epoch) return `holds a vote of epoch ${frame.body.epoch}`;
    if (vote.phase !== expected.phase || vote.view !== expected.view || vote.seq !== expected.seq || vote.digest !== expected.digest) {
      return `holds a ${vote.phase} for view ${vote.view}, seq ${vote.seq} instead of ${expected.phase} for view ${expected.view}, seq ${expected.seq}, or of another digest`;
    }
    if (frame.body.sender === excluded) return `counts a ${expected.phase} of replica ${frame.body.sender}, the primary of view ${expected.view}`;
    senders.add(frame.body.sender);
  }
  if (senders.size !== refs.length) return "counts a sender twice";
  if (senders.size < needed) return `has ${senders.size} votes of the ${needed} it needs`;
  return undefined;
}

export function checkPrepared(config: EngineConfig, certificate: PreparedCertificate): Problem {
  const { view, seq, digest, sender, epoch } = certificate.prePrepare.body;
  const primary = primaryOf(view, config.quorums.n);
  if (epoch !== config.epoch) return `prepared certificate is of epoch ${epoch}`;
  if (sender !== primary) return `pre-prepare of view ${view} is signed by replica ${sender}, its primary is ${primary}`;
  // More than a quorum proves nothing more, and NEW-VIEW is sized for quorums (`logWindowMax`).
  const needed = config.quorums.strong - 1;
  if (certificate.prepares.length > needed) return `prepared certificate for seq ${seq} is padded: ${certificate.prepares.length} votes, ${needed} are needed`;
  const problem = checkVotes(config, certificate.prepares, { phase: "prepare", view, seq, digest }, primary, needed);
  return problem === undefined ? undefined : `prepared certificate for seq ${seq} ${problem}`;
}

export function checkCommitted(config: EngineConfig, certificate: CommitCertificate): Problem {
  const { view, seq, digest, commits } = certificate;
  const problem = checkVotes(config, commits, { phase: "commit", view, seq, digest }, undefined, config.quorums.strong);
  return problem === undefined ? undefined : `commit certificate for seq ${seq} ${problem}`;
}

export function checkStable(config: EngineConfig, stable: StableCheckpoint): Problem {
  if (stable.seq === 0) {
    if (stable.root !== config.genesisRoot || stable.proof.length > 0) return "checkpoint 0 is not the genesis of this cluster";
    return undefined;
  }
  if (stable.seq % config.parameters.checkpointInterval !== 0) return `checkpoint ${stable.seq} is not a multiple of ${config.parameters.checkpointInterval}`;
  const senders = new Set<ReplicaId>();
  for (const { body } of stable.proof) {
    if (body.epoch !== config.epoch || body.seq !== stable.seq || body.root !== stable.root) {
      return `checkpoint proof for ${stable.seq} holds a vote for seq ${body.seq}, epoch ${body.epoch}, or another root`;
    }
    senders.add(body.sender);
  }
  if (senders.size !== stable.proof.length) return `checkpoint proof for ${stable.seq} counts a sender twice`;
  if (senders.size < config.quorums.strong) return `checkpoint proof for ${stable.seq} has ${senders.size} votes of the ${config.quorums.strong} it needs`;
  return undefined;
}
