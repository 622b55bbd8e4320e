/**
 * One node of a simulated cluster, whatever runs in it: a whole replica (`replica-node`) or an engine in a small shell
 * (`engine-node`). Two nodes with one replica id are twins. Everything a node does happens in events of the scheduler.
 */
import type { Digest, EngineConfig, EngineStatus, LogRecord, ReplicaId, SeqNum, Signer } from "@narses/core";
import type { Policy } from "./adversaries/policy.ts";
import type { Fault } from "./budget.ts";
import type { MachineClock } from "./clocks/machine-clock.ts";
import type { CrashKind } from "./disk.ts";
import type { ReplicaDisk } from "./disks/replica-disk.ts";

/** Wall time at the start of every run, Unix milliseconds. */
export const EPOCH_MS = 1_700_000_000_000;

export interface NodeIdentity {
  /** Place among the nodes, and network endpoint. */
  readonly index: number;
  readonly id: ReplicaId;
  readonly name: string;
  readonly byzantine: boolean;
  readonly fault: Fault;
  readonly config: EngineConfig;
  readonly signer: Signer;
}

/** How much a vote log holds. */
export interface WatchedLog {
  readonly records: { readonly length: number };
}

/** What a replica's disk gave back when it was started, as far as oracles care. */
export interface WatchedDisk extends WatchedLog {
  readonly records: readonly LogRecord[];
  /** The durable state. */
  readonly snapshot: { readonly seq: SeqNum };
}

/** What a node has executed. */
export interface Head {
  readonly seq: SeqNum;
  /** Hash of that block. */
  readonly head: Digest;
}

/** The parts of a machine that can break. */
export interface Machine {
  readonly disk: Pick<ReplicaDisk, "health" | "damage" | "backUp" | "restore" | "truncate">;
  readonly clock: MachineClock;
}

export interface SimNode {
  readonly options: NodeIdentity;
  readonly id: ReplicaId;
  readonly name: string;
  readonly byzantine: boolean;
  readonly policies: Policy[];
  readonly up: boolean;
  readonly paused: boolean;
  /** Die in the middle of the next turn that does something. */
  armed: CrashKind | undefined;
  /** Undefined while down. */
  readonly head: Head | undefined;
  /** What the machine it runs on may suffer; undefined for a node that has none. */
  readonly machine: Machine | undefined;
  /** Undefined while down. */
  status(): EngineStatus | undefined;
  /** Starts, or restarts from what its disk holds. */
  start(): void;
  /** Dies now. */
  crash(kind: CrashKind): void;
  /** A new, empty disk in the place of its own; it will be started to rejoin. While down only. */
  wipe(): void;
  pause(): void;
  resume(): void;
}
