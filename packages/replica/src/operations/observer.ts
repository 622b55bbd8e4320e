/** Watches one replica: what status, `why`, health and metrics are made from. Decides nothing. */
import type { Parameters, ReplicaId } from "@narses/core";
import { WAITING_CLIENTS_SHOWN_MAX } from "../limits.ts";
import type { Measures } from "./distribution.ts";
import { healthOf, type Health } from "./health.ts";
import type { Incidents } from "./incidents.ts";
import type { Metrics, MetricsSources } from "./metrics.ts";
import { statusOf, type ReplicaStatus, type StatusSources } from "./status.ts";
import { whyOf, type WhyReport } from "./why.ts";

export interface Observer {
  status(): ReplicaStatus;
  /** What it waits for, and from whom. */
  why(): WhyReport;
  health(): Health;
  /** Made when first asked for; from then on the process is measured too. */
  metrics(): Metrics;
}

export interface ObserverInputs {
  /** A frame of this peer came. */
  heard(from: ReplicaId): void;
  peer(replica: ReplicaId, connected: boolean): void;
}

export interface ObserverOptions extends Omit<StatusSources, "connected" | "heardMs" | "startedMs"> {
  readonly parameters: Parameters;
  readonly incidents: Incidents;
  readonly measures: Measures;
  /** It has begun to stop, or broke. */
  readonly stopped: () => boolean;
  /** Size of the vote log, if it tells. */
  readonly logBytes: () => number | undefined;
}

export function createObserver(options: ObserverOptions): Observer & ObserverInputs {
  const { incidents, measures, parameters, pending, logBytes, nowMs } = options;
  const connected = new Set<ReplicaId>();
  const heardMs = new Map<ReplicaId, number>();
  const sources: StatusSources = { ...options, connected, heardMs, startedMs: nowMs() };
  const status = (): ReplicaStatus => statusOf(sources);
  let metrics: Metrics | undefined;
  return {
    status,
    why: () => whyOf({
      status: status(), source: "live", clients: pending.clients(WAITING_CLIENTS_SHOWN_MAX),
      rejections: incidents.rejections(), problems: incidents.problems(),
    }),
    health: () => {
      const health = healthOf(status(), parameters);
      return options.stopped() ? { ...health, healthy: false, ready: false, reasons: ["this replica stops", ...health.reasons] } : health;
    },
    metrics: () => (metrics ??= lazyMetrics({ status, parameters, measures, logBytes })),
    heard: (from) => void heardMs.set(from, nowMs()),
    peer(replica, up) {
      if (up) connected.add(replica);
      else connected.delete(replica);
    },
  };
}

/** Of the Prometheus text exposition, version 0.0.4. */
const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** prom-client is loaded by who asks for metrics, not by every replica. */
function lazyMetrics(sources: MetricsSources): Metrics {
  const loading = import("./metrics.ts").then(({ createMetrics }) => createMetrics(sources));
  return { contentType: CONTENT_TYPE, render: async () => (await loading).render() };
}
