/** The compliance suite over real sockets on loopback. */
import type { ClusterConfig } from "@narses/core";
import { createClientTransport, createTransport } from "../src/index.ts";
import { clusterOf, CLUSTER_ID, freePorts, seedOf } from "./cluster.ts";
import { complies } from "./compliance.ts";
import { id } from "./frames.ts";

complies("libp2p", async () => {
  const cluster: ClusterConfig = await clusterOf(await freePorts(4));
  return {
    transport: (i) =>
      createTransport({ cluster, clusterId: CLUSTER_ID, self: id(i), networkSeed: seedOf(i), listen: cluster.replicas[i]?.addresses ?? [] }),
    client: () => createClientTransport({ cluster, clusterId: CLUSTER_ID }),
  };
});
