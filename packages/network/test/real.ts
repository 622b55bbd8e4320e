/** Transports over real sockets, stopped after each test; and raw libp2p nodes that misbehave. */
import { generateKeyPairFromSeed } from "@libp2p/crypto/keys";
import type { Connection, Libp2p, Stream } from "@libp2p/interface";
import { multiaddr } from "@multiformats/multiaddr";
import { digest, type ClusterConfig } from "@narses/core";
import { afterEach } from "vitest";
import {
  createClientTransport, createTransport,
  type ClientTransportOptions, type NetworkClientTransport, type NetworkTransport, type TransportOptions,
} from "../src/index.ts";
import { encodeHello, type Hello } from "../src/hello.ts";
import { DEFAULT_LIMITS } from "../src/limits.ts";
import { createNode } from "../src/node.ts";
import { CLUSTER_ID, seedOf } from "./cluster.ts";
import { id } from "./frames.ts";
import { LogProbe, Probe } from "./probe.ts";

export interface Running<T> {
  readonly transport: T;
  readonly probe: Probe;
  readonly log: LogProbe;
}

export interface RawPeer {
  readonly node: Libp2p;
  readonly connection: Connection;
  readonly stream: Stream;
}

export interface Fixture {
  replica(cluster: ClusterConfig, i: number, options?: Partial<TransportOptions>): Promise<Running<NetworkTransport>>;
  client(cluster: ClusterConfig, options?: Partial<ClientTransportOptions>): Promise<Running<NetworkClientTransport>>;
  /** A libp2p node of its own that dials replica `to` and opens a stream. */
  raw(cluster: ClusterConfig, to: number, seed: Uint8Array, protocol: string): Promise<RawPeer>;
  /** A libp2p node of its own that takes replica i's place and waits for streams. */
  rawReplica(cluster: ClusterConfig, i: number, protocol: string, onStream: (stream: Stream, connection: Connection) => void): Promise<void>;
  dial(cluster: ClusterConfig, to: number, seed: Uint8Array): Promise<{ node: Libp2p; connection: Connection }>;
}

export function fixture(): Fixture {
  const running = new Set<{ stop(): Promise<void> }>();
  afterEach(async () => {
    const all = [...running];
    running.clear();
    await Promise.all(all.map((transport) => transport.stop()));
  });
  const rawNode = async (seed: Uint8Array, listen: readonly string[]): Promise<Libp2p> => {
    const privateKey = await generateKeyPairFromSeed("Ed25519", seed);
    const node = await createNode({ privateKey, listen, limits: DEFAULT_LIMITS, connectionsMax: 100, onMisbehaviour: () => undefined });
    running.add({ stop: async () => node.stop() });
    return node;
  };
  const dial: Fixture["dial"] = async (cluster, to, seed) => {
    const node = await rawNode(seed, []);
    await node.start();
    const connection = await node.dial(multiaddr(cluster.replicas[to]?.addresses[0] ?? ""), { force: true });
    return { node, connection };
  };
  return {
    dial,
    async replica(cluster, i, options = {}) {
      const [probe, log] = [new Probe(), new LogProbe()];
      const transport = createTransport({
        cluster, clusterId: CLUSTER_ID, self: id(i), networkSeed: seedOf(i), listen: cluster.replicas[i]?.addresses ?? [], logger: log, ...options,
      });
      running.add(transport);
      await transport.start(probe);
      return { transport, probe, log };
    },
    async client(cluster, options = {}) {
      const [probe, log] = [new Probe(), new LogProbe()];
      const transport = createClientTransport({ cluster, clusterId: CLUSTER_ID, logger: log, ...options });
      running.add(transport);
      await transport.start(probe.asClient);
      return { transport, probe, log };
    },
    async raw(cluster, to, seed, protocol) {
      const { node, connection } = await dial(cluster, to, seed);
      const stream = await connection.newStream(protocol);
      return { node, connection, stream };
    },
    async rawReplica(cluster, i, protocol, onStream) {
      const node = await rawNode(seedOf(i), cluster.replicas[i]?.addresses ?? []);
      await node.handle(protocol, onStream);
      await node.start();
    },
  };
}

export const strangerSeed = (n: number): Uint8Array => new Uint8Array(32).fill(0xc0 + n);

export const helloFrom = (role: Hello["role"], replica?: number, changes: Partial<Hello> = {}): Hello => ({
  version: 1, role, clusterId: digest(CLUSTER_ID), epoch: 0, replica, instance: "11".repeat(16), signatureSuite: "ed25519-strict", ...changes,
});

export function framed(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(4 + bytes.length);
  new DataView(out.buffer).setUint32(0, bytes.length);
  out.set(bytes, 4);
  return out;
}

export const framedHello = (...args: Parameters<typeof helloFrom>): Uint8Array => framed(encodeHello(helloFrom(...args)));

/** Resolves with the reason when the other side ended the connection. */
export const closed = (connection: Connection, ms = 10_000): Promise<string> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`connection still open after ${ms} ms`)), ms);
    const done = (reason: string): void => {
      clearTimeout(timer);
      resolve(reason);
    };
    if (connection.status !== "open") done(connection.status);
    connection.addEventListener("close", (event) => done(event.error === undefined ? "closed" : "reset"));
  });

/** Resolves with all bytes the stream has delivered once there are `bytes` of them. */
export const received = (stream: Stream, bytes: number): Promise<Uint8Array> =>
  new Promise((resolve) => {
    let all = new Uint8Array(0);
    stream.addEventListener("message", ({ data }) => {
      const next = new Uint8Array(all.length + data.byteLength);
      next.set(all);
      next.set(data.subarray(), all.length);
      all = next;
      if (all.length >= bytes) resolve(all);
    });
  });
