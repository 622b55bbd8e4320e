/** A cluster file for tests: real network keys, free ports on loopback. */
import { createServer } from "node:net";
import { generateKeyPairFromSeed } from "@libp2p/crypto/keys";
import {
  DEFAULT_PARAMETERS, digest, epoch, replicaId, SIGNATURE_SUITE, toHex, type ClusterConfig, type Digest,
} from "@narses/core";

export const CLUSTER_ID: Digest = digest("ab".repeat(32));

export const seedOf = (replica: number): Uint8Array => new Uint8Array(32).fill(replica + 1);

/** Ports nobody listens on at the moment; all are held open until the last is known, so they differ. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
      const server = createServer();
      server.once("error", reject);
      server.listen(0, "127.0.0.1", () => resolve(server));
    })),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

export async function clusterOf(ports: readonly number[]): Promise<ClusterConfig> {
  const replicas = await Promise.all(ports.map(async (port, i) => ({
    id: replicaId(i),
    publicKey: toHex(new Uint8Array(32).fill(0x80 + i)),
    networkKey: toHex((await generateKeyPairFromSeed("Ed25519", seedOf(i))).publicKey.raw),
    addresses: [`/ip4/127.0.0.1/tcp/${port}`],
  })));
  return {
    version: 1,
    name: "network-test",
    epoch: epoch(0),
    f: Math.floor((ports.length - 1) / 3),
    signatureSuite: SIGNATURE_SUITE,
    replicas,
    clients: "open",
    clientKeys: [],
    parameters: DEFAULT_PARAMETERS,
    genesis: null,
  };
}
