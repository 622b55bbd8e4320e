/** `Transport` over libp2p: a link to each other replica, and a listener for theirs and for clients. */
import "./polyfill.ts";
import type { Libp2p } from "@libp2p/interface";
import {
  checkCluster, digest, NarsesError, toHex,
  type ClusterConfig, type Digest, type Logger, type ReplicaId, type Transport, type TransportHandlers,
} from "@narses/core";
import { ignore, shielded } from "./describe.ts";
import { INSTANCE_BYTES, PROTOCOL_VERSION, REPLICA_PROTOCOL, type Hello, type Role } from "./hello.ts";
import { Inbound, type ClientTotals } from "./inbound.ts";
import { Instances } from "./instances.ts";
import { resolveLimits, type NetworkLimits } from "./limits.ts";
import { Link } from "./link.ts";
import { membersOf, parseAddress, type Member } from "./members.ts";
import { identityFromSeed } from "./identity.ts";
import { createNode, startNode, stopNode } from "./node.ts";
import { Clock, Turn } from "./turn.ts";
import { newCounters, type Counters, type Wire, type WireContext } from "./wire.ts";

export interface TransportOptions {
  readonly cluster: ClusterConfig;
  /** Hash of the cluster file: peers and clients that hold another one are refused. */
  readonly clusterId: Digest;
  readonly self: ReplicaId;
  /** Ed25519 seed of the libp2p identity, 32 bytes: its public key must be `replicas[self].networkKey`. */
  readonly networkSeed: Uint8Array;
  /** Multiaddrs to listen on: /ip4/…/tcp/… for replicas and clients, /ip4/…/tcp/…/ws for browsers. */
  readonly listen: readonly string[];
  readonly logger?: Logger;
  readonly limits?: Partial<NetworkLimits>;
}

/** One peer, for metrics and `why`. */
export interface PeerState extends Readonly<Counters> {
  readonly replica: ReplicaId;
  /** Usable in both directions: exactly then `send` takes frames. */
  readonly connected: boolean;
  readonly queuedBytes: number;
  /** Why our own connection to it is down; undefined while it is up. */
  readonly problem: string | undefined;
}

export interface NetworkTransport extends Transport {
  /** Where it listens, with the real ports; empty before `start`. */
  addresses(): readonly string[];
  /** The other replicas, in order of id. */
  peers(): readonly PeerState[];
  clients(): ClientTotals;
}

interface Peer {
  readonly member: Member;
  readonly counters: Counters;
  link: Link | undefined;
  /** The connection it sends on. */
  inbound: Wire | undefined;
  inboundInstance: string | undefined;
  connected: boolean;
  readonly instances: Instances;
}

const SILENT: Logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };

export const silentUnless = (logger: Logger | undefined): Logger => logger ?? SILENT;

/** The handshake frame of this process. */
export function helloOf(role: Role, replica: ReplicaId | undefined, cluster: ClusterConfig, clusterId: Digest): Hello {
  return {
    version: PROTOCOL_VERSION,
    role,
    clusterId: digest(clusterId),
    epoch: cluster.epoch,
    replica,
    instance: toHex(crypto.getRandomValues(new Uint8Array(INSTANCE_BYTES))),
    signatureSuite: cluster.signatureSuite,
  };
}

/**
 * A transport for replica `self`; it does nothing until `start`, which resolves when it listens and dials in the background.
 * Use it once: `stop` is final, and no handler is called after `stop` was.
 *
 * @throws NarsesError CONFIG_INVALID for a cluster file, address or limit that cannot be used; RangeError for `self`.
 * `start` rejects with KEY_INVALID when the seed is not of `replicas[self]`, PORT_IN_USE when a listen address is taken.
 */
export function createTransport(options: TransportOptions): NetworkTransport {
  return new Libp2pTransport(options);
}

class Libp2pTransport implements NetworkTransport {
  readonly #options: TransportOptions;
  readonly #logger: Logger;
  readonly #context: WireContext;
  readonly #own: Hello;
  readonly #peers = new Map<ReplicaId, Peer>();
  readonly #inbound: Inbound;
  #handlers: TransportHandlers | undefined;
  #node: Libp2p | undefined;
  #started: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: TransportOptions) {
    const { cluster, self } = options;
    checkCluster(cluster);
    options.listen.forEach((address, i) => parseAddress(address, `listen[${i}]`));
    const members = membersOf(cluster);
    const own = members[self];
    if (own === undefined) throw new RangeError(`self must be a replica of the cluster, 0 to ${members.length - 1}, got ${self}`);
    this.#options = options;
    this.#logger = silentUnless(options.logger);
    this.#context = { limits: resolveLimits(options.limits), clock: new Clock(), turn: new Turn(), wires: new Set() };
    this.#own = helloOf("replica", self, cluster, options.clusterId);
    for (const member of members) {
      if (member === own) continue;
      this.#peers.set(member.replica, {
        member, counters: newCounters(), link: undefined, inbound: undefined, inboundInstance: undefined, instances: new Instances(), connected: false,
      });
    }
    this.#inbound = this.#createInbound(members.filter((member) => member !== own));
  }

  start(handlers: TransportHandlers): Promise<void> {
    if (this.#started !== undefined) throw new TypeError("a transport is started once; create another one");
    this.#handlers = handlers;
    this.#started = this.#start();
    return this.#started;
  }

  send(to: ReplicaId, frame: Uint8Array): boolean {
    const peer = this.#peers.get(to);
    if (peer === undefined) throw new RangeError(`send: replica ${String(to)} is not another replica of the cluster`);
    if (frame.length === 0) throw new RangeError("send: an empty frame is a ping, not a message");
    const { replicaFrameBytesMax } = this.#context.limits;
    if (frame.length > replicaFrameBytesMax) {
      this.#logger.error({ replica: to }, `dropped a frame of ${frame.length} bytes: the cap is ${replicaFrameBytesMax}`);
    }
    // Half a connection is none: what `send` says agrees with the last `onPeer`.
    return peer.connected && peer.link?.send(frame) === true;
  }

  addresses(): readonly string[] {
    return this.#node?.getMultiaddrs().map(String) ?? [];
  }

  peers(): readonly PeerState[] {
    return [...this.#peers.values()].map(({ member, counters, link, connected }) => ({
      ...counters,
      replica: member.replica,
      connected,
      queuedBytes: link?.queuedBytes ?? 0,
      problem: link === undefined ? "not started" : link.problem,
    }));
  }

  clients(): ClientTotals {
    return this.#inbound.totals;
  }

  stop(): Promise<void> {
    this.#handlers = undefined;
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #start(): Promise<void> {
    const { cluster, self, listen } = this.#options;
    const { limits, clock } = this.#context;
    const privateKey = await identityFromSeed(this.#options.networkSeed);
    const key = toHex(privateKey.publicKey.raw);
    const expected = cluster.replicas[self]?.networkKey;
    if (key !== expected) {
      const owner = cluster.replicas.find((replica) => replica.networkKey === key);
      throw new NarsesError(
        "KEY_INVALID",
        `the network key ${key} ${owner === undefined ? "is not in the cluster file" : `belongs to replica ${owner.id}`}; ` +
          `replica ${self} needs the key of ${String(expected)}: check "replica" and "key" in replica.json`,
        { replica: self, networkKey: key },
      );
    }
    const node = await createNode({
      privateKey,
      listen,
      limits,
      // Enough for both directions with every replica, and every client; the real limits are ours.
      connectionsMax: 8 * (this.#peers.size + 1) + 2 * limits.clientConnectionsMax + limits.pendingConnectionsMax,
      gater: { denyInboundEncryptedConnection: (peer) => this.#inbound.denies(peer) },
      onMisbehaviour: (reason) => this.#inbound.refuse(`a connection that ${reason}`),
    });
    await this.#inbound.attach(node);
    if (this.#stopped !== undefined) return;
    await startNode(node, listen);
    this.#node = node;
    if (this.#stopped !== undefined) return;
    clock.start(() => this.#tick());
    for (const peer of this.#peers.values()) {
      peer.link = this.#createLink(node, peer);
      peer.link.start();
    }
    const addresses = this.addresses().join(" ");
    this.#logger.info({ replica: self, addresses }, `replica ${self} listens on ${listen.join(", ") || "no address"}`);
  }

  async #stop(): Promise<void> {
    await this.#started?.catch(ignore);
    const links = [...this.#peers.values()].map((peer) => peer.link?.stop());
    const wires = [...this.#context.wires].map((wire) => wire.finish("stopped"));
    await stopNode(this.#node, Promise.all([...links, ...wires]), this.#logger);
    this.#context.clock.stop();
  }

  #tick(): void {
    for (const wire of this.#context.wires) wire.tick();
    this.#inbound.tick();
  }

  #createLink(node: Libp2p, peer: Peer): Link {
    const { limits } = this.#context;
    const { member } = peer;
    return new Link({
      node,
      context: this.#context,
      member,
      protocol: REPLICA_PROTOCOL,
      own: this.#own,
      counters: peer.counters,
      queueBytesMax: limits.replicaQueueBytesMax,
      sendBytesMax: limits.replicaFrameBytesMax,
      // Replicas send on their own connections; on ours they only answer the handshake and ping.
      receiveBytesMax: 0,
      logger: this.#logger,
      onUp: (instance) => {
        this.#identify(peer, instance);
        // A process that was replaced cannot be behind a connection any more, whatever TCP still believes.
        if (peer.inboundInstance !== undefined && peer.inboundInstance !== instance) peer.inbound?.close("the peer restarted");
        this.#update(peer);
      },
      onDown: () => this.#update(peer),
      onFrame: ignore,
    });
  }

  #createInbound(others: readonly Member[]): Inbound {
    return new Inbound({
      context: this.#context,
      members: new Map(others.map((member) => [member.peerId.toString(), member])),
      own: this.#own,
      logger: this.#logger,
      countersOf: (member) => this.#peer(member).counters,
      onReplica: (member, wire, instance) => {
        const peer = this.#peer(member);
        this.#identify(peer, instance);
        const previous = peer.inbound;
        peer.inbound = wire;
        peer.inboundInstance = instance;
        previous?.close("replaced by a newer connection");
        const outgoing = peer.link?.instance;
        if (outgoing !== undefined && outgoing !== instance) peer.link?.drop("the peer restarted");
        peer.link?.poke();
        this.#update(peer);
      },
      onReplicaFrame: (member, frame) => this.#handlers?.onPeerFrame(member.replica, frame),
      onReplicaGone: (member, wire, reason) => {
        const peer = this.#peer(member);
        this.#logger.debug({ replica: member.replica, reason }, `replica ${member.replica} closed its connection: ${reason}`);
        if (peer.inbound !== wire) return;
        peer.inbound = undefined;
        peer.inboundInstance = undefined;
        this.#update(peer, reason);
      },
      onClientFrame: (client, frame) => this.#handlers?.onClientFrame(client, frame),
      onClientGone: (client) => shielded(() => this.#handlers?.onClientGone(client)),
    });
  }

  #identify({ member, instances }: Peer, instance: string): void {
    if (!instances.seen(instance)) return;
    const { replica } = member;
    this.#logger.error(
      { replica },
      `two live processes use the key of replica ${replica}: each replaces the other's connections. Stop one of them; if the home directory was copied or restored, ` +
        "the copy must never run with this key",
    );
  }

  #peer(member: Member): Peer {
    const peer = this.#peers.get(member.replica);
    if (peer === undefined) throw new RangeError(`replica ${member.replica} is not a peer`);
    return peer;
  }

  /** Reports a transition, and nothing else, to the handlers. */
  #update(peer: Peer, reason: string | undefined = peer.link?.problem): void {
    const connected = peer.link?.up === true && peer.inbound !== undefined;
    if (connected === peer.connected) return;
    peer.connected = connected;
    const { replica } = peer.member;
    if (connected) this.#logger.info({ replica }, `connected to replica ${replica}`);
    else if (this.#handlers !== undefined) this.#logger.warn({ replica, reason }, `lost replica ${replica}: ${reason ?? "unknown"}`);
    shielded(() => this.#handlers?.onPeer(replica, connected));
  }
}
