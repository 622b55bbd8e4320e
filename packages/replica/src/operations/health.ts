/** Whether a replica can do its part. Pure: a judgement about a status. */
import { TICK_MS, type Parameters } from "@narses/core";
import { lackOf } from "../disk-space.ts";
import { STALLED_MS } from "../limits.ts";
import { seconds } from "./words.ts";
import type { ReplicaStatus } from "./status.ts";

export interface Health {
  readonly replica: number;
  /** Takes part in ordering: its view is active, it executes, its disk has space, and it reaches a quorum. */
  readonly healthy: boolean;
  /** Healthy, caught up, and takes requests: clients may be sent here. */
  readonly ready: boolean;
  /** Why it is not healthy, then why it is not ready; empty when it is both. */
  readonly reasons: readonly string[];
  readonly view: number;
  readonly active: boolean;
  readonly executedSeq: number;
  readonly behind: number;
  /** Replicas it reaches, itself included, and how many it takes. */
  readonly reachable: number;
  readonly quorum: number;
}

export function healthOf(status: ReplicaStatus, parameters: Parameters): Health {
  const { engine, peers, quorum, behind } = status;
  const reachable = 1 + peers.filter(({ connected }) => connected).length;
  const ill = illnesses(status, reachable, parameters);
  const unready: string[] = [];
  if (behind > parameters.checkpointInterval) unready.push(`${behind} slots behind: executed ${status.head.seq}`);
  if (status.pendingBundles >= parameters.pendingBundlesMax) {
    unready.push(`${status.pendingBundles} request bundles wait, the most it holds: more are refused`);
  }
  return {
    replica: status.replica, healthy: ill.length === 0, ready: ill.length === 0 && unready.length === 0, reasons: [...ill, ...unready],
    view: engine.view, active: engine.active, executedSeq: status.head.seq, behind, reachable, quorum,
  };
}

function illnesses({ engine, halted, disk, pendingOldestMs, peers, quorum }: ReplicaStatus, reachable: number, parameters: Parameters): readonly string[] {
  const ill: string[] = [];
  if (disk !== null && disk.frozenMs !== null) ill.push(`frozen, the disk is full: ${lackOf(disk)}`);
  if (halted !== null) ill.push(`halted: ${halted}`);
  if (engine.silence?.cause === "amnesia") ill.push(engine.silence.reason);
  if (reachable < quorum) ill.push(`reaches ${reachable - 1} of ${peers.length} peers, needs ${quorum - 1} for a quorum of ${quorum}`);
  if (!engine.active) ill.push(`view ${engine.view} is not active: a view change is under way`);
  const limitMs = Math.max(STALLED_MS, 4 * parameters.requestTimeoutTicks * TICK_MS);
  if (pendingOldestMs !== null && pendingOldestMs > limitMs) ill.push(`a request waits for ${seconds(pendingOldestMs)}`);
  return ill;
}
