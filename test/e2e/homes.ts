/** Home directories of a cluster that counts, and the state machine it runs. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DEFAULT_PARAMETERS, epoch, quorums, replicaId, SIGNATURE_SUITE, toHex, type ClusterConfig, type Parameters } from "@narses/core";
import { createKeyFile, deriveReplicaSeeds, sha256, signingKeyFromSeed } from "@narses/crypto";
import { defineStateMachine, type TransportContext } from "@narses/replica";

export interface Counting {
  readonly add: number;
  /** Accounts to open, for states of any size. */
  readonly open?: { readonly first: number; readonly count: number; /** Of a record with each account, which does not compress. */ readonly bytes?: number };
}

function recordOf(account: number, bytes: number): Uint8Array {
  const record = new Uint32Array(bytes >>> 2);
  let x = account + 1;
  for (let i = 0; i < record.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    record[i] = x;
  }
  return new Uint8Array(record.buffer);
}

/** `{ add }` adds to a total, and answers it. */
export const counter = defineStateMachine<Counting, number>({
  genesis: (_data, store) => store.put("total", 0),
  apply({ add, open = { first: 0, count: 0 } }, { store }) {
    for (let i = open.first; i < open.first + open.count; i++) {
      const record = open.bytes === undefined ? {} : { record: recordOf(i, open.bytes) };
      store.put(`account/${i}`, { owner: `owner of account ${i}`, balance: i, ...record });
    }
    const total = (store.get("total") as number) + add;
    store.put("total", total);
    return total;
  },
  query: (_question, { store }) => store.get("total"),
});

/** The first of `count` free ports in a row on the loopback interface. */
export async function freePorts(count: number): Promise<number> {
  const free = (port: number): Promise<boolean> => new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(true)));
  });
  for (let base = 12_000 + ((process.pid * 37 + Date.now()) % 700) * 10; base < 30_000; base += 10) {
    if ((await Promise.all(Array.from({ length: count }, (_, i) => free(base + i)))).every(Boolean)) return base;
  }
  throw new RangeError("no free ports on the loopback interface");
}

export interface Homes {
  readonly cluster: ClusterConfig;
  /** By replica id. */
  readonly homes: readonly string[];
  remove(): Promise<void>;
}

export interface HomesOptions {
  readonly parameters?: Partial<Parameters>;
  readonly listen: readonly number[];
}

const address = (port: number | undefined): string => `/ip4/127.0.0.1/tcp/${port ?? 0}`;

/** The same with other ports to dial: the id of the cluster stays, so that every replica may have its own. */
export function dialling(context: TransportContext, ports: readonly number[] | undefined): TransportContext {
  if (ports === undefined) return context;
  const replicas = context.cluster.replicas.map((info) => (info.id === context.self ? info : { ...info, addresses: [address(ports[info.id])] }));
  return { ...context, cluster: { ...context.cluster, replicas } };
}

/** One home for each port in `listen`. */
export async function makeHomes({ parameters = {}, listen }: HomesOptions): Promise<Homes> {
  const n = listen.length;
  const root = await mkdtemp(join(tmpdir(), "narses-e2e-"));
  const homes = listen.map((_, id) => join(root, `replica-${id}`));
  const keys: { readonly publicKey: string; readonly networkKey: string }[] = [];
  for (const [id, home] of homes.entries()) {
    await mkdir(home);
    const seed = sha256(new TextEncoder().encode(`e2e replica ${id}`));
    createKeyFile(join(home, "replica.key"), { kind: "replica", seed });
    const { signing, network } = deriveReplicaSeeds(seed);
    keys.push({ publicKey: toHex(signingKeyFromSeed(signing).publicKey), networkKey: toHex(signingKeyFromSeed(network).publicKey) });
  }
  const cluster: ClusterConfig = {
    version: 1, name: "e2e", epoch: epoch(0), f: quorums(n).f, signatureSuite: SIGNATURE_SUITE,
    replicas: keys.map((key, id) => ({ id: replicaId(id), ...key, addresses: [address(listen[id])] })),
    clients: "open", clientKeys: [], parameters: { ...DEFAULT_PARAMETERS, ...parameters }, genesis: null,
  };
  for (const [id, home] of homes.entries()) {
    await writeFile(join(home, "cluster.json"), JSON.stringify(cluster));
    await writeFile(join(home, "replica.json"), JSON.stringify({ replica: id, listen: [address(listen[id])] }));
  }
  return { cluster, homes, remove: () => rm(root, { recursive: true, force: true }) };
}
