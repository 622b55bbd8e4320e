/** A throw-away cluster on this machine: keys, cluster file, a home directory per replica. */
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { faultsTolerated, type ClusterConfig, type Parameters } from "@narses/core";
import { createKeyFile } from "@narses/crypto";
import { loadCluster } from "@narses/replica";

export interface Homes {
  /** To remove in the end. */
  readonly directory: string;
  readonly cluster: ClusterConfig;
  /** By replica id. */
  readonly homes: readonly string[];
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(true)));
  });

/** First of `count` consecutive ports that are free now, below those that systems hand out for outgoing connections. */
export async function freePorts(count: number): Promise<number> {
  for (let base = 22_000 + (process.pid % 400) * 20; base + count < 32_000; base += 20) {
    if ((await Promise.all(Array.from({ length: count }, (_, i) => isFree(base + i)))).every(Boolean)) return base;
  }
  throw new RangeError(`no ${count} consecutive ports are free on the loopback interface from 22000 to 32000`);
}

export async function createHomes(n: number, parameters: Partial<Parameters>): Promise<Homes> {
  const directory = mkdtempSync(join(tmpdir(), "narses-bench-"));
  const port = await freePorts(n);
  const homes = Array.from({ length: n }, (_, id) => join(directory, `replica-${id}`));
  const replicas = homes.map((home, id) => {
    mkdirSync(home, { mode: 0o700 });
    const key = createKeyFile(join(home, "replica.key"), { kind: "replica" });
    return { id, publicKey: key.publicKey, networkKey: key.kind === "replica" ? key.networkKey : "", addresses: [`/ip4/127.0.0.1/tcp/${port + id}`] };
  });
  const json = JSON.stringify({ version: 1, name: "bench", f: faultsTolerated(n), replicas, parameters });
  homes.forEach((home, id) => {
    writeFileSync(join(home, "cluster.json"), json);
    writeFileSync(join(home, "replica.json"), JSON.stringify({ replica: id }));
  });
  return { directory, cluster: await loadCluster(join(homes[0] ?? directory, "cluster.json")), homes };
}
