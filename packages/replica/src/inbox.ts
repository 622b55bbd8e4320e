/**
 * What waits to be read: facts of this replica first, then frames, one lane per peer and one for all clients together, served
 * round-robin; in the lane of the clients the connections take turns. A flood from one source costs the others at most its share
 * of a turn, counted in frames, bytes and verified signatures.
 */
import type { ClientConnection, Input, ReplicaId } from "@narses/core";
import type { Counters } from "./counters.ts";
import { CLIENT_QUEUE_BYTES_MAX, CLIENT_QUEUE_FRAMES_MAX, PEER_QUEUE_BYTES_MAX, PEER_QUEUE_FRAMES_MAX } from "./limits.ts";
import { Share, Source, type Frame } from "./source.ts";

export type Item = { readonly type: "input"; readonly input: Input } | Frame;

export interface Inbox {
  /** Nothing that may be read now. */
  readonly empty: boolean;
  input(input: Input): void;
  /** Frames beyond the bounds of their source are dropped and counted. */
  peer(from: ReplicaId, frame: Uint8Array): void;
  client(connection: ClientConnection, frame: Uint8Array): void;
  /** The connection is closed: what it sent and nobody read is not worth reading. */
  forget(connection: ClientConnection): void;
  /** It sent what no correct sender sends. */
  penalise(source: ReplicaId | ClientConnection): void;
  /** Sources in the penalty box. */
  readonly penalised: number;
  /** One turn, facts first. What an item costs is known when the next one is asked for. */
  take(): Iterable<Item>;
}

interface Lane {
  readonly ready: boolean;
  /** The next frame of this turn, if there is one. */
  next(): Frame | undefined;
  begin(): void;
  charge(item: Frame, signatures: number): void;
}

class PeerLane implements Lane {
  readonly source: Source = new Source();
  readonly #share = new Share();

  get ready(): boolean {
    return this.source.ready;
  }

  begin(): void {
    this.#share.begin();
  }

  next(): Frame | undefined {
    const item = this.source.ready ? this.source.queue.peek() : undefined;
    return item !== undefined && this.#share.allows(item) ? this.source.queue.shift() : undefined;
  }

  charge(item: Frame, signatures: number): void {
    this.#share.charge(item, signatures);
    this.source.charge(signatures);
  }
}

class ClientLane implements Lane {
  readonly sources: Map<ClientConnection, Source> = new Map();
  readonly #share = new Share();
  /** Connections with something to read; the first is next. */
  readonly #turns = new Set<ClientConnection>();
  #frames = 0;
  #bytes = 0;

  get ready(): boolean {
    for (const connection of this.#turns) if (this.sources.get(connection)?.ready === true) return true;
    return false;
  }

  /** When the lane is full, the connection that holds most gives way to one that holds less than its share. */
  push(item: Frame & { readonly type: "client" }): boolean {
    const { connection } = item;
    let source = this.sources.get(connection);
    if (source === undefined) this.sources.set(connection, (source = new Source()));
    while (this.#frames > 0 && (this.#frames >= CLIENT_QUEUE_FRAMES_MAX || this.#bytes + item.frame.length > CLIENT_QUEUE_BYTES_MAX)) {
      const largest = this.#largest();
      if (largest === undefined || largest.queue.length <= source.queue.length + 1) return false;
      this.#count(largest.queue.pop(), -1);
    }
    source.queue.push(item, CLIENT_QUEUE_FRAMES_MAX, CLIENT_QUEUE_BYTES_MAX);
    this.#count(item, 1);
    this.#turns.add(connection);
    return true;
  }

  forget(connection: ClientConnection): void {
    const source = this.sources.get(connection);
    if (source === undefined) return;
    for (let item = source.queue.shift(); item !== undefined; item = source.queue.shift()) this.#count(item, -1);
    this.sources.delete(connection);
    this.#turns.delete(connection);
  }

  begin(): void {
    this.#share.begin();
  }

  next(): Frame | undefined {
    for (const connection of this.#turns) {
      const source = this.sources.get(connection);
      const item = source?.ready === true ? source.queue.peek() : undefined;
      if (source === undefined || item === undefined) continue;
      if (!this.#share.allows(item)) return undefined;
      this.#turns.delete(connection);
      this.#count(source.queue.shift(), -1);
      if (source.queue.length > 0) this.#turns.add(connection);
      return item;
    }
    return undefined;
  }

  charge(item: Frame, signatures: number): void {
    this.#share.charge(item, signatures);
    if (item.type === "client") this.sources.get(item.connection)?.charge(signatures);
  }

  #count(item: Frame | undefined, sign: 1 | -1): void {
    if (item === undefined) return;
    this.#frames += sign;
    this.#bytes += sign * item.frame.length;
  }

  #largest(): Source | undefined {
    let largest: Source | undefined;
    for (const source of this.sources.values()) if (largest === undefined || source.queue.length > largest.queue.length) largest = source;
    return largest;
  }
}

export function createInbox(counters: Counters): Inbox {
  let inputs: Item[] = [];
  let tick = 0;
  const peers = new Map<ReplicaId, PeerLane>();
  const clients = new ClientLane();
  const penalised = new Set<Source>();
  const laneOf = (from: ReplicaId): PeerLane => {
    let lane = peers.get(from);
    if (lane === undefined) peers.set(from, (lane = new PeerLane()));
    return lane;
  };
  const onTick = (): void => {
    tick++;
    for (const source of penalised) {
      source.tick(tick);
      if (!source.penalised) penalised.delete(source);
    }
  };
  return {
    get empty() {
      return inputs.length === 0 && !clients.ready && ![...peers.values()].some((lane) => lane.ready);
    },
    get penalised() {
      return penalised.size;
    },
    input(input) {
      if (input.type === "tick") onTick();
      // What is installed is known before anything else happens: a target named in between would be one for a transfer that has ended.
      if (input.type === "transferred") inputs.unshift({ type: "input", input });
      else inputs.push({ type: "input", input });
    },
    peer(from, frame) {
      if (!laneOf(from).source.queue.push({ type: "peer", from, frame }, PEER_QUEUE_FRAMES_MAX, PEER_QUEUE_BYTES_MAX)) counters.inboxDropped++;
    },
    client(connection, frame) {
      if (!clients.push({ type: "client", connection, frame })) counters.inboxDropped++;
    },
    forget(connection) {
      const source = clients.sources.get(connection);
      if (source !== undefined) penalised.delete(source);
      clients.forget(connection);
    },
    penalise(from) {
      const source = typeof from === "number" ? laneOf(from).source : clients.sources.get(from);
      if (source === undefined) return;
      if (!source.penalised) counters.penalties++;
      source.penalise(tick);
      penalised.add(source);
    },
    *take() {
      const facts = inputs;
      inputs = [];
      yield* facts;
      let lanes: Lane[] = [...peers.values(), clients];
      for (const lane of lanes) lane.begin();
      while (lanes.length > 0) {
        const going: Lane[] = [];
        for (const lane of lanes) {
          const item = lane.next();
          if (item === undefined) continue;
          const before = counters.signaturesVerified;
          yield item;
          lane.charge(item, counters.signaturesVerified - before);
          going.push(lane);
        }
        lanes = going;
      }
    },
  };
}
