/** The connections to the replicas, as the transport reports them. */
import type { ClientTransport, ReplicaId } from "@narses/core";

export class Links {
  readonly #transport: ClientTransport;
  readonly #replicas: readonly ReplicaId[];
  readonly #connected = new Set<ReplicaId>();

  constructor(transport: ClientTransport, replicas: readonly ReplicaId[]) {
    this.#transport = transport;
    this.#replicas = replicas;
  }

  /** Records a change; false when the transport only repeats itself. */
  change(replica: ReplicaId, connected: boolean): boolean {
    if (this.#connected.has(replica) === connected) return false;
    if (connected) this.#connected.add(replica);
    else this.#connected.delete(replica);
    return true;
  }

  isMember(replica: ReplicaId): boolean {
    return this.#replicas[replica] === replica;
  }

  isConnected(replica: ReplicaId): boolean {
    return this.#connected.has(replica);
  }

  /** Ascending. */
  get connected(): readonly ReplicaId[] {
    return this.#replicas.filter((replica) => this.#connected.has(replica));
  }

  /** Ascending. */
  get missing(): readonly ReplicaId[] {
    return this.#replicas.filter((replica) => !this.#connected.has(replica));
  }

  /** False when not connected, or when the transport dropped the frame. */
  send(to: ReplicaId, frame: Uint8Array): boolean {
    return this.#connected.has(to) && this.#transport.send(to, frame);
  }

  sendToAll(frame: Uint8Array): void {
    for (const replica of this.connected) this.#transport.send(replica, frame);
  }
}
