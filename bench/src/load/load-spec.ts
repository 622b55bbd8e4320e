/** What a load generator is told, and what it reports. Plain data: it crosses a process boundary. */
import type { ClusterConfig } from "@narses/core";

export interface OpenRequest {
  readonly cluster: ClusterConfig;
  /** Sessions with a key and connections each. */
  readonly clients: number;
  /** Bundles a client may have in flight. */
  readonly bundlesInFlight: number;
}

export interface EtcdRequest {
  /** host:port of the server to load. */
  readonly address: string;
  /** Each with a connection of its own. */
  readonly clients: number;
}

export interface LoadRequest {
  /** Closed: every client keeps `inFlight` units outstanding. Open: units arrive at a fixed rate, answered or not. */
  readonly arrival: { readonly type: "closed"; readonly inFlight: number } | { readonly type: "open"; readonly operationsPerSecond: number };
  /** Operations submitted together, under one signature. */
  readonly unit: number;
  readonly payloadBytes: number;
  readonly durationMs: number;
  /** Ends earlier when so many operations are done. */
  readonly operationsMax?: number;
}

export const TIMELINE_PART_MS = 50;

export interface LoadReport {
  readonly operations: number;
  readonly failed: number;
  /** Arrivals that found the backlog full: the cluster was overloaded. */
  readonly shed: number;
  readonly firstFailure: string | undefined;
  /** From the first arrival to the last answer. */
  readonly seconds: number;
  /** In milliseconds, from the time a unit was due, so that a stalled generator hides nothing. */
  readonly latency: Percentiles;
  /** Longest time without an answer, in milliseconds, between the first and the last arrival. */
  readonly longestGapMs: number;
  readonly retransmissions: number;
  /** Operations answered in each part of TIMELINE_PART_MS since the start. */
  readonly timeline: readonly number[];
}

export interface Percentiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  readonly mean: number;
}

export interface BaselineRequest {
  readonly payloadBytes: number;
  readonly unit: number;
  readonly durationMs: number;
  /** Each unit is appended to a log and synced before it is applied. */
  readonly durable: boolean;
}

export interface BaselineReport {
  readonly operations: number;
  readonly seconds: number;
  readonly cpuUs: number;
}
