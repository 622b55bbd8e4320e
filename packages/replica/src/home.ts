/** A replica's home directory: replica.json, and what it points to. */
import { join, resolve } from "node:path";
import { NarsesError, replicaId, type ClusterConfig, type ReplicaId, type SigningKey } from "@narses/core";
import { deriveReplicaSeeds, loadKeyFile, signingKeyFromSeed } from "@narses/crypto";
import * as z from "zod";
import { loadCluster, readJson, shapeError } from "./cluster-file.ts";
import { DISK_RESERVE_BYTES_DEFAULT } from "./limits.ts";
import { parseAdminAddress, type AdminAddress } from "./operations/admin.ts";

/** `replica.json` is read up to this size. */
export const REPLICA_FILE_BYTES_MAX: number = 1 << 20;

const schema = z.strictObject({
  /** Id of this replica in the cluster file. */
  replica: z.int().min(0).max(255),
  /** Paths are relative to the home directory. */
  cluster: z.string().min(1).default("cluster.json"),
  key: z.string().min(1).default("replica.key"),
  data: z.string().min(1).default("data"),
  /** Multiaddrs to listen on; by default the replica's addresses of the cluster file. */
  listen: z.array(z.string().min(1)).min(1).optional(),
  /** Whether the control call `app-query` is answered: it shows the application's state to whoever can connect. */
  localQueries: z.boolean().default(true),
  /** Free bytes of the data directory's file system below which the replica freezes; 0: it never does. */
  diskReserveBytes: z.int().min(0).default(DISK_RESERVE_BYTES_DEFAULT),
  /** Where health, metrics, status and `why` are served over HTTP; nowhere by default. A port alone means 127.0.0.1. */
  admin: z.string().optional(),
});

/** What a home directory says without its key. */
export interface HomeFiles {
  readonly home: string;
  readonly self: ReplicaId;
  readonly cluster: ClusterConfig;
  readonly keyPath: string;
  readonly dataDirectory: string;
  readonly listen: readonly string[];
  readonly localQueries: boolean;
  readonly diskReserveBytes: number;
  readonly admin: AdminAddress | undefined;
}

export interface ReplicaHome extends HomeFiles {
  readonly signingKey: SigningKey;
  /** Seed of the libp2p identity. */
  readonly networkSeed: Uint8Array;
}

/**
 * Reads a home directory.
 * @throws NarsesError CONFIG_INVALID naming file and field, KEY_INVALID, KEY_PASSPHRASE.
 */
export async function loadHome(home: string, passphrase?: string): Promise<ReplicaHome> {
  const files = await loadHomeFiles(home);
  return { ...files, ...loadReplicaKey({ path: files.keyPath, passphrase, self: files.self, cluster: files.cluster }) };
}

/** The same without opening the key. @throws NarsesError CONFIG_INVALID naming file and field. */
export async function loadHomeFiles(home: string): Promise<HomeFiles> {
  const path = join(home, "replica.json");
  const parsed = schema.safeParse(await readJson(path, REPLICA_FILE_BYTES_MAX));
  if (!parsed.success) throw shapeError(path, parsed.error);
  const file = parsed.data;
  const clusterPath = resolve(home, file.cluster);
  const cluster = await loadCluster(clusterPath);
  const info = cluster.replicas[file.replica];
  if (info === undefined) {
    const listed = `${clusterPath} lists replicas 0 to ${cluster.replicas.length - 1}`;
    throw new NarsesError("CONFIG_INVALID", `${path}: replica: is ${file.replica}, ${listed}`, { source: path, field: "replica" });
  }
  return {
    home, self: replicaId(file.replica), cluster, keyPath: resolve(home, file.key), dataDirectory: resolve(home, file.data),
    listen: file.listen ?? info.addresses, localQueries: file.localQueries, diskReserveBytes: file.diskReserveBytes,
    admin: file.admin === undefined ? undefined : adminOf(file.admin, `${path}: admin`),
  };
}

/** @throws NarsesError CONFIG_INVALID, its message beginning with `where`. */
export function adminOf(text: string, where: string): AdminAddress {
  const address = parseAdminAddress(text);
  if (address !== undefined) return address;
  throw new NarsesError("CONFIG_INVALID", `${where}: must be HOST:PORT or a port, for example "127.0.0.1:9100", got ${JSON.stringify(text)}`, { field: "admin" });
}

interface KeyRequest {
  readonly path: string;
  readonly passphrase: string | undefined;
  readonly self: ReplicaId;
  readonly cluster: ClusterConfig;
}

function loadReplicaKey({ path, passphrase, self, cluster }: KeyRequest): Pick<ReplicaHome, "signingKey" | "networkSeed"> {
  const key = loadKeyFile(path, passphrase === undefined ? {} : { passphrase });
  if (key.kind !== "replica") {
    throw new NarsesError("KEY_INVALID", `key file ${path} holds a ${key.kind}'s key, a replica's is needed: check "key" in replica.json`, { path });
  }
  const expected = cluster.replicas[self];
  if (key.publicKey !== expected?.publicKey || key.networkKey !== expected.networkKey) {
    const owner = cluster.replicas.find(({ publicKey }) => publicKey === key.publicKey);
    const others = owner?.id === self ? "but another network key" : `which is replica ${owner?.id}'s`;
    const whose = owner === undefined ? "which is not in the cluster file" : others;
    throw new NarsesError(
      "KEY_INVALID",
      `key file ${path} has public key ${key.publicKey}, ${whose}; replica ${self} has public key ${String(expected?.publicKey)}: ` +
        'check "replica" and "key" in replica.json',
      { path, replica: self, found: key.publicKey, expected: expected?.publicKey },
    );
  }
  const { signing, network } = deriveReplicaSeeds(key.seed);
  return { signingKey: signingKeyFromSeed(signing), networkSeed: network };
}
