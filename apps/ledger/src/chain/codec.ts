/** The wire format of a cluster. */
import type { ClusterConfig } from "@narses/core";
import { hasher } from "@narses/crypto";
import { clusterId, createCodec, type Codec } from "@narses/wire";

export const codecOf = (cluster: ClusterConfig): Codec =>
  createCodec({
    hasher,
    clusterId: clusterId(hasher, cluster),
    epoch: cluster.epoch,
    replicas: cluster.replicas.length,
    parameters: cluster.parameters,
  });
