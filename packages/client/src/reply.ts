/** Judges one reply by everything but its signature. Pure. */
import { fromHex, rejection, toHex, type Bundle, type RejectionCode, type ReplicaId, type Reply } from "@narses/core";
import { hasher, merkleVerify } from "@narses/crypto";
import { blockHash, resultLeaf, type Decoded } from "@narses/wire";

/**
 * A reply whose header, path and results belong together and to the bundle. Replies with one `claim` say the same: these
 * results, at this place of this block. (The block hash alone is not enough: a block may hold a bundle in two places,
 * executed in the first and refused as a duplicate in the second.)
 */
export interface CheckedReply {
  readonly reply: Reply;
  readonly claim: string;
}

const bad = (code: RejectionCode, detail: string): Decoded<never> => ({ ok: false, rejection: rejection(code, detail) });

/** The claim, or why no correct replica sends this reply to this bundle. `from` is the authenticated sender. */
export function checkReply(from: ReplicaId, reply: Reply, bundle: Bundle): Decoded<CheckedReply> {
  const { header, results, leafIndex, leafCount } = reply;
  const outcome = reply.outcome.body;
  if (outcome.sender !== from) return bad("SENDER_MISMATCH", `outcome of replica ${outcome.sender}`);
  if (reply.client !== bundle.client) return bad("SENDER_MISMATCH", `reply for client ${reply.client}`);
  if (reply.bundleDigest !== bundle.digest) return bad("UNSOLICITED", `reply for bundle ${reply.bundleDigest}`);
  if (results.length !== bundle.operations.length) return bad("CERTIFICATE_INVALID", `${results.length} results for ${bundle.operations.length} operations`);
  if (header.seq !== outcome.seq) return bad("CERTIFICATE_INVALID", `header of slot ${header.seq}, outcome of slot ${outcome.seq}`);
  const block = blockHash(hasher, header);
  if (block !== outcome.block) return bad("DIGEST_MISMATCH", `header hashes to ${block}, outcome names ${outcome.block}`);
  const leaf = resultLeaf(hasher, bundle.digest, results);
  if (!merkleVerify(leaf, leafIndex, leafCount, reply.path, fromHex(header.resultRoot))) {
    return bad("CERTIFICATE_INVALID", `results do not lead to the result root of block ${header.seq}`);
  }
  return { ok: true, value: { reply, claim: `${block} ${leafIndex} ${toHex(leaf)}` } };
}
