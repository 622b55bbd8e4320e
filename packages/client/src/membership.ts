/** A cluster as seen from outside: its quorums, its wire format and the keys of its replicas. */
import { checkCluster, fromHex, replicaId, type ClusterConfig, type Digest, type Quorums, type ReplicaId, type VerifyingKey } from "@narses/core";
import { hasher, verifyingKey } from "@narses/crypto";
import { clusterId, createCodec, type Codec } from "@narses/wire";

export interface Membership {
  readonly cluster: ClusterConfig;
  readonly clusterId: Digest;
  readonly quorums: Quorums;
  /** Matching answers that make a result believed: W are proof of it; with fast reads Q, so that every later quorum knows of it. */
  readonly replyQuorum: number;
  /** Ascending. */
  readonly replicas: readonly ReplicaId[];
  readonly codec: Codec;
  /** @throws NarsesError KEY_INVALID when the cluster file's key is no acceptable one. */
  readonly keyOf: (replica: ReplicaId) => VerifyingKey;
}

/** @throws NarsesError CONFIG_INVALID when the cluster file is wrong. Keys are checked when first used. */
export function createMembership(cluster: ClusterConfig): Membership {
  const quorums = checkCluster(cluster);
  const id = clusterId(hasher, cluster);
  return {
    cluster,
    clusterId: id,
    quorums,
    replyQuorum: cluster.parameters.fastReads ? quorums.strong : quorums.weak,
    replicas: cluster.replicas.map((replica) => replicaId(replica.id)),
    codec: createCodec({ hasher, clusterId: id, epoch: cluster.epoch, replicas: quorums.n, parameters: cluster.parameters }),
    keyOf: (replica) => {
      const info = cluster.replicas[replica];
      if (info === undefined) throw new RangeError(`replica must be from 0 to ${quorums.n - 1}, got ${replica}`);
      return verifyingKey(fromHex(info.publicKey));
    },
  };
}

/** Is `envelope` signed by the key? True or false, never throws for an envelope that the codec decoded. */
export function isSignedBy(codec: Codec, key: VerifyingKey, envelope: Uint8Array): boolean {
  const { message, signature } = codec.signedParts(envelope);
  return key.verify(message, signature);
}
