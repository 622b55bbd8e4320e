/** `Transport` and `ClientTransport` of @narses/core over libp2p, and the same in memory for tests. */
import "./polyfill.ts";

export { createTransport, type NetworkTransport, type PeerState, type TransportOptions } from "./transport.ts";
export { createClientTransport, type ClientTransportOptions, type NetworkClientTransport } from "./client-transport.ts";
export { createMemoryNetwork, type MemoryNetwork, type MemoryNetworkOptions } from "./memory.ts";
export { DEFAULT_LIMITS, type NetworkLimits } from "./limits.ts";
export { peerIdOf } from "./members.ts";
export { CLIENT_PROTOCOL, REPLICA_PROTOCOL } from "./hello.ts";
export type { ClientTotals } from "./inbound.ts";
export type { Counters } from "./wire.ts";
