import { ConnectedClient, type Client } from "./client.ts";
import { createMembership } from "./membership.ts";
import { resolveOptions, type ConnectOptions } from "./options.ts";

/**
 * Connects to a cluster and resolves when Q replicas (or `replicasNeeded`) are connected and the session's next request id
 * is known.
 * @throws NarsesError CONFIG_INVALID or KEY_INVALID for a wrong cluster file or a key it does not admit, NOT_CONNECTED naming
 * the replicas not reached, TIMEOUT when they do not tell the session's state; RangeError or TypeError for a wrong option;
 * `signal.reason` when aborted.
 */
export async function connect(options: ConnectOptions): Promise<Client> {
  const membership = createMembership(options.cluster);
  for (const replica of membership.replicas) membership.keyOf(replica);
  const client = new ConnectedClient(membership, resolveOptions(options, membership.quorums));
  await client.open(options.signal);
  return client;
}
