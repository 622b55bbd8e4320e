/**
 * The transport ports without sockets, for tests: n replicas and their clients in one process. Same framing code, queues,
 * bounds and drop rule as the real thing; everything is delivered at the end of a turn. Not deterministic across runs of
 * an asynchronous program: for that there is the simulator.
 */
import { replicaId, type ClientConnection, type ClientTransport, type ReplicaId, type TransportHandlers } from "@narses/core";
import { resolveLimits, type NetworkLimits } from "./limits.ts";
import { Connection, type End } from "./memory-connection.ts";
import type { NetworkClientTransport } from "./client-transport.ts";
import type { NetworkTransport, PeerState } from "./transport.ts";
import { Turn } from "./turn.ts";
import { newCounters, type Counters } from "./wire.ts";

export interface MemoryNetwork {
  /** A new transport for the replica; the one before it must be stopped. */
  transport(self: ReplicaId): NetworkTransport;
  client(): NetworkClientTransport;
  /** Breaks the connection between two replicas until it is mended. */
  cut(a: ReplicaId, b: ReplicaId): void;
  mend(a: ReplicaId, b: ReplicaId): void;
  /** Replica `to` stops reading: frames for it wait in their senders' queues until released. */
  hold(to: ReplicaId): void;
  release(to: ReplicaId): void;
}

export interface MemoryNetworkOptions {
  readonly replicas: number;
  readonly limits?: Partial<NetworkLimits>;
}

/** @throws RangeError unless there is at least one replica; NarsesError CONFIG_INVALID for a bad limit. */
export function createMemoryNetwork(options: MemoryNetworkOptions): MemoryNetwork {
  return new Memory(options);
}

class Memory implements MemoryNetwork {
  readonly limits: NetworkLimits;
  readonly replicas: number;
  readonly #turn = new Turn();
  readonly #seats = new Map<ReplicaId, MemoryTransport>();
  readonly #clients = new Set<MemoryClient>();
  readonly #links = new Map<string, Connection>();
  readonly #cuts = new Set<string>();
  readonly #held = new Set<ReplicaId>();

  constructor(options: MemoryNetworkOptions) {
    const { replicas } = options;
    if (!Number.isSafeInteger(replicas) || replicas < 1) throw new RangeError(`replicas must be at least 1, got ${replicas}`);
    this.replicas = replicas;
    this.limits = resolveLimits(options.limits);
  }

  transport(self: ReplicaId): NetworkTransport {
    this.check(self);
    return new MemoryTransport(this, self);
  }

  client(): NetworkClientTransport {
    return new MemoryClient(this);
  }

  check(replica: ReplicaId): void {
    if (replica >= 0 && replica < this.replicas) return;
    throw new RangeError(`replica must be from 0 to ${this.replicas - 1}, got ${String(replica)}`);
  }

  isHeld(replica: ReplicaId): boolean {
    return this.#held.has(replica);
  }

  cut(a: ReplicaId, b: ReplicaId): void {
    this.#cuts.add(pairOf(a, b));
    this.#unlink(a, b);
  }

  mend(a: ReplicaId, b: ReplicaId): void {
    this.#cuts.delete(pairOf(a, b));
    const from = this.#seats.get(a);
    if (from !== undefined) this.#link(from, b);
  }

  hold(to: ReplicaId): void {
    this.#held.add(to);
  }

  release(to: ReplicaId): void {
    this.#held.delete(to);
    for (const link of this.#links.values()) link.resume();
    for (const client of this.#clients) client.connections.get(to)?.resume();
  }

  /** What was sent so far has been delivered, as far as bounds and holds allow. */
  endOfTurn(): Promise<void> {
    return new Promise((resolve) => this.#turn.add({ run: resolve }));
  }

  enter(seat: MemoryTransport): void {
    if (this.#seats.has(seat.self)) throw new TypeError(`replica ${seat.self} is already on this network: stop it first`);
    this.#seats.set(seat.self, seat);
    for (const other of this.#seats.keys()) if (other !== seat.self) this.#link(seat, other);
    for (const client of this.#clients) this.#serve(client, seat);
  }

  leave(seat: MemoryTransport): void {
    if (this.#seats.get(seat.self) !== seat) return;
    this.#seats.delete(seat.self);
    for (const other of this.#seats.keys()) this.#unlink(seat.self, other);
    for (const client of this.#clients) {
      client.connections.get(seat.self)?.close();
      client.connections.delete(seat.self);
    }
  }

  join(client: MemoryClient): void {
    this.#clients.add(client);
    for (const seat of this.#seats.values()) this.#serve(client, seat);
  }

  part(client: MemoryClient): void {
    this.#clients.delete(client);
    for (const connection of client.connections.values()) connection.close();
    client.connections.clear();
  }

  queuedBytes(from: ReplicaId, to: ReplicaId): number {
    return this.#links.get(pairOf(from, to))?.queuedBytes(from < to ? 0 : 1) ?? 0;
  }

  #link(seat: MemoryTransport, to: ReplicaId): void {
    const other = this.#seats.get(to);
    const pair = pairOf(seat.self, to);
    if (other === undefined || this.#cuts.has(pair) || this.#links.has(pair)) return;
    const [low, high] = seat.self < to ? [seat, other] : [other, seat];
    this.#links.set(pair, new Connection(this.#turn, low.endTowards(high.self), high.endTowards(low.self)));
  }

  #unlink(a: ReplicaId, b: ReplicaId): void {
    const pair = pairOf(a, b);
    this.#links.get(pair)?.close();
    this.#links.delete(pair);
  }

  #serve(client: MemoryClient, seat: MemoryTransport): void {
    const connection = new Connection(this.#turn, client.endTowards(seat.self), seat.endForClient(client.label));
    client.connections.set(seat.self, connection);
  }
}

const pairOf = (a: ReplicaId, b: ReplicaId): string => (a < b ? `${a}-${b}` : `${b}-${a}`);

interface Seat {
  readonly counters: Counters;
  send: ((frame: Uint8Array) => boolean) | undefined;
}

function stateOf(replica: ReplicaId, seat: Seat, queuedBytes: number): PeerState {
  const connected = seat.send !== undefined;
  return { ...seat.counters, replica, connected, queuedBytes, problem: connected ? undefined : "not on the network" };
}

function checkedSend(seat: Seat | undefined, to: ReplicaId, frame: Uint8Array): boolean {
  if (seat === undefined) throw new RangeError(`send: replica ${String(to)} is not another replica of the cluster`);
  if (frame.length === 0) throw new RangeError("send: an empty frame is a ping, not a message");
  return seat.send?.(frame) ?? false;
}

class MemoryTransport implements NetworkTransport {
  readonly self: ReplicaId;
  readonly #network: Memory;
  readonly #peers = new Map<ReplicaId, Seat>();
  readonly #clientCounters = newCounters();
  #clients = 0;
  #handlers: TransportHandlers | undefined;
  #started = false;

  constructor(network: Memory, self: ReplicaId) {
    this.#network = network;
    this.self = self;
    for (let i = 0; i < network.replicas; i++) {
      if (i !== self) this.#peers.set(replicaId(i), { counters: newCounters(), send: undefined });
    }
  }

  async start(handlers: TransportHandlers): Promise<void> {
    if (this.#started) throw new TypeError("a transport is started once; create another one");
    this.#started = true;
    this.#handlers = handlers;
    this.#network.enter(this);
  }

  send(to: ReplicaId, frame: Uint8Array): boolean {
    return checkedSend(this.#peers.get(to), to, frame);
  }

  async stop(): Promise<void> {
    this.#handlers = undefined;
    for (const seat of this.#peers.values()) seat.send = undefined;
    await this.#network.endOfTurn();
    this.#network.leave(this);
  }

  addresses(): readonly string[] {
    return this.#handlers === undefined ? [] : [`/memory/${this.self}`];
  }

  peers(): readonly PeerState[] {
    return [...this.#peers].map(([replica, seat]) => stateOf(replica, seat, this.#network.queuedBytes(this.self, replica)));
  }

  clients(): ReturnType<NetworkTransport["clients"]> {
    return { connections: this.#clients, queuedBytes: 0, dropped: this.#clientCounters.dropped, refused: 0 };
  }

  endTowards(peer: ReplicaId): End {
    const { limits } = this.#network;
    const seat = this.#peers.get(peer) ?? { counters: newCounters(), send: undefined };
    return {
      counters: seat.counters,
      bounds: { queueBytesMax: limits.replicaQueueBytesMax, frameBytesMax: limits.replicaFrameBytesMax },
      held: () => this.#network.isHeld(this.self),
      onUp: (send) => {
        seat.send = send;
        this.#handlers?.onPeer(peer, true);
      },
      onDown: () => {
        seat.send = undefined;
        this.#handlers?.onPeer(peer, false);
      },
      onFrame: (frame) => this.#handlers?.onPeerFrame(peer, frame),
    };
  }

  endForClient(label: string): End {
    const { limits } = this.#network;
    let connection: ClientConnection | undefined;
    return {
      counters: this.#clientCounters,
      bounds: { queueBytesMax: limits.clientQueueBytesMax, frameBytesMax: limits.replicaFrameBytesMax },
      held: () => this.#network.isHeld(this.self),
      onUp: (send) => {
        this.#clients += 1;
        connection = { label, send };
      },
      onDown: () => {
        this.#clients -= 1;
        if (connection !== undefined) this.#handlers?.onClientGone(connection);
      },
      onFrame: (frame) => {
        if (connection !== undefined) this.#handlers?.onClientFrame(connection, frame);
      },
    };
  }
}

let clientsMade = 0;

class MemoryClient implements NetworkClientTransport {
  readonly label: string = `memory-client-${++clientsMade}`;
  readonly connections = new Map<ReplicaId, Connection>();
  readonly #network: Memory;
  readonly #replicas = new Map<ReplicaId, Seat>();
  #handlers: Parameters<ClientTransport["start"]>[0] | undefined;
  #started = false;

  constructor(network: Memory) {
    this.#network = network;
    for (let i = 0; i < network.replicas; i++) this.#replicas.set(replicaId(i), { counters: newCounters(), send: undefined });
  }

  async start(handlers: Parameters<ClientTransport["start"]>[0]): Promise<void> {
    if (this.#started) throw new TypeError("a client transport is started once; create another one");
    this.#started = true;
    this.#handlers = handlers;
    this.#network.join(this);
  }

  send(to: ReplicaId, frame: Uint8Array): boolean {
    return checkedSend(this.#replicas.get(to), to, frame);
  }

  async stop(): Promise<void> {
    this.#handlers = undefined;
    for (const seat of this.#replicas.values()) seat.send = undefined;
    await this.#network.endOfTurn();
    this.#network.part(this);
  }

  peers(): readonly PeerState[] {
    return [...this.#replicas].map(([replica, seat]) => stateOf(replica, seat, this.connections.get(replica)?.queuedBytes(0) ?? 0));
  }

  endTowards(replica: ReplicaId): End {
    const { limits } = this.#network;
    const seat = this.#replicas.get(replica) ?? { counters: newCounters(), send: undefined };
    return {
      counters: seat.counters,
      bounds: { queueBytesMax: limits.clientQueueBytesMax, frameBytesMax: limits.clientFrameBytesMax },
      held: () => false,
      onUp: (send) => {
        seat.send = send;
        this.#handlers?.onReplica(replica, true);
      },
      onDown: () => {
        seat.send = undefined;
        this.#handlers?.onReplica(replica, false);
      },
      onFrame: (frame) => this.#handlers?.onFrame(replica, frame),
    };
  }
}
