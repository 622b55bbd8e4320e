/**
 * A replica out of its ports, without what a process brings: no files, sockets, pino, prom-client, libp2p, LevelDB. For
 * simulators, which bring their own of everything.
 */
export { defineStateMachine } from "./define.ts";
export { guardDeterminism, type GuardOptions } from "./guard/guard.ts";
export { DeterminismViolation, type Hazard } from "./guard/violation.ts";
export { REJECTION_CODE_LENGTH_MAX } from "./limits.ts";
export { silentLogger } from "./log.ts";
export type { Probe } from "./probe.ts";
export { randomNumbers, slotSeed } from "./random.ts";
export { runReplica, type EngineFactory, type ReplicaParts, type ReplicaTransport, type RunningCore } from "./replica.ts";
export type { Scheduler, Timer } from "./scheduler.ts";
export type { Clock } from "./ticker.ts";
