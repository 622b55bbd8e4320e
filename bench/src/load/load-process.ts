/** A child process: the clients, so that their CPU time is told apart from the replicas'. */
import { connect, type Client } from "@narses/client";
import { hasher, signingKeyFromSeed, generateSeed } from "@narses/crypto";
import { createClientTransport } from "@narses/network";
import { clusterId } from "@narses/wire";
import { baseline } from "./baseline.ts";
import { generate } from "./generator.ts";
import { serve } from "./ipc.ts";
import type { BaselineRequest, LoadRequest, OpenRequest } from "./load-spec.ts";
import { sampleProcess } from "./sample.ts";

const CONNECT_MS = 60_000;
let clients: readonly Client[] = [];

async function open({ cluster, clients: count, bundlesInFlight }: OpenRequest): Promise<void> {
  const id = clusterId(hasher, cluster);
  clients = await Promise.all(Array.from({ length: count }, () => connect({
    cluster, key: signingKeyFromSeed(generateSeed()), transport: createClientTransport({ cluster, clusterId: id }), session: 0,
    limits: { bundlesInFlight }, timeouts: { connectMs: CONNECT_MS },
  })));
}

serve({
  open: (request: OpenRequest) => open(request),
  run: (request: LoadRequest) => generate(clients, request),
  baseline: (request: BaselineRequest) => baseline(request),
  sample: () => sampleProcess(),
  close: async () => {
    await Promise.all(clients.map((client) => client.close()));
    clients = [];
  },
});
