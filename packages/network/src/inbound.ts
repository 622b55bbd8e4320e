/**
 * Connections that others open to us: replicas by their keys, clients with any key. Whoever does not finish the handshake
 * in time, breaks a bound or comes in excess is dropped here, and the refusal is logged here: the other side sees only EOF.
 */
import type { Connection, Libp2p, PeerId, Stream } from "@libp2p/interface";
import type { ClientConnection, Logger, Rejection } from "@narses/core";
import { ignore, reset } from "./describe.ts";
import {
  CLIENT_PROTOCOL, decodeHello, encodeHello, helloMismatch, HELLO_BYTES_MAX, REPLICA_PROTOCOL, type Hello, type Role,
} from "./hello.ts";
import { Budget } from "./limits.ts";
import type { Member } from "./members.ts";
import { newCounters, Wire, type Counters, type WireContext } from "./wire.ts";

/** One replica's connections: its link, one more while it reconnects, and clients that share its key. The oldest gives way. */
const CONNECTIONS_PER_MEMBER_MAX = 4;
/** Refusals logged in one second; the rest are counted. */
const REFUSALS_LOGGED_MAX = 10;

interface InboundOptions {
  readonly context: WireContext;
  readonly members: ReadonlyMap<string, Member>;
  readonly own: Hello;
  readonly logger: Logger;
  readonly countersOf: (member: Member) => Counters;
  /** A replica's sending connection shook hands. */
  readonly onReplica: (member: Member, wire: Wire, instance: string) => void;
  readonly onReplicaFrame: (member: Member, frame: Uint8Array) => void;
  readonly onReplicaGone: (member: Member, wire: Wire, reason: string) => void;
  readonly onClientFrame: (client: ClientConnection, frame: Uint8Array) => void;
  readonly onClientGone: (client: ClientConnection) => void;
}

export interface ClientTotals {
  readonly connections: number;
  readonly queuedBytes: number;
  readonly dropped: number;
  /** Connections refused or dropped before their handshake was complete, of replicas and clients. */
  readonly refused: number;
}

interface Entry {
  readonly connection: Connection;
  readonly stranger: boolean;
  readonly openedMs: number;
  hasStream: boolean;
}

export class Inbound {
  readonly #options: InboundOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #clients = new Set<Wire>();
  readonly #clientCounters: Counters = newCounters();
  readonly #queueBudget: Budget;
  readonly #partialBudget: Budget;
  #node: Libp2p | undefined;
  #refused = 0;
  #logged = 0;
  #loggedSecond = -1;
  #suppressed = 0;

  constructor(options: InboundOptions) {
    this.#options = options;
    this.#queueBudget = new Budget(options.context.limits.clientQueueBytesTotalMax);
    this.#partialBudget = new Budget(options.context.limits.clientPartialBytesTotalMax);
  }

  get totals(): ClientTotals {
    return {
      connections: this.#clients.size,
      queuedBytes: this.#queueBudget.used,
      dropped: this.#clientCounters.dropped,
      refused: this.#refused,
    };
  }

  async attach(node: Libp2p): Promise<void> {
    this.#node = node;
    node.addEventListener("connection:open", ({ detail }) => this.#opened(detail));
    node.addEventListener("connection:close", ({ detail }) => this.#gone(detail));
    const perConnection = { maxInboundStreams: 1, maxOutboundStreams: 1 };
    await node.handle(REPLICA_PROTOCOL, (stream, connection) => this.#onStream("replica", stream, connection), perConnection);
    await node.handle(CLIENT_PROTOCOL, (stream, connection) => this.#onStream("client", stream, connection), perConnection);
  }

  /** For libp2p's gater: the key is proved, nothing else of the connection exists yet. */
  denies(peer: PeerId): boolean {
    if (this.#options.members.has(peer.toString())) return false;
    const max = this.#options.context.limits.clientConnectionsMax;
    if (this.#strangers() < max) return false;
    this.refuse(`client ${shortId(peer)}: all ${max} client connections are taken`);
    return true;
  }

  /** Drops connections that never got to their handshake. */
  tick(): void {
    const { clock, limits } = this.#options.context;
    for (const entry of this.#entries.values()) {
      if (entry.connection.status !== "open") this.#gone(entry.connection);
      else if (!entry.hasStream && clock.ms - entry.openedMs >= 2 * limits.handshakeMs) {
        this.#drop(entry.connection, `opened no stream within ${2 * limits.handshakeMs} ms`);
      }
    }
  }

  refuse(reason: string): void {
    this.#refused += 1;
    const second = Math.floor(this.#options.context.clock.ms / 1_000);
    if (second !== this.#loggedSecond) {
      this.#loggedSecond = second;
      this.#logged = 0;
    }
    if (this.#logged >= REFUSALS_LOGGED_MAX) {
      this.#suppressed += 1;
      return;
    }
    this.#logged += 1;
    this.#options.logger.warn({ reason, suppressed: this.#suppressed }, `refused ${reason}`);
    this.#suppressed = 0;
  }

  #opened(connection: Connection): void {
    if (connection.direction !== "inbound") return;
    const member = this.#options.members.get(connection.remotePeer.toString());
    const { clock, limits } = this.#options.context;
    this.#entries.set(connection.id, { connection, stranger: member === undefined, openedMs: clock.ms, hasStream: false });
    if (member === undefined) {
      // The gater let through those that were in their handshake at the same time.
      if (this.#strangers() > limits.clientConnectionsMax) this.#drop(connection, "came when all client connections were taken");
      return;
    }
    const own = [...this.#entries.values()].filter((entry) => entry.connection.remotePeer.equals(connection.remotePeer));
    const oldest = own[0];
    if (own.length > CONNECTIONS_PER_MEMBER_MAX && oldest !== undefined) {
      this.#drop(oldest.connection, `replica ${member.replica} holds more than ${CONNECTIONS_PER_MEMBER_MAX} connections`);
    }
  }

  #gone(connection: Connection): void {
    const entry = this.#entries.get(connection.id);
    if (entry === undefined) return;
    this.#entries.delete(connection.id);
    // libp2p remembers every peer it met; strangers come with a new key each time.
    if (entry.stranger) this.#node?.peerStore.delete(connection.remotePeer).catch(ignore);
  }

  #strangers(): number {
    let count = 0;
    for (const entry of this.#entries.values()) if (entry.stranger) count += 1;
    return count;
  }

  #drop(connection: Connection, reason: string): void {
    this.refuse(`${connection.remoteAddr.toString()}: ${reason}`);
    this.#entries.delete(connection.id);
    reset(connection, reason);
  }

  #onStream(role: Role, stream: Stream, connection: Connection): void {
    const entry = this.#entries.get(connection.id);
    if (entry === undefined || entry.hasStream) return this.#drop(connection, "opened a second stream, or one on a connection of ours");
    entry.hasStream = true;
    if (role === "client") return this.#greetClient(stream, connection);
    const member = this.#options.members.get(connection.remotePeer.toString());
    if (member === undefined) return this.#drop(connection, "its key is not in the cluster file, so it cannot be a replica");
    this.#greetReplica(member, stream, connection);
  }

  #greetReplica(member: Member, stream: Stream, connection: Connection): void {
    const { context } = this.#options;
    let open = false;
    const wire = new Wire(context, {
      connection,
      stream,
      counters: this.#options.countersOf(member),
      // Nothing but the handshake and pings goes back on a replica's sending connection.
      queueBytesMax: 1 << 10,
      sendBytesMax: HELLO_BYTES_MAX,
      onClose: (reason, byPeer) => {
        if (open) this.#options.onReplicaGone(member, wire, reason);
        else if (!byPeer) this.refuse(`replica ${member.replica}: ${reason}`);
      },
    }, HELLO_BYTES_MAX);
    wire.onFrame = (frame) => {
      const theirs = this.#check(wire, frame, "replica", member);
      if (theirs === undefined) return;
      open = true;
      wire.open(context.limits.replicaFrameBytesMax);
      wire.onFrame = (next) => this.#options.onReplicaFrame(member, next);
      this.#options.onReplica(member, wire, theirs.instance);
    };
  }

  #greetClient(stream: Stream, connection: Connection): void {
    const { context, onClientFrame, onClientGone } = this.#options;
    const label = `${hostOf(connection)} ${shortId(connection.remotePeer)}`;
    let client: ClientConnection | undefined;
    const wire = new Wire(context, {
      connection,
      stream,
      counters: this.#clientCounters,
      queueBytesMax: context.limits.clientQueueBytesMax,
      queueBudget: this.#queueBudget,
      partialBudget: this.#partialBudget,
      sendBytesMax: context.limits.replicaFrameBytesMax,
      onClose: (reason, byPeer) => {
        this.#clients.delete(wire);
        this.#options.logger.debug({ client: label, reason }, `client ${label} left: ${reason}`);
        if (client !== undefined) onClientGone(client);
        else if (!byPeer) this.refuse(`client ${label}: ${reason}`);
      },
    }, HELLO_BYTES_MAX);
    wire.onFrame = (frame) => {
      if (this.#check(wire, frame, "client", undefined) === undefined) return;
      const opened: ClientConnection = { label, send: (next) => wire.send(next) };
      client = opened;
      this.#clients.add(wire);
      wire.open(context.limits.clientFrameBytesMax);
      wire.onFrame = (next) => onClientFrame(opened, next);
    };
  }

  /** Answers a handshake with our own, also when it is refused: so the other side can name the field in its log as well. */
  #check(wire: Wire, frame: Uint8Array, role: Role, member: Member | undefined): Hello | undefined {
    const { own } = this.#options;
    const decoded = decodeHello(frame);
    const expected = { role, replica: member?.replica };
    const refusal: Rejection | undefined = decoded.ok ? helloMismatch(own, decoded.hello, expected) : decoded.rejection;
    wire.send(encodeHello(own));
    if (decoded.ok && refusal === undefined) return decoded.hello;
    void wire.finish(refusal?.detail ?? "handshake");
    return undefined;
  }
}

const shortId = (peer: PeerId): string => peer.toString().slice(-8);

const hostOf = (connection: Connection): string => connection.remoteAddr.toString().replace(/\/p2p\/.*$/, "");
