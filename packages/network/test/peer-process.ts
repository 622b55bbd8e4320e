/** A replica in a process of its own, to be killed: `peer-process.ts <cluster JSON> <id>`. Echoes frames; says "ready" when it listens. */
import type { ClusterConfig } from "@narses/core";
import { createTransport } from "../src/index.ts";
import { CLUSTER_ID, seedOf } from "./cluster.ts";
import { id } from "./frames.ts";

const cluster = JSON.parse(process.argv[2] ?? "") as ClusterConfig;
const self = Number(process.argv[3]);
const listen = cluster.replicas[self]?.addresses ?? [];
const transport = createTransport({ cluster, clusterId: CLUSTER_ID, self: id(self), networkSeed: seedOf(self), listen });
await transport.start({
  onPeerFrame: (from, frame) => void transport.send(from, frame),
  onPeer: () => undefined,
  onClientFrame: (client, frame) => void client.send(frame),
  onClientGone: () => undefined,
});
process.send?.("ready");
process.on("disconnect", () => process.exit(0)); // the test is gone
