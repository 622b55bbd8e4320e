/** What a node with a whole replica needs of the world around it, and what it is made from. */
import type { Block, Effect, Input, PeerMessage, ReplicaId, Signed, SignedBody } from "@narses/core";
import type { ReplicaParts } from "@narses/replica/core";
import type { Head, NodeIdentity, SimNode, WatchedDisk, WatchedLog } from "./node.ts";
import type { ReplicaNode } from "./replica-node.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Violation } from "./violation.ts";

/** What a node needs of the world. */
export interface ReplicaNodeWorld {
  readonly scheduler: Scheduler;
  readonly parts: Omit<ReplicaParts, "self" | "signingKey" | "engine" | "log" | "state" | "blocks" | "transport" | "clock" | "scheduler" | "probe" | "mustExist" | "memory" |
    "onOpened">;
  /** What really leaves in place of a frame: a Byzantine replica's policies may change it. */
  outgoing(from: ReplicaNode, to: ReplicaId, frame: Uint8Array): readonly OutgoingFrame[];
  transmit(from: ReplicaNode, to: ReplicaId, frame: Uint8Array): void;
  /** Everything transmitted leaves. */
  flush(from: ReplicaNode): void;
  /** Its process is gone, with its sockets. */
  onDown(node: ReplicaNode): void;
  /** Undefined for what bytes cannot say. */
  encode(message: PeerMessage): Uint8Array | undefined;
  note(node: SimNode, text: string): void;
  onInput(node: SimNode, input: Input): void;
  onEffect(node: SimNode, effect: Effect): void;
  onSigned(node: SimNode, signed: Signed<SignedBody>): void;
  onBlock(node: ReplicaNode, block: Block, hash: Head["head"]): void;
  /** The stores are open and the engine is made; nothing was said yet. */
  onStart(node: ReplicaNode, disk: WatchedDisk): void;
  /** It takes frames. */
  onListening(node: ReplicaNode): void;
  onTurn(node: ReplicaNode, disk: WatchedLog): void;
  /** The process ended by itself. */
  onExit(node: ReplicaNode): void;
  fail(violation: Violation): void;
}

export interface OutgoingFrame {
  readonly to: ReplicaId;
  readonly frame: Uint8Array;
}

export interface ReplicaNodeOptions extends NodeIdentity {
  readonly signingKey: ReplicaParts["signingKey"];
  readonly clockOffsetMs: number;
  /** Own seconds per true second. */
  readonly clockRate: number;
  /** Mean time of a sync of the log, of executing a slot, and of a write of the state. */
  readonly syncMeanUs: number;
  readonly executionMeanUs: number;
  readonly checkpointMeanUs: number;
  /** log2 of the number of pages of the state. */
  readonly bucketBits: number;
}
