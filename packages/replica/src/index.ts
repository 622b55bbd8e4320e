/** @narses/replica: the shell around an ordering engine: verify → step → persist → sign → send; runs the application. */
export { startReplica, type ReplicaOptions, type RunningReplica, type TransportContext } from "./start.ts";
export { defineStateMachine } from "./define.ts";
export { loadCluster, parseCluster, CLUSTER_FILE_BYTES_MAX } from "./cluster-file.ts";
export { loadHome, loadHomeFiles, REPLICA_FILE_BYTES_MAX, type HomeFiles, type ReplicaHome } from "./home.ts";
export { runReplica, type EngineFactory, type ReplicaParts, type ReplicaTransport, type RunningCore } from "./replica.ts";
export { silentLogger } from "./log.ts";
export { createPinoLogger } from "./pino-logger.ts";
export type { Probe } from "./probe.ts";
export { systemScheduler, type Scheduler, type Timer } from "./scheduler.ts";
export { systemClock, type Clock } from "./ticker.ts";
export type { Counters } from "./counters.ts";
export type { PeerStatus, ReplicaStatus } from "./operations/status.ts";
export type { Health } from "./operations/health.ts";
export type { ProblemIncident, RejectionIncident } from "./operations/incidents.ts";
export type { MissingVote, OpenSlot, ReportedPeer, WaitingClient, WhyReport } from "./operations/why.ts";
export { parseWhyReport, renderWhy } from "./operations/why-page.ts";
export { inspectHome, whyStopped, type StoppedReplica } from "./operations/offline-why.ts";
export type { InspectedRecord, LogDamage, LogInspection } from "./operations/log-inspection.ts";
