/** `ClientTransport` over libp2p: a link to every replica, each dialled by its key. Loads in browsers, where it dials /ws addresses. */
import "./polyfill.ts";
import type { Libp2p } from "@libp2p/interface";
import { checkCluster, type ClientTransport, type ClusterConfig, type Digest, type Logger, type ReplicaId } from "@narses/core";
import { ignore, shielded } from "./describe.ts";
import { CLIENT_PROTOCOL, type Hello } from "./hello.ts";
import { resolveLimits, type NetworkLimits } from "./limits.ts";
import { Link } from "./link.ts";
import { membersOf, type Member } from "./members.ts";
import { identityFromSeed, SEED_BYTES } from "./identity.ts";
import { createNode, startNode, stopNode } from "./node.ts";
import { helloOf, silentUnless, type PeerState } from "./transport.ts";
import { Clock, Turn } from "./turn.ts";
import { newCounters, type Counters, type WireContext } from "./wire.ts";

export interface ClientTransportOptions {
  readonly cluster: ClusterConfig;
  /** Hash of the cluster file: replicas that hold another one refuse, and are refused. */
  readonly clusterId: Digest;
  /** 32 bytes; random by default. It names the connection only: who a client is, its signatures say. */
  readonly networkSeed?: Uint8Array;
  readonly logger?: Logger;
  readonly limits?: Partial<NetworkLimits>;
}

export interface NetworkClientTransport extends ClientTransport {
  /** The replicas, in order of id. */
  peers(): readonly PeerState[];
}

type Handlers = Parameters<ClientTransport["start"]>[0];

interface Peer {
  readonly member: Member;
  readonly counters: Counters;
  link: Link | undefined;
}

/**
 * A client's connections; `start` resolves at once and dials in the background. Use it once: `stop` is final.
 * @throws NarsesError CONFIG_INVALID for a cluster file, address or limit that cannot be used.
 */
export function createClientTransport(options: ClientTransportOptions): NetworkClientTransport {
  return new Libp2pClientTransport(options);
}

class Libp2pClientTransport implements NetworkClientTransport {
  readonly #options: ClientTransportOptions;
  readonly #logger: Logger;
  readonly #context: WireContext;
  readonly #own: Hello;
  readonly #peers: readonly Peer[];
  #handlers: Handlers | undefined;
  #node: Libp2p | undefined;
  #started: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: ClientTransportOptions) {
    checkCluster(options.cluster);
    this.#options = options;
    this.#logger = silentUnless(options.logger);
    this.#context = { limits: resolveLimits(options.limits), clock: new Clock(), turn: new Turn(), wires: new Set() };
    this.#own = helloOf("client", undefined, options.cluster, options.clusterId);
    this.#peers = membersOf(options.cluster).map((member) => ({ member, counters: newCounters(), link: undefined }));
  }

  start(handlers: Handlers): Promise<void> {
    if (this.#started !== undefined) throw new TypeError("a client transport is started once; create another one");
    this.#handlers = handlers;
    this.#started = this.#start();
    return this.#started;
  }

  send(to: ReplicaId, frame: Uint8Array): boolean {
    const peer = this.#peers[to];
    if (peer === undefined) throw new RangeError(`send: the cluster has no replica ${String(to)}`);
    if (frame.length === 0) throw new RangeError("send: an empty frame is a ping, not a message");
    return peer.link?.send(frame) ?? false;
  }

  peers(): readonly PeerState[] {
    return this.#peers.map(({ member, counters, link }) => ({
      ...counters,
      replica: member.replica,
      connected: link?.up ?? false,
      queuedBytes: link?.queuedBytes ?? 0,
      problem: link === undefined ? "not started" : link.problem,
    }));
  }

  stop(): Promise<void> {
    this.#handlers = undefined;
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #start(): Promise<void> {
    const { limits, clock } = this.#context;
    const privateKey = await identityFromSeed(this.#options.networkSeed ?? crypto.getRandomValues(new Uint8Array(SEED_BYTES)));
    const node = await createNode({
      privateKey,
      listen: [],
      limits,
      connectionsMax: 4 * this.#peers.length,
      onMisbehaviour: (reason) => this.#logger.warn({ reason }, `dropped a replica's connection that ${reason}`),
    });
    if (this.#stopped !== undefined) return;
    await startNode(node, []);
    this.#node = node;
    if (this.#stopped !== undefined) return;
    clock.start(() => {
      for (const wire of this.#context.wires) wire.tick();
    });
    for (const peer of this.#peers) {
      peer.link = this.#createLink(node, peer);
      peer.link.start();
    }
  }

  async #stop(): Promise<void> {
    await this.#started?.catch(ignore);
    const flushed = Promise.all(this.#peers.map(async (peer) => peer.link?.stop()));
    await stopNode(this.#node, flushed, this.#logger);
    this.#context.clock.stop();
  }

  #createLink(node: Libp2p, { member, counters }: Peer): Link {
    const { limits } = this.#context;
    const { replica } = member;
    return new Link({
      node,
      context: this.#context,
      member,
      protocol: CLIENT_PROTOCOL,
      own: this.#own,
      counters,
      queueBytesMax: limits.clientQueueBytesMax,
      sendBytesMax: limits.clientFrameBytesMax,
      receiveBytesMax: limits.replicaFrameBytesMax,
      logger: this.#logger,
      onUp: () => shielded(() => this.#handlers?.onReplica(replica, true)),
      onDown: () => shielded(() => this.#handlers?.onReplica(replica, false)),
      onFrame: (frame) => this.#handlers?.onFrame(replica, frame),
    });
  }
}
