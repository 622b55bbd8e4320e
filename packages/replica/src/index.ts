/** @narses/replica: the shell around an ordering engine: verify → step → persist → sign → send; runs the application. */
export { startReplica, type ReplicaOptions, type RunningReplica, type TransportContext } from "./start.ts";
export { defineStateMachine } from "./define.ts";
export { loadCluster, parseCluster, CLUSTER_FILE_BYTES_MAX } from "./cluster-file.ts";
export { loadHome, REPLICA_FILE_BYTES_MAX, type ReplicaHome } from "./home.ts";
export { runReplica, type EngineFactory, type ReplicaParts, type ReplicaStatus, type ReplicaTransport, type RunningCore } from "./replica.ts";
export { createPinoLogger, silentLogger } from "./log.ts";
export { systemClock, type Clock } from "./ticker.ts";
export type { Counters } from "./counters.ts";
