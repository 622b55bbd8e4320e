/** What a process says of itself, before and after a measurement. */
import type { Counters, ReplicaStatus } from "@narses/replica";

export interface Sample {
  /** User and system time since its start, in microseconds. */
  readonly cpuUs: number;
  readonly rssBytes: number;
}

export interface ReplicaSample extends Sample {
  readonly status: ReplicaStatus;
}

export function sampleProcess(): Sample {
  const { user, system } = process.cpuUsage();
  return { cpuUs: user + system, rssBytes: process.memoryUsage.rss() };
}

/** Frames between replicas without STATUS, which depends on time and not on load. */
export function protocolMessages({ sent }: Counters): number {
  return Object.entries(sent).reduce((sum, [type, count]) => (type === "status" ? sum : sum + count), 0);
}
