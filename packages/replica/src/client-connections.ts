/**
 * Which connections get a client's replies. A client sends a bundle to the primary alone, but needs the answers of W
 * replicas: so every replica remembers over which connections a client spoke. A connection is proven when it brought a bundle
 * whose signature was checked when it was admitted: bundles are public, so naming a client (control call `session`) and repeating
 * what is known here prove nothing. What is unproven takes free places only; what is proven takes that of an unproven one, then of
 * the proven one whose last new bundle is oldest.
 */
import type { ClientConnection, ClientId } from "@narses/core";
import { CLIENT_OFFENCES_MAX, CLIENTS_PER_CONNECTION_MAX, CONNECTIONS_PER_CLIENT_MAX } from "./limits.ts";

interface State {
  readonly clients: Set<ClientId>;
  offences: number;
}

export class ClientConnections {
  readonly #onOffence: (connection: ClientConnection) => void;
  readonly #byClient = new Map<ClientId, Map<ClientConnection, { readonly proven: boolean }>>();
  readonly #byConnection = new Map<ClientConnection, State>();

  constructor(onOffence: (connection: ClientConnection) => void = () => undefined) {
    this.#onOffence = onOffence;
  }

  get size(): number {
    return this.#byConnection.size;
  }

  of(client: ClientId): readonly ClientConnection[] {
    return [...(this.#byClient.get(client)?.keys() ?? [])];
  }

  attach(connection: ClientConnection, client: ClientId, proven: boolean): void {
    let connections = this.#byClient.get(client);
    if (connections?.has(connection) === true) {
      if (!proven) return;
      // The last in order is the one that brought the newest bundle.
      connections.delete(connection);
      connections.set(connection, { proven });
      return;
    }
    if (connections !== undefined && connections.size >= CONNECTIONS_PER_CLIENT_MAX) {
      if (!proven) return;
      const unproven = [...connections].find(([, state]) => !state.proven)?.[0];
      const oldest = unproven ?? [...connections.keys()][0];
      if (oldest === undefined) return;
      this.#detach(oldest, client);
      connections = this.#byClient.get(client);
    }
    if (connections === undefined) this.#byClient.set(client, (connections = new Map()));
    connections.set(connection, { proven });
    const { clients } = this.#state(connection);
    clients.add(client);
    if (clients.size > CLIENTS_PER_CONNECTION_MAX) for (const first of clients) return this.#detach(connection, first);
  }

  /** The connection is closed. */
  forget(connection: ClientConnection): void {
    for (const client of this.#byConnection.get(connection)?.clients ?? []) this.#detach(connection, client);
    this.#byConnection.delete(connection);
  }

  /** It sent what no correct client sends. */
  offence(connection: ClientConnection): void {
    this.#state(connection).offences++;
    this.#onOffence(connection);
  }

  /** Too many offences: not worth reading. */
  isMuted(connection: ClientConnection): boolean {
    return (this.#byConnection.get(connection)?.offences ?? 0) >= CLIENT_OFFENCES_MAX;
  }

  #state(connection: ClientConnection): State {
    let state = this.#byConnection.get(connection);
    if (state === undefined) this.#byConnection.set(connection, (state = { clients: new Set(), offences: 0 }));
    return state;
  }

  #detach(connection: ClientConnection, client: ClientId): void {
    const connections = this.#byClient.get(client);
    connections?.delete(connection);
    if (connections?.size === 0) this.#byClient.delete(client);
    this.#byConnection.get(connection)?.clients.delete(client);
  }
}
