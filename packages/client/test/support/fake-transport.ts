import { replicaId, type ClientTransport, type ReplicaId } from "@narses/core";

type Handlers = Parameters<ClientTransport["start"]>[0];

/** Connections that the test opens and closes; frames reach the peer at the end of the turn, as on a real transport. */
export class FakeTransport implements ClientTransport {
  /** Every frame the client sent, in order. */
  readonly sent: { readonly to: ReplicaId; readonly frame: Uint8Array }[] = [];
  /** Connected when `start` is called. */
  readonly connected: Set<ReplicaId>;
  stops = 0;
  #handlers: Handlers | undefined;
  readonly #peer: (to: ReplicaId, frame: Uint8Array) => void;

  constructor(n: number, peer: (to: ReplicaId, frame: Uint8Array) => void) {
    this.connected = new Set(Array.from({ length: n }, (_, i) => replicaId(i)));
    this.#peer = peer;
  }

  async start(handlers: Handlers): Promise<void> {
    this.#handlers = handlers;
    for (const replica of this.connected) handlers.onReplica(replica, true);
  }

  send(to: ReplicaId, frame: Uint8Array): boolean {
    if (!this.connected.has(to)) return false;
    this.sent.push({ to, frame });
    queueMicrotask(() => this.#peer(to, frame));
    return true;
  }

  async stop(): Promise<void> {
    this.stops++;
    this.#handlers = undefined;
  }

  /** A frame from a replica, now. */
  receive(from: ReplicaId, frame: Uint8Array): void {
    this.#handlers?.onFrame(from, frame);
  }

  connect(id: number): void {
    const replica = replicaId(id);
    this.connected.add(replica);
    this.#handlers?.onReplica(replica, true);
  }

  disconnect(id: number): void {
    const replica = replicaId(id);
    this.connected.delete(replica);
    this.#handlers?.onReplica(replica, false);
  }
}
