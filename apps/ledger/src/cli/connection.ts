/** A client of the ledger, opened from command line options. */
import { NarsesError, toHex, type ClusterConfig, type SigningKey } from "@narses/core";
import { connect, type Client, type ConnectOptions, type Timeouts } from "@narses/client";
import { generateSeed, hasher, loadKeyFile, signingKeyFromSeed } from "@narses/crypto";
import { createClientTransport, type NetworkClientTransport } from "@narses/network";
import { loadCluster } from "@narses/replica";
import { clusterId } from "@narses/wire";
import { LedgerClient } from "../client/ledger-client.ts";
import { CommandError, EXIT } from "./failure.ts";
import { clusterPath, keyPath, readPassphrase, type ClientFlags } from "./options.ts";

export interface Connection {
  readonly cluster: ClusterConfig;
  readonly client: Client;
  readonly ledger: LedgerClient;
  readonly transport: NetworkClientTransport;
  readonly publicKey: string;
  close(): Promise<void>;
}

const CALL_MS_MAX = 10_000;

/** @throws NarsesError KEY_INVALID, KEY_PASSPHRASE; CommandError when it is a replica's key. */
export function loadClientKey(flags: Pick<ClientFlags, "dir" | "key" | "passphraseFile">): SigningKey {
  const path = keyPath(flags);
  const passphrase = readPassphrase(flags.passphraseFile);
  const file = loadKeyFile(path, passphrase === undefined ? {} : { passphrase });
  if (file.kind !== "client")
    throw new CommandError(
      "KEY_INVALID",
      EXIT.setup,
      `key file ${path}: is the key of a replica; use a client key, for example admin.key, with --key`,
      { field: "key", path },
    );
  return signingKeyFromSeed(file.seed);
}

export interface Opening {
  /** Uses a throw-away key: enough for control calls, which nobody signs. */
  readonly anonymous?: boolean;
  readonly replicasNeeded?: number;
  readonly timeouts?: Partial<Timeouts>;
  readonly signal?: AbortSignal;
}

/** A key for calls that are not signed: any if the cluster takes any, else the one of the key file. */
function anonymousKey(cluster: ClusterConfig, flags: ClientFlags): SigningKey {
  return cluster.clients === "open" ? signingKeyFromSeed(generateSeed()) : loadClientKey(flags);
}

/** Adds what the network knows of each replica: refused, another cluster file, no answer. `data.problems` is by replica. */
function explain(error: unknown, transport: NetworkClientTransport): unknown {
  if (!(error instanceof NarsesError) || error.code !== "NOT_CONNECTED") return error;
  const problems = transport.peers().map((peer) => (peer.connected ? undefined : peer.problem));
  const text = problems.flatMap((problem, replica) => (problem === undefined ? [] : [`replica ${replica}: ${problem}`]));
  return new NarsesError(error.code, [error.message, ...text].join("\n  "), { ...error.data, problems }, { cause: error });
}

/** Connects, and gives up after --timeout seconds. Close it, or the process stays. */
export async function openConnection(flags: ClientFlags, opening: Opening = {}): Promise<Connection> {
  const cluster = await loadCluster(clusterPath(flags));
  const key = opening.anonymous === true ? anonymousKey(cluster, flags) : loadClientKey(flags);
  const transport = createClientTransport({ cluster, clusterId: clusterId(hasher, cluster) });
  const timeoutMs = flags.timeout * 1_000;
  const options: ConnectOptions = {
    cluster,
    key,
    transport,
    timeouts: {
      connectMs: timeoutMs,
      operationMs: timeoutMs,
      callMs: Math.min(timeoutMs, CALL_MS_MAX),
      ...opening.timeouts,
    },
    ...(opening.anonymous === true ? { session: 0 } : {}),
    ...(opening.replicasNeeded === undefined ? {} : { replicasNeeded: opening.replicasNeeded }),
    ...(opening.signal === undefined ? {} : { signal: opening.signal }),
  };
  const client = await connect(options).catch((error: unknown) => {
    throw explain(error, transport);
  });
  return { cluster, client, ledger: new LedgerClient(client), transport, publicKey: toHex(key.publicKey), close: () => client.close() };
}

/** Opens, runs, closes, whatever happens. */
export async function withConnection<T>(flags: ClientFlags, opening: Opening, use: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await openConnection(flags, opening);
  try {
    return await use(connection);
  } finally {
    await connection.close();
  }
}
