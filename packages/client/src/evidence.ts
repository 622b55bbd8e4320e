/**
 * Offline verification of evidence: from the file and the cluster file alone. Whoever it accuses has signed every word of it. Anything
 * else (edited, spliced from several replicas, of another cluster or epoch, or simply no contradiction) proves nothing and blames nobody.
 * Written from the protocol, not with the engine's code: an engine that judges wrongly is not believed here.
 */
import {
  NarsesError, bytesEqual, primaryOf, toHex,
  type Batch, type Checkpoint, type ClusterConfig, type Evidence, type NewView, type PrePrepare, type ReplicaId, type Signed, type SignedBody, type StableCheckpoint,
  type ViewChange, type Vote, type VoteRef,
} from "@narses/core";
import { verifyingKey } from "@narses/crypto";
import { describe } from "./invalid.ts";
import { createMembership, isSignedBy, type Membership } from "./membership.ts";

export interface VerifiedEvidence {
  /** The replica that signed what no correct replica signs. */
  readonly accused: ReplicaId;
  readonly offence: "equivocation" | "forged-certificate" | "forged-request";
  /** What it did, as the rest of a sentence that begins with the replica. */
  readonly what: string;
}

const unproven = (what: string): NarsesError =>
  new NarsesError("EVIDENCE_INVALID", `the evidence proves nothing: ${what}. It blames nobody; whoever made it may have meant to`, { what });

/** @throws NarsesError EVIDENCE_INVALID when it proves nothing; CONFIG_INVALID for a wrong cluster file. */
export function verifyEvidence(bytes: Uint8Array, cluster: ClusterConfig): VerifiedEvidence {
  const membership = createMembership(cluster);
  const decoded = membership.codec.decodeEvidence(bytes);
  if (!decoded.ok) throw unproven(`these are not the bytes of evidence of this cluster and epoch (${describe(decoded.rejection)})`);
  const evidence = decoded.value;
  switch (evidence.type) {
    case "pair":
      return pairOf(evidence, membership);
    case "forged":
      return forgedCertificate(evidence.signed, membership);
    case "batch":
      return forgedRequest(evidence.signed, evidence.batch, membership);
  }
}

function isSigned({ body, bytes }: Signed<SignedBody>, { codec, keyOf }: Membership): boolean {
  return isSignedBy(codec, keyOf(body.sender), bytes);
}

function requireSigned(signed: Signed<SignedBody>, membership: Membership): void {
  if (!isSigned(signed, membership)) throw unproven(`its ${signed.body.type} is not signed by replica ${signed.body.sender}`);
}

// ── equivocation ─────────────────────────────────────────────────────────────────────────────────────────────────

function pairOf({ first, second }: Extract<Evidence, { type: "pair" }>, membership: Membership): VerifiedEvidence {
  const accused = first.body.sender;
  if (second.body.sender !== accused) throw unproven(`its two messages are of replicas ${accused} and ${second.body.sender}`);
  requireSigned(first, membership);
  requireSigned(second, membership);
  const what = contradiction(first, second);
  if (what === undefined) throw unproven(`its two messages do not contradict each other: a correct replica signs both`);
  return { accused, offence: "equivocation", what };
}

function contradiction(one: Signed<SignedBody>, two: Signed<SignedBody>): string | undefined {
  const [a, b] = [one.body, two.body];
  if (a.type === "pre-prepare" && b.type === "pre-prepare") {
    return a.view === b.view && a.seq === b.seq && a.digest !== b.digest ? `proposed two batches for view ${a.view}, slot ${a.seq}` : undefined;
  }
  if (a.type === "votes" && b.type === "votes") return votesContradict(a.votes, b.votes);
  if (a.type === "checkpoint" && b.type === "checkpoint") return a.seq === b.seq && a.root !== b.root ? `vouched for two states after slot ${a.seq}` : undefined;
  if (a.type === "outcome" && b.type === "outcome") return a.seq === b.seq && a.block !== b.block ? `vouched for two blocks of slot ${a.seq}` : undefined;
  if ((a.type === "view-change" && b.type === "view-change") || (a.type === "new-view" && b.type === "new-view")) {
    return a.view === b.view && !bytesEqual(one.bytes, two.bytes) ? `signed two ${a.type} messages for view ${a.view}` : undefined;
  }
  return undefined;
}

function votesContradict(ones: readonly Vote[], twos: readonly Vote[]): string | undefined {
  for (const one of ones) {
    const two = twos.find(({ phase, view, seq, digest }) => phase === one.phase && view === one.view && seq === one.seq && digest !== one.digest);
    if (two !== undefined) return `cast two ${one.phase} votes for view ${one.view}, slot ${one.seq}`;
  }
  return undefined;
}

// ── forged requests ──────────────────────────────────────────────────────────────────────────────────────────────

function forgedRequest(signed: Signed<PrePrepare>, batch: Batch, membership: Membership): VerifiedEvidence {
  requireSigned(signed, membership);
  const { sender, view, seq, digest } = signed.body;
  if (batch.digest !== digest) throw unproven(`its batch is ${batch.digest}, replica ${sender} proposed ${digest}`);
  // A batch that was certified in an earlier view is proposed again without being judged again.
  const primary = primaryOf(view, membership.quorums.n);
  if (view !== 0 || sender !== primary) throw unproven("only in view 0 does a proposal alone show who judged its requests");
  for (const bundle of batch.bundles) {
    if (isListed(bundle, membership) && isClientSigned(bundle, membership)) continue;
    return { accused: sender, offence: "forged-request", what: `proposed a request for view ${view}, slot ${seq} that client ${bundle.client} did not sign, or may not submit` };
  }
  throw unproven("every request of the proposal is signed by its client, and may be submitted");
}

const isListed = ({ publicKey }: Batch["bundles"][number], { cluster }: Membership): boolean =>
  cluster.clients === "open" || cluster.clientKeys.includes(toHex(publicKey));

function isClientSigned(bundle: Batch["bundles"][number], { codec }: Membership): boolean {
  try {
    return isSignedBy(codec, verifyingKey(bundle.publicKey), bundle.bytes);
  } catch (error) {
    if (error instanceof NarsesError) return false; // no acceptable key signs anything
    throw error;
  }
}

// ── forged certificates ──────────────────────────────────────────────────────────────────────────────────────────

function forgedCertificate(signed: Signed<ViewChange> | Signed<NewView>, membership: Membership): VerifiedEvidence {
  requireSigned(signed, membership);
  const { body } = signed;
  const problem = body.type === "view-change" ? viewChangeProblem(body, membership) : newViewProblem(body, membership);
  if (problem === undefined) throw unproven(`every certificate in the ${body.type} of replica ${body.sender} holds`);
  return { accused: body.sender, offence: "forged-certificate", what: `signed a ${body.type} for view ${body.view} ${problem}` };
}

function newViewProblem({ viewChanges }: NewView, membership: Membership): string | undefined {
  for (const vc of viewChanges) {
    if (!isSigned(vc, membership)) return `with a view-change that replica ${vc.body.sender} did not sign`;
    const problem = viewChangeProblem(vc.body, membership);
    if (problem !== undefined) return `that counts a view-change of replica ${vc.body.sender} ${problem}`;
  }
  return undefined;
}

function viewChangeProblem({ view, stable, prepared }: ViewChange, membership: Membership): string | undefined {
  const problem = stableProblem(stable, membership);
  if (problem !== undefined) return problem;
  const { strong, n } = membership.quorums;
  for (const { prePrepare, prepares } of prepared) {
    const { view: inView, seq, digest, sender } = prePrepare.body;
    const where = `with a prepared certificate for view ${inView}, slot ${seq}`;
    if (inView >= view) return `${where}, which is not below view ${view}`;
    if (sender !== primaryOf(inView, n) || !isSigned(prePrepare, membership)) return `${where} whose proposal its primary did not sign`;
    const voters = new Set<ReplicaId>();
    for (const ref of prepares) {
      const voter = voterFor(ref, { phase: "prepare", view: inView, seq, digest }, membership);
      if (voter === undefined || voter === sender) return `${where} with a vote that is not one`;
      voters.add(voter);
    }
    if (voters.size < strong - 1) return `${where} with ${voters.size} votes of the ${strong - 1} it needs`;
  }
  return undefined;
}

/** Who cast exactly this vote, in words of its own. */
function voterFor({ frame, index }: VoteRef, expected: Vote, membership: Membership): ReplicaId | undefined {
  const vote = frame.body.votes[index];
  const same = vote?.phase === expected.phase && vote.view === expected.view && vote.seq === expected.seq && vote.digest === expected.digest;
  return same && isSigned(frame, membership) ? frame.body.sender : undefined;
}

/** What the checkpoint of genesis is cannot be told from the cluster file: only a proof that is there is judged. */
function stableProblem({ seq, root, proof }: StableCheckpoint, membership: Membership): string | undefined {
  if (seq === 0) return proof.length === 0 ? undefined : "with a proof for the checkpoint of genesis, which has none";
  const where = `with a proof for checkpoint ${seq}`;
  const vouching = new Set<ReplicaId>();
  for (const signed of proof) {
    if (!vouchesFor(signed, seq, root) || !isSigned(signed, membership)) return `${where} that holds a checkpoint message which is not for it, or not signed`;
    vouching.add(signed.body.sender);
  }
  const { strong } = membership.quorums;
  return vouching.size < strong ? `${where} by ${vouching.size} replicas of the ${strong} it needs` : undefined;
}

const vouchesFor = ({ body }: Signed<Checkpoint>, seq: number, root: string): boolean => body.seq === seq && body.root === root;
