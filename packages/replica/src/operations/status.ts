/** What a replica says of itself, as plain data: the answer to `status`, and the ground for `why`, health and metrics. */
import {
  quorums, type BlockGap, type BlockStore, type ClusterConfig, type Digest, type EngineStatus, type OrderingEngine, type ReplicaId, type SeqNum, type StateStore,
} from "@narses/core";
import type { PeerState } from "@narses/network";
import type { Assembly } from "../assembly.ts";
import type { ClientConnections } from "../client-connections.ts";
import type { Counters } from "../counters.ts";
import type { DiskSpace, DiskStatus } from "../disk-space.ts";
import type { Execution } from "../execution.ts";
import type { Executor } from "../executor.ts";
import type { PendingBundles } from "../pending.ts";
import type { Backfill, BackfillStatus } from "../transfer/backfill.ts";
import type { Transfer, TransferReport, TransferStatus } from "../transfer/transfer.ts";

export interface PeerStatus {
  readonly replica: ReplicaId;
  readonly connected: boolean;
  /** Why it is not connected, as far as the transport knows. */
  readonly problem: string | null;
  /** What it claimed to have executed in its last STATUS, which may be a second old; null before it said anything. */
  readonly executedSeq: SeqNum | null;
  /** Slots that is behind this replica; negative when it is ahead. */
  readonly lag: number | null;
  /** Since its last frame. */
  readonly silentMs: number | null;
  readonly queuedBytes: number;
  /** Frames for it that were dropped. */
  readonly dropped: number;
}

/** Plain data, as the control call `status` sends it. */
export interface ReplicaStatus {
  readonly replica: ReplicaId;
  readonly cluster: string;
  readonly clusterId: Digest;
  readonly epoch: number;
  /** Replicas of the cluster, and faults it tolerates. */
  readonly n: number;
  readonly f: number;
  /** Replicas, this one included, that it takes to decide anything. */
  readonly quorum: number;
  readonly uptimeMs: number;
  readonly engine: EngineStatus & { readonly name: string };
  readonly head: { readonly seq: SeqNum; readonly block: Digest; readonly stateRoot: Digest; readonly timestampMs: number };
  /** Slot up to which the state on disk reaches. */
  readonly durableSeq: SeqNum;
  /** Slots this replica is behind what at least one correct replica has executed, as far as peers say. */
  readonly behind: number;
  /** Why nothing is executed; null when all is well. */
  readonly halted: string | null;
  /** Space on the disk, and whether the replica waits for more; null: unknown. */
  readonly disk: DiskStatus | null;
  /** The state transfer that goes on. */
  readonly transfer: TransferStatus | null;
  /** The last one that ended, since the start of the process. */
  readonly lastTransfer: TransferReport | null;
  /** Blocks that this replica does not have, and how far they are fetched, highest first. */
  readonly blockGaps: readonly BlockGap[];
  readonly backfill: BackfillStatus | null;
  readonly peers: readonly PeerStatus[];
  readonly clients: number;
  readonly pendingBundles: number;
  readonly pendingBytes: number;
  /** How long the oldest waiting bundle waits; null when none does. */
  readonly pendingOldestMs: number | null;
  /** Proposals that wait here for large bundles that they name, the lowest slots first, and the bytes of those that are here. */
  readonly proposalsAwaited: readonly { readonly seq: number; readonly missing: number; readonly of: number }[];
  readonly proposalsAwaitedBytes: number;
  readonly counters: Counters;
}

export interface StatusSources {
  readonly self: ReplicaId;
  readonly cluster: ClusterConfig;
  readonly clusterId: Digest;
  readonly engine: OrderingEngine;
  readonly executor: Executor;
  readonly execution: Pick<Execution, "halted">;
  readonly transfer: Pick<Transfer, "status" | "last">;
  readonly backfill: Pick<Backfill, "status">;
  readonly blocks: Pick<BlockStore, "gaps">;
  readonly state: Pick<StateStore, "durableSeq">;
  readonly diskSpace: Pick<DiskSpace, "status">;
  readonly connections: ClientConnections;
  readonly pending: PendingBundles;
  readonly assembly: Pick<Assembly, "waiting" | "bytes">;
  readonly counters: Counters;
  readonly peerStates: () => readonly PeerState[];
  readonly connected: ReadonlySet<ReplicaId>;
  /** When each peer was last heard of. */
  readonly heardMs: ReadonlyMap<ReplicaId, number>;
  readonly startedMs: number;
  readonly nowMs: () => number;
}

export function statusOf(sources: StatusSources): ReplicaStatus {
  const { self, cluster, clusterId, engine, executor, execution, transfer, backfill, blocks, state, diskSpace, connections, pending, assembly, counters } = sources;
  const { nowMs, startedMs } = sources;
  const { n, f, strong } = quorums(cluster.replicas.length, cluster.f);
  const { header, hash } = executor.head;
  const engineStatus = engine.status();
  const peers = peersOf(sources, engineStatus, header.seq);
  const oldestMs = pending.oldestMs;
  return {
    replica: self, cluster: cluster.name, clusterId, epoch: cluster.epoch, n, f, quorum: strong, uptimeMs: Math.round(nowMs() - startedMs),
    engine: { name: engine.name, ...engineStatus },
    head: { seq: header.seq, block: hash, stateRoot: header.stateRoot, timestampMs: header.timestampMs },
    durableSeq: state.durableSeq,
    behind: behindOf(peers, f, header.seq),
    halted: execution.halted?.reason ?? null,
    disk: diskSpace.status,
    transfer: transfer.status ?? null,
    lastTransfer: transfer.last ?? null,
    blockGaps: blocks.gaps,
    backfill: backfill.status ?? null,
    peers,
    clients: connections.size,
    pendingBundles: pending.size, pendingBytes: pending.bytes, pendingOldestMs: oldestMs === undefined ? null : Math.round(oldestMs),
    proposalsAwaited: assembly.waiting, proposalsAwaitedBytes: assembly.bytes,
    counters: structuredClone(counters),
  };
}

function peersOf({ self, cluster, connected, heardMs, nowMs, peerStates }: StatusSources, engine: EngineStatus, head: number): readonly PeerStatus[] {
  const states = new Map(peerStates().map((state) => [state.replica, state]));
  const claims = new Map(engine.peers?.map((peer) => [peer.replica, peer.executedSeq]));
  return cluster.replicas.filter(({ id }) => id !== self).map(({ id }) => {
    const state = states.get(id);
    const heard = heardMs.get(id);
    const executedSeq = heard === undefined ? null : (claims.get(id) ?? null);
    const up = connected.has(id);
    return {
      replica: id, connected: up, problem: up ? null : (state?.problem ?? null), executedSeq, lag: executedSeq === null ? null : head - executedSeq,
      silentMs: heard === undefined ? null : Math.round(nowMs() - heard), queuedBytes: state?.queuedBytes ?? 0, dropped: state?.dropped ?? 0,
    };
  });
}

/** f peers may claim anything: what f+1 of them claim to have executed, a correct one has. */
function behindOf(peers: readonly PeerStatus[], f: number, head: number): number {
  const claims = peers.flatMap(({ executedSeq }) => (executedSeq === null ? [] : [Number(executedSeq)])).sort((a, b) => b - a);
  return Math.max(0, (claims[f] ?? 0) - head);
}
