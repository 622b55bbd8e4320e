/** The compliance suite over real sockets on loopback. */
import type { ClusterConfig } from "@narses/core";
import { expect, test } from "vitest";
import { createClientTransport, createTransport } from "../src/index.ts";
import { identityFromSeed } from "../src/identity.ts";
import { DEFAULT_LIMITS } from "../src/limits.ts";
import { addressUpdateOf, createNode } from "../src/node.ts";
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

test("libp2p still has the timer that a stop takes away, for else the process stays for a second", async () => {
  const node = await createNode({ privateKey: await identityFromSeed(seedOf(0)), listen: [], limits: DEFAULT_LIMITS, connectionsMax: 1, onMisbehaviour: () => undefined });
  expect(addressUpdateOf(node)).toBeDefined();
  await node.stop();
});
