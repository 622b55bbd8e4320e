/**
 * Prometheus metrics of one replica. The hot path only adds to plain numbers ({@link Counters}, {@link Measures}); all of
 * this runs when somebody scrapes. Metrics of the process are its own, shared by all replicas in it.
 */
import { collectDefaultMetrics, Counter, Gauge, Registry } from "prom-client";
import { REJECTION_CODES, type Parameters } from "@narses/core";
import type { Distribution, Measures } from "./distribution.ts";
import { healthOf } from "./health.ts";
import type { ReplicaStatus } from "./status.ts";

export interface MetricsSources {
  readonly status: () => ReplicaStatus;
  readonly parameters: Parameters;
  readonly measures: Measures;
  /** Size of the vote log, if it tells. */
  readonly logBytes: () => number | undefined;
}

export interface Metrics {
  readonly contentType: string;
  /** The text exposition. */
  render(): Promise<string>;
}

/** Observers of the event loop and of garbage collection cannot be taken down: they are made once, when first wanted. */
let ofProcess: Registry | undefined;

function processMetrics(): Registry {
  if (ofProcess === undefined) {
    ofProcess = new Registry();
    collectDefaultMetrics({ register: ofProcess });
  }
  return ofProcess;
}

type Labels = Readonly<Record<string, string | number>>;
type Sample = readonly [labels: Labels, value: number];
type Read = (status: ReplicaStatus) => number | readonly Sample[];

interface Family {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
  readonly read: Read;
}

export function createMetrics(sources: MetricsSources): Metrics {
  const registry = new Registry();
  const own = processMetrics();
  let status: ReplicaStatus | undefined;
  // One status for all families of a scrape: it is a snapshot.
  const samples = (read: Read): readonly Sample[] => {
    const values = read((status ??= sources.status()));
    return typeof values === "number" ? [[{}, values]] : values;
  };
  for (const { name, help, labels = [], read } of gauges(sources)) {
    new Gauge({
      name, help, labelNames: labels, registers: [registry],
      collect() {
        this.reset();
        for (const [of, value] of samples(read)) this.set({ ...of }, value);
      },
    });
  }
  for (const { name, help, labels = [], read } of COUNTERS) {
    new Counter({
      name, help, labelNames: labels, registers: [registry],
      collect() {
        this.reset();
        for (const [of, value] of samples(read)) this.inc({ ...of }, value);
      },
    });
  }
  return {
    contentType: registry.contentType,
    async render() {
      status = undefined;
      const texts = [await registry.metrics(), ...histograms(sources.measures), await own.metrics()];
      return texts.join("\n");
    },
  };
}

const table = (label: string, counts: Readonly<Record<string, number | undefined>>): readonly Sample[] =>
  Object.entries(counts).map(([key, value]) => [{ [label]: key }, value ?? 0]);

const bit = (value: boolean): number => (value ? 1 : 0);

const gauges = ({ parameters, logBytes }: MetricsSources): readonly Family[] => [
  {
    name: "narses_info", help: "Who this is; always 1.", labels: ["replica", "cluster", "cluster_id", "engine"],
    read: (s) => [[{ replica: s.replica, cluster: s.cluster, cluster_id: s.clusterId, engine: s.engine.name }, 1]],
  },
  { name: "narses_healthy", help: "1 if the replica can take part in ordering (as /health says).", read: (s) => bit(healthOf(s, parameters).healthy) },
  { name: "narses_ready", help: "1 if clients may be sent here (as /ready says).", read: (s) => bit(healthOf(s, parameters).ready) },
  { name: "narses_halted", help: "1 if the state diverged and nothing is executed any more.", read: (s) => bit(s.halted !== null) },
  { name: "narses_view", help: "Current view.", read: (s) => s.engine.view },
  { name: "narses_view_active", help: "0 while a view change is under way.", read: (s) => bit(s.engine.active) },
  { name: "narses_is_primary", help: "1 if this replica is the primary of its view.", read: (s) => bit(s.engine.primary === s.replica) },
  { name: "narses_executed_seq", help: "Last executed slot.", read: (s) => s.head.seq },
  { name: "narses_stable_seq", help: "Last stable checkpoint: the low watermark.", read: (s) => s.engine.stableSeq },
  { name: "narses_high_watermark_seq", help: "No slot above it is accepted.", read: (s) => s.engine.highWatermark },
  { name: "narses_durable_seq", help: "Slot up to which the state on disk reaches.", read: (s) => s.durableSeq },
  { name: "narses_behind_slots", help: "Slots behind what at least one correct replica has executed.", read: (s) => s.behind },
  { name: "narses_open_slots", help: "Slots proposed or decided and not executed.", read: (s) => s.engine.openSlots },
  { name: "narses_pending_bundles", help: "Client bundles waiting to be executed.", read: (s) => s.pendingBundles },
  { name: "narses_pending_bytes", help: "Bytes of the same.", read: (s) => s.pendingBytes },
  { name: "narses_pending_oldest_seconds", help: "How long the oldest of them waits; 0 without any.", read: (s) => (s.pendingOldestMs ?? 0) / 1_000 },
  { name: "narses_client_connections", help: "Client connections that asked for something.", read: (s) => s.clients },
  { name: "narses_wal_bytes", help: "Segment files of the vote log.", read: () => logBytes() ?? [] },
  { name: "narses_uptime_seconds", help: "Since the replica started.", read: (s) => s.uptimeMs / 1_000 },
  ...PEER_GAUGES,
];

const perPeer = (value: (peer: ReplicaStatus["peers"][number]) => number | null): Read =>
  (s) => s.peers.flatMap((peer): Sample[] => {
    const read = value(peer);
    return read === null ? [] : [[{ peer: peer.replica }, read]];
  });

const PEER_GAUGES: readonly Family[] = [
  { name: "narses_peer_connected", help: "1 if the connection to the peer works in both directions.", labels: ["peer"], read: perPeer((p) => bit(p.connected)) },
  { name: "narses_peer_lag_slots", help: "Slots the peer is behind this replica by its last STATUS, up to a second old; negative: ahead.", labels: ["peer"], read: perPeer((p) => p.lag) },
  { name: "narses_peer_silent_seconds", help: "Since the last frame of the peer.", labels: ["peer"], read: perPeer((p) => (p.silentMs === null ? null : p.silentMs / 1_000)) },
  { name: "narses_peer_queued_bytes", help: "Bytes queued for the peer.", labels: ["peer"], read: perPeer((p) => p.queuedBytes) },
];

/** Every code from the start: a series that appears late has no rate. */
const NONE_REJECTED: Readonly<Record<string, number>> = Object.fromEntries(Object.keys(REJECTION_CODES).map((code) => [code, 0]));

const COUNTERS: readonly Family[] = [
  { name: "narses_messages_sent_total", help: "Protocol messages handed to the network, one per receiver.", labels: ["type"], read: (s) => table("type", s.counters.sent) },
  { name: "narses_messages_received_total", help: "Protocol messages that decoded.", labels: ["type"], read: (s) => table("type", s.counters.received) },
  { name: "narses_rejected_total", help: "Messages rejected, by code.", labels: ["code"], read: (s) => table("code", { ...NONE_REJECTED, ...s.counters.rejected }) },
  { name: "narses_refused_total", help: "Client bundles refused, by code.", labels: ["code"], read: (s) => table("code", s.counters.refused) },
  { name: "narses_sent_bytes_total", help: "Bytes of protocol messages sent.", read: (s) => s.counters.bytesSent },
  { name: "narses_received_bytes_total", help: "Bytes of frames received, of peers and clients.", read: (s) => s.counters.bytesReceived },
  { name: "narses_sends_dropped_total", help: "Frames the transport did not take: not connected, or queue full.", read: (s) => s.counters.sendsDropped },
  { name: "narses_peer_dropped_frames_total", help: "Frames for the peer dropped.", labels: ["peer"], read: perPeer((p) => p.dropped) },
  { name: "narses_inbox_dropped_total", help: "Frames dropped unread: too many waited.", read: (s) => s.counters.inboxDropped },
  { name: "narses_turns_total", help: "Turns of the loop.", read: (s) => s.counters.turns },
  { name: "narses_view_changes_total", help: "Views left.", read: (s) => s.counters.viewChanges },
  { name: "narses_checkpoints_total", help: "Checkpoints made durable.", read: (s) => s.counters.checkpoints },
  { name: "narses_signatures_made_total", help: "Signatures made.", read: (s) => s.counters.signaturesMade },
  { name: "narses_signatures_verified_total", help: "Signatures verified.", read: (s) => s.counters.signaturesVerified },
  { name: "narses_signatures_cached_total", help: "Verifications spared: the same bytes were verified before.", read: (s) => s.counters.signaturesCached },
  { name: "narses_wal_records_total", help: "Records written to the vote log.", read: (s) => s.counters.records },
  { name: "narses_slots_executed_total", help: "Slots executed, replays after a restart included.", read: (s) => s.counters.slotsExecuted },
  { name: "narses_operations_executed_total", help: "Operations executed.", read: (s) => s.counters.operationsExecuted },
  { name: "narses_bundles_admitted_total", help: "Client bundles taken in for ordering.", read: (s) => s.counters.bundlesAdmitted },
  { name: "narses_replies_sent_total", help: "Replies to clients, resent ones excluded.", read: (s) => s.counters.repliesSent },
  { name: "narses_replies_resent_total", help: "Replies rebuilt from the block store.", read: (s) => s.counters.repliesResent },
  { name: "narses_control_calls_total", help: "Control calls.", read: (s) => s.counters.calls },
];

function histograms({ fsyncSeconds, executionSeconds, batchOperations }: Measures): readonly string[] {
  return [
    histogram("narses_wal_fsync_seconds", "Waits for the disk of the vote log.", fsyncSeconds),
    histogram("narses_execution_seconds", "Execution of one slot.", executionSeconds),
    histogram("narses_batch_operations", "Operations of an executed slot.", batchOperations),
  ];
}

/** The library's histogram observes with labels and hashes; ours is a few numbers, so the text is made here. */
function histogram(name: string, help: string, { bounds, counts, sum }: Distribution): string {
  let total = 0;
  const buckets = [...counts].map((count, i) => {
    total += count;
    return `${name}_bucket{le="${bounds[i] ?? "+Inf"}"} ${total}`;
  });
  return [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`, ...buckets, `${name}_sum ${sum}`, `${name}_count ${total}`, ""].join("\n");
}
