/** Offline verification of receipts: from the bytes and the genesis cluster file alone, in Node and in a browser. */
import {
  assert,
  fromHex,
  requestId,
  type Bundle,
  type ClientId,
  type ClusterConfig,
  type Digest,
  type Operation,
  type Outcome,
  type Receipt,
  type ReplicaId,
  type RequestId,
  type SeqNum,
  type Signed,
} from "@narses/core";
import { hasher, merkleVerify } from "@narses/crypto";
import { blockHash, decodePayload, decodeResult, resultLeaf, type OperationResult } from "@narses/wire";
import { checkClientSignature, describe, invalid } from "./invalid.ts";
import { createMembership, isSignedBy, type Membership } from "./membership.ts";

/**
 * What a valid receipt proves: W replicas, so at least one correct one, say that the operation was ordered and gave this.
 * The bundle's place in the block is not among it: RFC 6962 roots do not fix the number of leaves, so neither does a path.
 */
export interface VerifiedReceipt {
  readonly seq: SeqNum;
  /** Hash of block `seq`. */
  readonly block: Digest;
  readonly client: ClientId;
  readonly publicKey: Uint8Array;
  readonly rid: RequestId;
  readonly kind: "apply" | "query";
  /** Decoded payload, as submitted. */
  readonly operation: unknown;
  /** May be a refusal: look at `status`. */
  readonly result: OperationResult;
  /** Execution time agreed by the replicas, Unix milliseconds. */
  readonly timestampMs: number;
  /** W replicas, ascending. */
  readonly signers: readonly ReplicaId[];
}

const SUBJECT = "the receipt";

interface Proven {
  readonly receipt: Receipt;
  readonly bundle: Bundle;
  /** Of the bundle. */
  readonly operations: readonly Operation[];
  readonly block: Digest;
  readonly signers: readonly ReplicaId[];
}

/** Everything but the operation: what all operations of the bundle share is checked once. */
function checkProof(bytes: Uint8Array, membership: Membership): Proven {
  const decoded = membership.codec.decodeReceipt(bytes);
  if (!decoded.ok) throw invalid(SUBJECT, "encoding", describe(decoded.rejection));
  const receipt = decoded.value;
  const { header, leafIndex, leafCount, path, results } = receipt;

  const bundleDecoded = membership.codec.decodeBundle(receipt.bundle);
  assert(bundleDecoded.ok, "a decoded receipt holds a decoded bundle");
  const bundle = bundleDecoded.value;
  checkClientSignature(SUBJECT, membership, bundle);

  const leaf = resultLeaf(hasher, bundle.digest, results);
  if (!merkleVerify(leaf, leafIndex, leafCount, path, fromHex(header.resultRoot))) {
    throw invalid(SUBJECT, "result-path", `the results of bundle ${bundle.digest} do not lead to the result root of block ${header.seq}`);
  }

  const { weak } = membership.quorums;
  if (receipt.outcomes.length !== weak) {
    throw invalid(SUBJECT, "outcome-count", `it has ${receipt.outcomes.length} outcomes, the cluster's receipts have W = ${weak}`, { needed: weak });
  }
  const block = blockHash(hasher, header);
  return { receipt, bundle, operations: bundle.operations, block, signers: checkOutcomes(receipt.outcomes, { seq: header.seq, hash: block }, membership) };
}

/** Operation `index` of a bundle whose proof holds. */
function describeProven({ receipt, bundle, operations, block, signers }: Proven, index: number): VerifiedReceipt {
  const { header, results } = receipt;
  const operation = operations[index];
  const resultBytes = results[index];
  assert(operation !== undefined && resultBytes !== undefined, "a decoded receipt has one result for each operation, and is about one of them");
  const payload = decodePayload(operation.payload);
  if (!payload.ok) throw invalid(SUBJECT, "operation-encoding", describe(payload.rejection));
  const result = decodeResult(resultBytes);
  if (!result.ok) throw invalid(SUBJECT, "result-encoding", describe(result.rejection));
  return {
    seq: header.seq,
    block,
    client: bundle.client,
    publicKey: bundle.publicKey,
    rid: requestId(bundle.ridFirst + index),
    kind: operation.kind,
    operation: payload.value,
    result: result.value,
    timestampMs: header.timestampMs,
    signers,
  };
}

export function checkReceiptBytes(bytes: Uint8Array, membership: Membership): VerifiedReceipt {
  const proven = checkProof(bytes, membership);
  return describeProven(proven, proven.receipt.operation);
}

/** Outcomes name this block, come from distinct replicas in ascending order, and are signed by them. */
function checkOutcomes(outcomes: readonly Signed<Outcome>[], block: { readonly seq: SeqNum; readonly hash: Digest }, membership: Membership): readonly ReplicaId[] {
  let last = -1;
  for (const { body, bytes } of outcomes) {
    const replica = body.sender;
    if (replica <= last) throw invalid(SUBJECT, "outcome-replica", `the outcome of replica ${replica} comes after that of replica ${last}; senders must ascend`, { replica });
    last = replica;
    if (body.block !== block.hash || body.seq !== block.seq) {
      throw invalid(SUBJECT, "outcome-block", `replica ${replica} vouches for block ${body.seq} ${body.block}, the header is ${block.seq} ${block.hash}`, { replica });
    }
    if (!isSignedBy(membership.codec, membership.keyOf(replica), bytes)) {
      throw invalid(SUBJECT, "outcome-signature", `the outcome of replica ${replica} is not signed with its key in the cluster file`, { replica });
    }
  }
  return outcomes.map(({ body }) => body.sender);
}

/**
 * Verifies a receipt's bytes against the cluster file, which must come from somewhere you trust.
 * @throws NarsesError RECEIPT_INVALID, `data.check` names the check that failed; CONFIG_INVALID for a wrong cluster file.
 */
export const verifyReceiptBytes = (bytes: Uint8Array, cluster: ClusterConfig): VerifiedReceipt => checkReceiptBytes(bytes, createMembership(cluster));

/** As verifyReceiptBytes, for every operation of the client's bundle, in order: they share one proof, which is checked once. */
export function verifyReceiptBundle(bytes: Uint8Array, cluster: ClusterConfig): readonly VerifiedReceipt[] {
  const proven = checkProof(bytes, createMembership(cluster));
  return proven.receipt.results.map((_, index) => describeProven(proven, index));
}

/** As verifyReceiptBytes. Only what the receipt's bytes would hold is looked at: decoded fields beside signed bytes are not believed. */
export const verifyReceipt = (receipt: Receipt, cluster: ClusterConfig): VerifiedReceipt => checkReceipt(receipt, createMembership(cluster));

export const checkReceipt = (receipt: Receipt, membership: Membership): VerifiedReceipt => checkReceiptBytes(receiptBytes(receipt, membership), membership);

function receiptBytes(receipt: Receipt, { codec }: Membership): Uint8Array {
  const { version } = receipt as { readonly version: number };
  if (version !== 1) throw invalid(SUBJECT, "encoding", `it has version ${version}, this program knows version 1`);
  try {
    return codec.encodeReceipt(receipt);
  } catch (error) {
    throw invalid(SUBJECT, "encoding", `it cannot be written as bytes: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** A receipt as bytes, to keep or to hand on. @throws NarsesError CONFIG_INVALID for a wrong cluster file. */
export const encodeReceipt = (receipt: Receipt, cluster: ClusterConfig): Uint8Array => createMembership(cluster).codec.encodeReceipt(receipt);
