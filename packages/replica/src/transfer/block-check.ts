/**
 * Whether a block that somebody else sent is the one whose hash is known: header, then all that the header binds, then Q COMMITs. Client
 * signatures are part of the bundles, which the header binds: the replicas that decided the block judged them.
 */
import { fromHex, type Block, type ClusterConfig, type CommitCertificate, type Digest, type Hasher, quorums, type Rejection } from "@narses/core";
import { merkleRoot } from "@narses/crypto";
import { blockHash, resultLeaf, type Codec } from "@narses/wire";
import { digestOf } from "../executor.ts";

export interface BlockCheckOptions {
  readonly codec: Pick<Codec, "decodeBlock">;
  readonly hasher: Hasher;
  readonly cluster: ClusterConfig;
  /** What is wrong with the signatures of a certificate. */
  readonly signatures: (certificate: CommitCertificate) => Rejection | undefined;
}

/** The block, or what is wrong with these bytes. */
export type BlockCheck = (bytes: Uint8Array, hash: Digest) => Block | string;

export function createBlockCheck({ codec, hasher, cluster, signatures }: BlockCheckOptions): BlockCheck {
  const { strong } = quorums(cluster.replicas.length, cluster.f);
  return (bytes, hash) => {
    let block: Block;
    try {
      block = codec.decodeBlock(bytes);
    } catch (error) {
      return `these bytes are no block: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (blockHash(hasher, block.header) !== hash) return `its header does not have hash ${hash}`;
    return contentProblem(hasher, block) ?? certificateProblem(block, strong) ?? (block.certificate && signatures(block.certificate)?.detail) ?? block;
  };
}

/** The codec has compared the batch with the header's digest. */
function contentProblem(hasher: Hasher, { header, batch, results }: Block): string | undefined {
  const bundles = batch?.bundles ?? [];
  if (results.length !== bundles.length || bundles.some(({ operationCount }, i) => operationCount !== results[i]?.length)) return "it has not one result for each operation";
  if (digestOf(merkleRoot(bundles.map(({ digest }) => fromHex(digest)))) !== header.bundleRoot) return "its bundles are not those of its header";
  if (digestOf(merkleRoot(bundles.map(({ digest }, i) => resultLeaf(hasher, digest, results[i] ?? [])))) !== header.resultRoot) return "its results are not those of its header";
  return undefined;
}

function certificateProblem({ header, certificate }: Block, strong: number): string | undefined {
  if (certificate === undefined) return "it has no commit certificate";
  const { view, seq, digest, commits } = certificate;
  if (seq !== header.seq || digest !== header.batchDigest) return "its commit certificate is of another batch";
  const senders = new Set<number>();
  for (const { frame, index } of commits) {
    const vote = frame.body.votes[index];
    if (vote?.phase !== "commit" || vote.view !== view || vote.seq !== seq || vote.digest !== digest) return "its commit certificate holds something else than COMMITs for it";
    senders.add(frame.body.sender);
  }
  return senders.size < strong ? `${senders.size} replicas committed it, ${strong} are needed` : undefined;
}
