/** Executing a batch in the harness: a real block header and real replies, over an application that does nothing. */
import { digest, fromHex, NULL_DIGEST, toHex, type Batch, type BlockHeader, type Digest, type Outcome, type SeqNum, type Signed, type View } from "@narses/core";
import { hasher, merkleRoot, merkleTree } from "@narses/crypto";
import { blockHash, encodeResult, resultLeaf, type Codec } from "@narses/wire";

/** What every operation gives. */
export const RESULT: Uint8Array = encodeResult({ status: "ok", value: null });

export interface Executed {
  readonly header: BlockHeader;
  readonly hash: Digest;
  /** Frames to the clients of the batch, one per bundle. */
  replies(codec: Codec, outcome: Signed<Outcome>, view: View): readonly Uint8Array[];
}

const hex = (bytes: Uint8Array): Digest => digest(toHex(bytes));

/** A pure function of parent and batch, like any replica's. */
export function executeBatch(seq: SeqNum, batch: Batch | undefined, parent: Digest): Executed {
  const bundles = batch?.bundles ?? [];
  const results = bundles.map(({ operations }) => operations.map(() => RESULT));
  const tree = merkleTree(bundles.map((bundle, i) => resultLeaf(hasher, bundle.digest, results[i] ?? [])));
  const header: BlockHeader = {
    seq, parent, timestampMs: batch?.timestampMs ?? 0, batchDigest: batch?.digest ?? NULL_DIGEST,
    bundleRoot: hex(merkleRoot(bundles.map((bundle) => fromHex(bundle.digest)))), resultRoot: hex(tree.root), stateRoot: NULL_DIGEST,
  };
  return {
    header, hash: blockHash(hasher, header),
    replies: (codec, outcome, view) => bundles.map((bundle, leafIndex) => codec.encodeToClient({
      type: "reply",
      reply: {
        client: bundle.client, bundleDigest: bundle.digest, view, header, outcome, leafIndex, leafCount: bundles.length,
        path: tree.path(leafIndex), results: results[leafIndex] ?? [],
      },
    })),
  };
}
