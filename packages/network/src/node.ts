/** A libp2p node set up for a fixed membership: TCP and websockets, noise, yamux, no discovery, no identify. */
import "./polyfill.ts";
import { yamux } from "@chainsafe/libp2p-yamux";
import { noise } from "@chainsafe/libp2p-noise";
import type { ConnectionGater, Ed25519PrivateKey, Libp2p } from "@libp2p/interface";
import { tcp } from "@libp2p/tcp";
import { webSockets } from "@libp2p/websockets";
import { NarsesError, type Logger } from "@narses/core";
import { createLibp2p } from "libp2p";
import { noiseCrypto } from "#noise-crypto";
import { describe, reset, settledWithin } from "./describe.ts";
import { guarded, joined, STREAMS_PER_CONNECTION_MAX } from "./guard.ts";
import type { NetworkLimits } from "./limits.ts";

/** A stop waits this long for queues to empty, then this long for libp2p. */
const FLUSH_MS = 400;
const STOP_MS = 1_200;

interface NodeOptions {
  readonly privateKey: Ed25519PrivateKey;
  readonly listen: readonly string[];
  readonly limits: NetworkLimits;
  /** Connections at most, of either direction. */
  readonly connectionsMax: number;
  readonly gater?: ConnectionGater;
  /** A peer broke a bound of the muxer and was dropped. */
  readonly onMisbehaviour: (reason: string) => void;
}

/** A node that is not listening yet: register handlers, then {@link startNode}. */
export function createNode(options: NodeOptions): Promise<Libp2p> {
  const { limits } = options;
  // Idle sockets are watched by our own pings; this is a backstop.
  const inactivityMs = 3 * limits.silenceMs;
  const streams = STREAMS_PER_CONNECTION_MAX;
  return createLibp2p({
    privateKey: options.privateKey,
    addresses: { listen: [...options.listen] },
    transports: [
      // Nagle's delay is off by default there, on both sides.
      tcp({ inboundSocketInactivityTimeout: inactivityMs, outboundSocketInactivityTimeout: inactivityMs }),
      webSockets(),
    ],
    connectionEncrypters: [joined(noise({ crypto: noiseCrypto }))],
    streamMuxers: [guarded(yamux({ maxInboundStreams: streams, maxOutboundStreams: streams }), options.onMisbehaviour)],
    connectionGater: { denyDialMultiaddr: () => false, ...options.gater },
    connectionMonitor: { enabled: false },
    connectionManager: {
      maxConnections: options.connectionsMax,
      maxParallelDials: options.connectionsMax,
      inboundConnectionThreshold: limits.connectionsPerSecondMax,
      maxIncomingPendingConnections: limits.pendingConnectionsMax,
      dialTimeout: limits.dialMs,
      addressDialTimeout: limits.dialMs,
      inboundUpgradeTimeout: limits.dialMs,
      outboundStreamProtocolNegotiationTimeout: limits.dialMs,
      inboundStreamProtocolNegotiationTimeout: limits.dialMs,
    },
    start: false,
  });
}

/** @throws NarsesError PORT_IN_USE or CONFIG_INVALID, naming the address. */
export async function startNode(node: Libp2p, listen: readonly string[]): Promise<void> {
  try {
    await node.start();
  } catch (cause) {
    throw listenError(cause, listen);
  }
}

function listenError(cause: unknown, listen: readonly string[]): NarsesError {
  // libp2p folds the errors of all listeners into one message.
  const text = cause instanceof Error ? cause.message : String(cause);
  const taken = /EADDRINUSE[^\n]*?:(\d+)\s*$/m.exec(text)?.[1];
  if (taken !== undefined) {
    const address = listen.find((candidate) => candidate.includes(`/tcp/${taken}`)) ?? `port ${taken}`;
    return new NarsesError(
      "PORT_IN_USE",
      `cannot listen on ${address}: the port is taken; stop the process that holds it, or change "listen"`,
      { address, port: Number(taken) },
      { cause },
    );
  }
  const reason = /\b(EACCES|EADDRNOTAVAIL|ENOTFOUND|EAFNOSUPPORT|EINVAL)\b[^\n]*/.exec(text)?.[0] ?? describe(cause);
  const problem = `cannot listen on ${listen.join(", ")}: ${reason}; check "listen"`;
  return new NarsesError("CONFIG_INVALID", problem, { field: "listen" }, { cause });
}

/**
 * libp2p puts off an update of its own addresses by a second, also when its listeners close as it stops: that timer alone would keep the
 * process. Not a part of libp2p's interface; a test knows when it goes away.
 */
export function addressUpdateOf(node: Libp2p): { stop(): void } | undefined {
  const { components } = node as { components?: { addressManager?: { _updatePeerStoreAddresses?: { stop?: () => void } } } };
  const update = components?.addressManager?._updatePeerStoreAddresses;
  return typeof update?.stop === "function" ? { stop: () => update.stop?.() } : undefined;
}

/** Lets `flushed` settle for a moment, then ends every connection and the node; never rejects, returns within 2 s. */
export async function stopNode(node: Libp2p | undefined, flushed: Promise<unknown>, logger: Logger): Promise<void> {
  await settledWithin(FLUSH_MS, flushed);
  if (node === undefined) return;
  for (const connection of node.getConnections()) reset(connection, "stopped");
  const stopped = async (): Promise<void> => {
    try {
      await node.stop();
      addressUpdateOf(node)?.stop();
    } catch (problem) {
      logger.warn({ problem: describe(problem) }, "libp2p did not stop cleanly");
    }
  };
  await settledWithin(STOP_MS, stopped());
}
