/** What offline verification says when it says no, and the checks that receipts and blocks share. */
import { NarsesError, toHex, type Bundle, type Rejection } from "@narses/core";
import { verifyingKey } from "@narses/crypto";
import { isSignedBy, type Membership } from "./membership.ts";

/** The check that failed: `data.check` of a RECEIPT_INVALID error. */
export type FailedCheck =
  | "encoding" // not the bytes of a receipt or block of this cluster and epoch
  | "client-key" // the client's public key fails the once-per-key check
  | "client-listed" // the cluster admits listed clients only, and not this one
  | "client-signature"
  | "result-count"
  | "result-path" // the results do not lead to the header's result root
  | "result-root"
  | "outcome-count"
  | "outcome-replica" // a replica twice, or out of order
  | "outcome-block" // signed for another block than the header's
  | "outcome-signature"
  | "checkpoint-count"
  | "checkpoint-replica" // a replica twice, or out of order
  | "checkpoint-block" // signed for another block than the header's
  | "checkpoint-signature"
  | "state-path" // the key does not lead to the header's state root
  | "value-encoding"
  | "operation-encoding"
  | "result-encoding"
  | "genesis"
  | "parent" // the header's parent is another block
  | "sequence" // not the next slot
  | "timestamp"
  | "bundle-root"
  | "commit-certificate" // not for this slot and batch
  | "commit-vote" // a vote of the certificate is for something else
  | "commit-replica" // a replica counted twice
  | "commit-count"
  | "commit-signature";

/** `what` completes the sentence "the receipt (block …) does not verify: …". */
export function invalid(subject: string, check: FailedCheck, what: string, data: Readonly<Record<string, unknown>> = {}): NarsesError {
  return new NarsesError("RECEIPT_INVALID", `${subject} does not verify: ${what} [${check}]; do not rely on it`, { check, ...data });
}

/** The client's key is acceptable, admitted, and signed exactly these bundle bytes for this cluster and epoch. */
export function checkClientSignature(subject: string, membership: Membership, bundle: Bundle): void {
  const { cluster, codec } = membership;
  const publicKey = toHex(bundle.publicKey);
  if (cluster.clients === "listed" && !cluster.clientKeys.includes(publicKey)) {
    throw invalid(subject, "client-listed", `client key ${publicKey} is not among the cluster's clientKeys`, { publicKey });
  }
  let key;
  try {
    key = verifyingKey(bundle.publicKey);
  } catch (error) {
    if (!(error instanceof NarsesError)) throw error;
    throw invalid(subject, "client-key", `client key ${publicKey} is not acceptable: ${error.message}`, { publicKey });
  }
  if (isSignedBy(codec, key, bundle.bytes)) return;
  throw invalid(subject, "client-signature", `bundle ${bundle.digest} is not signed by client ${bundle.client}`, { client: bundle.client });
}

/** Rejections of the codec say whether the bytes are malformed or of another epoch. */
export const describe = (rejection: Rejection): string => `${rejection.code}: ${rejection.detail}`;
