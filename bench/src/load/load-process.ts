/** A child process: the clients, so that their CPU time is told apart from the replicas'. */
import { connect } from "@narses/client";
import { hasher, signingKeyFromSeed, generateSeed } from "@narses/crypto";
import { createClientTransport } from "@narses/network";
import { clusterId } from "@narses/wire";
import { baseline } from "./baseline.ts";
import { etcdClient } from "./etcd-client.ts";
import { generate, type LoadClient } from "./generator.ts";
import { serve } from "./ipc.ts";
import type { BaselineRequest, EtcdRequest, LoadRequest, OpenRequest } from "./load-spec.ts";
import { sampleProcess } from "./sample.ts";

const CONNECT_MS = 60_000;
let clients: readonly LoadClient[] = [];

async function replicated(options: Parameters<typeof connect>[0]): Promise<LoadClient> {
  const client = await connect(options);
  return {
    async submit(payloads, timeoutMs) {
      if (payloads.length === 1) return void (await client.submit(payloads[0], { timeoutMs }));
      for (const answer of await client.submitMany(payloads, { timeoutMs })) if (answer.status === "rejected") throw answer.reason;
    },
    resent: () => client.status().retransmissions,
    close: () => client.close(),
  };
}

async function open({ cluster, clients: count, bundlesInFlight }: OpenRequest): Promise<void> {
  const id = clusterId(hasher, cluster);
  clients = await Promise.all(Array.from({ length: count }, () => replicated({
    cluster, key: signingKeyFromSeed(generateSeed()), transport: createClientTransport({ cluster, clusterId: id }), session: 0,
    limits: { bundlesInFlight }, timeouts: { connectMs: CONNECT_MS },
  })));
}

serve({
  open: (request: OpenRequest) => open(request),
  openEtcd: ({ address, clients: count }: EtcdRequest) => {
    clients = Array.from({ length: count }, (_, i) => etcdClient(address, `client ${i}`));
  },
  run: (request: LoadRequest) => generate(clients, request),
  baseline: (request: BaselineRequest) => baseline(request),
  sample: () => sampleProcess(),
  close: async () => {
    await Promise.all(clients.map((client) => client.close()));
    clients = [];
  },
});
