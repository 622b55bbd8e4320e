/**
 * Receipts about state: the value of a key, or its absence, after one block, verified offline from the genesis cluster file alone. They
 * are about keys of the application's state, not about questions: a question's answer has no place in the tree.
 */
import { type Checkpoint, type ClusterConfig, type Digest, type ReplicaId, type SeqNum, type Signed } from "@narses/core";
import { hasher, verifyStateProof } from "@narses/crypto";
import { APP_STATE_PREFIX, blockHash, decodePayload } from "@narses/wire";
import { describe, invalid } from "./invalid.ts";
import { createMembership, isSignedBy, type Membership } from "./membership.ts";

export interface VerifiedState {
  readonly key: string;
  /** False: the key had no value. */
  readonly present: boolean;
  /** As the application stored it; undefined when absent. */
  readonly value: unknown;
  readonly seq: SeqNum;
  /** Hash of block `seq`, after which it was so. */
  readonly block: Digest;
  /** Execution time of that block, Unix milliseconds. */
  readonly timestampMs: number;
  /** W replicas, ascending. */
  readonly signers: readonly ReplicaId[];
}

const SUBJECT = "the receipt";

export function checkStateReceiptBytes(bytes: Uint8Array, membership: Membership): VerifiedState {
  const decoded = membership.codec.decodeStateReceipt(bytes);
  if (!decoded.ok) throw invalid(SUBJECT, "encoding", describe(decoded.rejection));
  const { header, checkpoints, key, proof } = decoded.value;
  const { weak } = membership.quorums;
  if (checkpoints.length !== weak) {
    throw invalid(SUBJECT, "checkpoint-count", `it has ${checkpoints.length} CHECKPOINTs, receipts of this cluster have W = ${weak}`, { needed: weak });
  }
  const block = blockHash(hasher, header);
  const signers = checkCheckpoints(checkpoints, { seq: header.seq, hash: block }, membership);
  const verdict = verifyStateProof(hasher, header.stateRoot, APP_STATE_PREFIX + key, proof);
  if (!verdict.ok) throw invalid(SUBJECT, "state-path", `${JSON.stringify(key)} does not lead to the state root of block ${header.seq}: ${verdict.reason}`);
  const found = { seq: header.seq, block, timestampMs: header.timestampMs, signers };
  if (verdict.value === undefined) return { key, present: false, value: undefined, ...found };
  const value = decodePayload(verdict.value);
  if (!value.ok) throw invalid(SUBJECT, "value-encoding", describe(value.rejection));
  return { key, present: true, value: value.value, ...found };
}

/** They name this block, come from distinct replicas in ascending order, and are signed by them. */
function checkCheckpoints(checkpoints: readonly Signed<Checkpoint>[], block: { readonly seq: SeqNum; readonly hash: Digest }, membership: Membership): readonly ReplicaId[] {
  let last = -1;
  for (const { body, bytes } of checkpoints) {
    const replica = body.sender;
    if (replica <= last) throw invalid(SUBJECT, "checkpoint-replica", `the CHECKPOINT of replica ${replica} comes after that of replica ${last}; senders must ascend`, { replica });
    last = replica;
    if (body.root !== block.hash || body.seq !== block.seq) {
      throw invalid(SUBJECT, "checkpoint-block", `replica ${replica} vouches for block ${body.seq} ${body.root}, the header is ${block.seq} ${block.hash}`, { replica });
    }
    if (!isSignedBy(membership.codec, membership.keyOf(replica), bytes)) {
      throw invalid(SUBJECT, "checkpoint-signature", `the CHECKPOINT of replica ${replica} is not signed with its key in the cluster file`, { replica });
    }
  }
  return checkpoints.map(({ body }) => body.sender);
}

/**
 * Verifies a state receipt's bytes against the cluster file, which must come from somewhere you trust.
 * @throws NarsesError RECEIPT_INVALID, `data.check` names the check that failed; CONFIG_INVALID for a wrong cluster file.
 */
export const verifyStateReceipt = (bytes: Uint8Array, cluster: ClusterConfig): VerifiedState => checkStateReceiptBytes(bytes, createMembership(cluster));
