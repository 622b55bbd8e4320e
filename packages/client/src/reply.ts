/** Judges one reply by everything but its signature. Pure. */
import { bytesEqual, fromHex, rejection, toHex, type BlockHeader, type Bundle, type Digest, type RejectionCode, type ReplicaId, type Reply } from "@narses/core";
import { hasher, merkleVerify } from "@narses/crypto";
import { blockHash, encodedResultLeaf, resultLeaf, type Decoded } from "@narses/wire";

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

/** The hash computed last: the replies to the bundles of a block share its header (the codec gives equal headers as one object). */
const last: { header: BlockHeader | undefined; hash: Digest | undefined } = { header: undefined, hash: undefined };

function hashOf(header: BlockHeader): Digest {
  if (last.header === header && last.hash !== undefined) return last.hash;
  last.header = header;
  last.hash = blockHash(hasher, header);
  return last.hash;
}

function sameBytes(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!bytesEqual(a[i] ?? NOTHING, b[i] ?? NOTHING)) return false;
  return true;
}
const NOTHING = new Uint8Array(0);

/** Two replies with the same results, led to the same header by the same path. */
const saysTheSame = (a: Reply, b: Reply): boolean =>
  a.header === b.header && a.leafIndex === b.leafIndex && a.leafCount === b.leafCount && sameBytes(a.path, b.path) && sameResults(a, b);

const sameResults = (a: Reply, b: Reply): boolean =>
  a.resultsBytes !== undefined && b.resultsBytes !== undefined ? bytesEqual(a.resultsBytes, b.resultsBytes) : sameBytes(a.results, b.results);

/**
 * The claim, or why no correct replica sends this reply to this bundle. `from` is the authenticated sender; `checked` are replies to the
 * same bundle that passed, so that what is alike needs no second look.
 */
export function checkReply(from: ReplicaId, reply: Reply, bundle: Bundle, checked: Iterable<CheckedReply> = []): Decoded<CheckedReply> {
  const { header, resultsBytes, leafIndex, leafCount } = reply;
  const outcome = reply.outcome.body;
  if (outcome.sender !== from) return bad("SENDER_MISMATCH", `outcome of replica ${outcome.sender}`);
  if (reply.client !== bundle.client) return bad("SENDER_MISMATCH", `reply for client ${reply.client}`);
  if (reply.bundleDigest !== bundle.digest) return bad("UNSOLICITED", `reply for bundle ${reply.bundleDigest}`);
  if (header.seq !== outcome.seq) return bad("CERTIFICATE_INVALID", `header of slot ${header.seq}, outcome of slot ${outcome.seq}`);
  const block = hashOf(header);
  if (block !== outcome.block) return bad("DIGEST_MISMATCH", `header hashes to ${block}, outcome names ${outcome.block}`);
  for (const other of checked) if (saysTheSame(other.reply, reply)) return { ok: true, value: { reply, claim: other.claim } };
  const { results } = reply;
  if (results.length !== bundle.operationCount) return bad("CERTIFICATE_INVALID", `${results.length} results for ${bundle.operationCount} operations`);
  const leaf = resultsBytes === undefined ? resultLeaf(hasher, bundle.digest, results) : encodedResultLeaf(hasher, bundle.digest, resultsBytes);
  if (!merkleVerify(leaf, leafIndex, leafCount, reply.path, fromHex(header.resultRoot))) {
    return bad("CERTIFICATE_INVALID", `results do not lead to the result root of block ${header.seq}`);
  }
  return { ok: true, value: { reply, claim: `${block} ${leafIndex} ${toHex(leaf)}` } };
}
