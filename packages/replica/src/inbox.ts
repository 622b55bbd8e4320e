/**
 * What waits to be read: facts of this replica first, then frames, one queue per peer and one for all clients together,
 * served round-robin. A flood from one source costs the others at most its share of a turn.
 */
import type { ClientConnection, Input, ReplicaId } from "@narses/core";
import type { Counters } from "./counters.ts";
import {
  CLIENT_QUEUE_BYTES_MAX, CLIENT_QUEUE_FRAMES_MAX, PEER_QUEUE_BYTES_MAX, PEER_QUEUE_FRAMES_MAX, TURN_BYTES_PER_SOURCE_MAX, TURN_FRAMES_PER_SOURCE_MAX,
} from "./limits.ts";

export type Item =
  | { readonly type: "input"; readonly input: Input }
  | { readonly type: "peer"; readonly from: ReplicaId; readonly frame: Uint8Array }
  | { readonly type: "client"; readonly connection: ClientConnection; readonly frame: Uint8Array };

type Frame = Extract<Item, { frame: Uint8Array }>;

class Queue {
  readonly #framesMax: number;
  readonly #bytesMax: number;
  #items: Frame[] = [];
  #bytes = 0;

  constructor(framesMax: number, bytesMax: number) {
    this.#framesMax = framesMax;
    this.#bytesMax = bytesMax;
  }

  get empty(): boolean {
    return this.#items.length === 0;
  }

  push(item: Frame): boolean {
    const full = this.#items.length >= this.#framesMax || this.#bytes + item.frame.length > this.#bytesMax;
    if (full && !this.empty) return false;
    this.#items.push(item);
    this.#bytes += item.frame.length;
    return true;
  }

  /** The share of one turn: at least one frame. */
  take(): readonly Frame[] {
    let bytes = 0;
    let end = 0;
    for (const item of this.#items) {
      bytes += item.frame.length;
      if (end > 0 && (end >= TURN_FRAMES_PER_SOURCE_MAX || bytes > TURN_BYTES_PER_SOURCE_MAX)) break;
      end++;
    }
    const taken = this.#items.slice(0, end);
    this.#items = this.#items.slice(end);
    for (const item of taken) this.#bytes -= item.frame.length;
    return taken;
  }

  forget(connection: ClientConnection): void {
    this.#items = this.#items.filter((item) => {
      const gone = item.type === "client" && item.connection === connection;
      if (gone) this.#bytes -= item.frame.length;
      return !gone;
    });
  }
}

export interface Inbox {
  readonly empty: boolean;
  input(input: Input): void;
  /** Frames beyond the bounds of their source are dropped and counted. */
  peer(from: ReplicaId, frame: Uint8Array): void;
  client(connection: ClientConnection, frame: Uint8Array): void;
  /** The connection is closed: what it sent and nobody read is not worth reading. */
  forget(connection: ClientConnection): void;
  /** Everything this turn reads, facts first. */
  take(): readonly Item[];
}

export function createInbox(counters: Counters): Inbox {
  let inputs: Item[] = [];
  const peers = new Map<ReplicaId, Queue>();
  const clients = new Queue(CLIENT_QUEUE_FRAMES_MAX, CLIENT_QUEUE_BYTES_MAX);
  const push = (queue: Queue, item: Frame): void => {
    if (!queue.push(item)) counters.inboxDropped++;
  };
  return {
    get empty() {
      return inputs.length === 0 && clients.empty && [...peers.values()].every((queue) => queue.empty);
    },
    input(input) {
      inputs.push({ type: "input", input });
    },
    peer(from, frame) {
      let queue = peers.get(from);
      if (queue === undefined) peers.set(from, (queue = new Queue(PEER_QUEUE_FRAMES_MAX, PEER_QUEUE_BYTES_MAX)));
      push(queue, { type: "peer", from, frame });
    },
    client: (connection, frame) => push(clients, { type: "client", connection, frame }),
    forget: (connection) => clients.forget(connection),
    take() {
      const items: Item[] = inputs;
      inputs = [];
      const shares = [...peers.values(), clients].map((queue) => queue.take());
      for (let i = 0, left = true; left; i++) {
        left = false;
        for (const share of shares) {
          const item = share[i];
          if (item === undefined) continue;
          items.push(item);
          left = true;
        }
      }
      return items;
    },
  };
}
