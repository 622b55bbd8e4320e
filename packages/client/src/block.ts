/**
 * Offline verification of blocks and chains, from the cluster file alone.
 *
 * What it proves, and what not. The commit certificate proves that the batch was decided for this slot (Q replicas). The
 * header's hash chain ties each block to all before it. The results and the state root are what the header says they are:
 * a chain is only as good as the hash of its last block, so compare that hash with the `block` of a verified receipt.
 */
import {
  NULL_DIGEST,
  assert,
  digest,
  fromHex,
  toHex,
  type Batch,
  type Block,
  type BlockHeader,
  type ClusterConfig,
  type CommitCertificate,
  type Digest,
  type ReplicaId,
} from "@narses/core";
import { hasher, merkleRoot } from "@narses/crypto";
import { blockHash, resultLeaf } from "@narses/wire";
import { checkClientSignature, invalid } from "./invalid.ts";
import { createMembership, isSignedBy, type Membership } from "./membership.ts";

export interface VerifiedBlock {
  readonly header: BlockHeader;
  /** Hash of the header: the parent of the next block. */
  readonly hash: Digest;
  /** Replicas whose COMMITs prove the batch, ascending; none for genesis. */
  readonly signers: readonly ReplicaId[];
}

/** What is known of the block before; genesis has none. */
export interface ParentBlock {
  readonly hash: Digest;
  /** With it, the slot number and the execution time are checked too. */
  readonly header?: BlockHeader;
}

const name = (header: BlockHeader): string => `block ${header.seq}`;

/** Verifies bytes of one block. Everything is read from the bytes again: decoded fields beside signed bytes are not believed. */
export function checkBlockBytes(bytes: Uint8Array, parent: ParentBlock | undefined, membership: Membership): VerifiedBlock {
  let block: Block;
  try {
    block = membership.codec.decodeBlock(bytes);
  } catch (error) {
    throw invalid("the block", "encoding", error instanceof Error ? error.message : String(error));
  }
  const { header } = block;
  checkParent(header, parent);
  if (block.certificate === undefined) {
    checkGenesis(block);
    return { header, hash: blockHash(hasher, header), signers: [] };
  }
  if (header.seq === 0) throw invalid(name(header), "genesis", "slot 0 is genesis, which nobody decides, yet it has a commit certificate");
  checkTime(header, block.batch, parent?.header);
  checkContent(block, membership);
  const signers = checkCertificate(header, block.certificate, membership);
  return { header, hash: blockHash(hasher, header), signers };
}

export function checkBlock(block: Block, parent: ParentBlock | undefined, membership: Membership): VerifiedBlock {
  let bytes: Uint8Array;
  try {
    bytes = membership.codec.encodeBlock(block);
  } catch (error) {
    throw invalid("the block", "encoding", `it cannot be written as bytes: ${error instanceof Error ? error.message : String(error)}`);
  }
  return checkBlockBytes(bytes, parent, membership);
}

function checkParent(header: BlockHeader, parent: ParentBlock | undefined): void {
  const expected = parent?.hash ?? NULL_DIGEST;
  if (header.parent !== expected) throw invalid(name(header), "parent", `its parent is ${header.parent}, expected ${expected}`, { parent: header.parent, expected });
  const before = parent?.header;
  if ((parent === undefined) !== (header.seq === 0) || (before !== undefined && header.seq !== before.seq + 1)) {
    const after = before === undefined ? (parent === undefined ? "no block" : "another block") : name(before);
    throw invalid(name(header), "sequence", `it cannot follow ${after}`);
  }
}

function checkGenesis({ header, batch, results }: Block): void {
  if (header.seq !== 0) throw invalid(name(header), "commit-certificate", "it has no commit certificate");
  const empty = digest(toHex(merkleRoot([])));
  if (header.timestampMs !== 0 || batch !== undefined || results.length > 0 || header.batchDigest !== NULL_DIGEST || header.bundleRoot !== empty || header.resultRoot !== empty) {
    throw invalid(name(header), "genesis", "the genesis block has time 0, orders nothing and executes nothing");
  }
}

function checkContent({ header, batch, results }: Block, membership: Membership): void {
  assert((batch?.digest ?? NULL_DIGEST) === header.batchDigest, "a decoded block holds the batch its header names");
  const bundles = batch?.bundles ?? [];
  for (const bundle of bundles) checkClientSignature(name(header), membership, bundle);
  if (results.length !== bundles.length) throw invalid(name(header), "result-count", `results of ${results.length} bundles for ${bundles.length} bundles`);
  const bundleRoot = toHex(merkleRoot(bundles.map((bundle) => fromHex(bundle.digest))));
  if (bundleRoot !== header.bundleRoot) throw invalid(name(header), "bundle-root", `its bundles hash to ${bundleRoot}, the header says ${header.bundleRoot}`);
  const leaves = bundles.map((bundle, i) => {
    const ofBundle = results[i] ?? [];
    if (ofBundle.length !== bundle.operationCount) {
      throw invalid(name(header), "result-count", `bundle ${i} has ${ofBundle.length} results for ${bundle.operationCount} operations`, { bundle: i });
    }
    return resultLeaf(hasher, bundle.digest, ofBundle);
  });
  const resultRoot = toHex(merkleRoot(leaves));
  if (resultRoot !== header.resultRoot) throw invalid(name(header), "result-root", `its results hash to ${resultRoot}, the header says ${header.resultRoot}`);
}

/** The execution time is the batch's timestamp, raised to the parent's if that is later. */
function checkTime(header: BlockHeader, batch: Batch | undefined, before: BlockHeader | undefined): void {
  const proposed = batch?.timestampMs ?? 0;
  const earliest = Math.max(proposed, before?.timestampMs ?? 0);
  if (header.timestampMs === earliest || (before === undefined && header.timestampMs > earliest)) return;
  const known = before === undefined ? "" : `, its parent ${before.timestampMs}`;
  throw invalid(name(header), "timestamp", `its time is ${header.timestampMs}, its batch says ${proposed}${known}`);
}

function checkCertificate(header: BlockHeader, certificate: CommitCertificate, membership: Membership): readonly ReplicaId[] {
  const { strong } = membership.quorums;
  const { view, seq, digest: decided } = certificate;
  if (seq !== header.seq || decided !== header.batchDigest) {
    throw invalid(name(header), "commit-certificate", `its certificate decides ${decided} at slot ${seq}, not ${header.batchDigest} at slot ${header.seq}`);
  }
  const signers = new Set<ReplicaId>();
  for (const { frame, index } of certificate.commits) {
    const replica = frame.body.sender;
    const vote = frame.body.votes[index];
    if (vote?.phase !== "commit" || vote.view !== view || vote.seq !== seq || vote.digest !== decided) {
      throw invalid(name(header), "commit-vote", `vote ${index} in the frame of replica ${replica} is no COMMIT for this batch in view ${view}`, { replica });
    }
    if (signers.has(replica)) throw invalid(name(header), "commit-replica", `replica ${replica} is counted twice`, { replica });
    if (!isSignedBy(membership.codec, membership.keyOf(replica), frame.bytes)) {
      throw invalid(name(header), "commit-signature", `the COMMIT of replica ${replica} is not signed with its key in the cluster file`, { replica });
    }
    signers.add(replica);
  }
  if (signers.size < strong) {
    throw invalid(name(header), "commit-count", `${signers.size} replicas committed it, Q = ${strong} are needed`, { needed: strong });
  }
  return [...signers].sort((a, b) => a - b);
}

const parentOf = (parentHash: Digest): ParentBlock | undefined => (parentHash === NULL_DIGEST ? undefined : { hash: parentHash });

/**
 * Verifies one block: parent hash, bundle and result roots, batch digest, client signatures, Q COMMITs of distinct replicas.
 * `parentHash` is the hash of the verified block before it; NULL_DIGEST for genesis.
 * @throws NarsesError RECEIPT_INVALID, `data.check` names the check that failed; CONFIG_INVALID for a wrong cluster file.
 */
export const verifyBlock = (block: Block, parentHash: Digest, cluster: ClusterConfig): VerifiedBlock => checkBlock(block, parentOf(parentHash), createMembership(cluster));

/** As verifyBlock, from the block's bytes. */
export const verifyBlockBytes = (bytes: Uint8Array, parentHash: Digest, cluster: ClusterConfig): VerifiedBlock =>
  checkBlockBytes(bytes, parentOf(parentHash), createMembership(cluster));

export interface VerifiedChain {
  readonly blocks: number;
  /** The last block. */
  readonly head: VerifiedBlock;
}

/**
 * Verifies consecutive blocks, given as bytes, one after the other and in constant memory. Starts at genesis, or after `parent`.
 * @throws NarsesError RECEIPT_INVALID at the first block that does not verify; RangeError when there is no block.
 */
export async function verifyBlockChain(
  blocks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  cluster: ClusterConfig,
  parent?: ParentBlock,
): Promise<VerifiedChain> {
  const membership = createMembership(cluster);
  let head: VerifiedBlock | undefined;
  let count = 0;
  for await (const bytes of blocks) {
    head = checkBlockBytes(bytes, head ?? parent, membership);
    count++;
  }
  if (head === undefined) throw new RangeError("verifyBlockChain needs at least one block");
  return { blocks: count, head };
}
