/**
 * Prometheus metrics of one replica. The hot path only adds to plain numbers ({@link Counters}, {@link Measures}); all of
 * this runs when somebody scrapes. Metrics of the process are its own, shared by all replicas in it.
 */
import { collectDefaultMetrics, Counter, Gauge, Registry } from "prom-client";
import { REJECTION_CODES, type Parameters } from "@narses/core";
import type { Counters } from "../counters.ts";
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

const bit = (value: boolean): number => (value ? 1 : 0);

const gauges = ({ parameters, logBytes }: MetricsSources): readonly Family[] => [
  {
    name: "narses_info", help: "Who this is; always 1.", labels: ["replica", "cluster", "cluster_id", "engine"],
    read: (s) => [[{ replica: s.replica, cluster: s.cluster, cluster_id: s.clusterId, engine: s.engine.name }, 1]],
  },
  { name: "narses_healthy", help: "1 if the replica can take part in ordering (as /health says).", read: (s) => bit(healthOf(s, parameters).healthy) },
  { name: "narses_ready", help: "1 if clients may be sent here (as /ready says).", read: (s) => bit(healthOf(s, parameters).ready) },
  { name: "narses_halted", help: "1 if nothing is executed: the state diverged, or is being replaced.", read: (s) => bit(s.halted !== null) },
  { name: "narses_silent", help: "1 if it does not vote: it asks what it said before its start, or does not remember it.", read: (s) => bit(s.engine.silence !== undefined) },
  { name: "narses_disk_frozen", help: "1 while the disk is full: it neither votes nor executes.", read: (s) => bit(s.disk !== null && s.disk.frozenMs !== null) },
  { name: "narses_disk_free_bytes", help: "Free on the file system of the data directory; absent when unknown.", read: (s) => s.disk?.freeBytes ?? [] },
  { name: "narses_view", help: "Current view.", read: (s) => s.engine.view },
  { name: "narses_view_active", help: "0 while a view change is under way.", read: (s) => bit(s.engine.active) },
  { name: "narses_is_primary", help: "1 if this replica is the primary of its view.", read: (s) => bit(s.engine.primary === s.replica) },
  { name: "narses_executed_seq", help: "Last executed slot.", read: (s) => s.head.seq },
  { name: "narses_stable_seq", help: "Last stable checkpoint: the low watermark.", read: (s) => s.engine.stableSeq },
  { name: "narses_high_watermark_seq", help: "No slot above it is accepted.", read: (s) => s.engine.highWatermark },
  { name: "narses_durable_seq", help: "Slot up to which the state on disk reaches.", read: (s) => s.durableSeq },
  { name: "narses_missing_blocks", help: "Blocks from before a state that was taken over, not fetched yet.", read: (s) => s.backfill?.blocksLeft ?? 0 },
  { name: "narses_behind_slots", help: "Slots behind what at least one correct replica has executed.", read: (s) => s.behind },
  { name: "narses_open_slots", help: "Slots proposed or decided and not executed.", read: (s) => s.engine.openSlots },
  { name: "narses_pending_bundles", help: "Client bundles waiting to be executed.", read: (s) => s.pendingBundles },
  { name: "narses_pending_bytes", help: "Bytes of the same.", read: (s) => s.pendingBytes },
  { name: "narses_proposals_awaited", help: "Proposals that wait for large bundles they name.", read: (s) => s.proposalsAwaited.length },
  { name: "narses_proposals_awaited_bytes", help: "Bytes of the bundles of those that are here.", read: (s) => s.proposalsAwaitedBytes },
  { name: "narses_pending_oldest_seconds", help: "How long the oldest of them waits; 0 without any.", read: (s) => (s.pendingOldestMs ?? 0) / 1_000 },
  { name: "narses_client_connections", help: "Client connections that asked for something.", read: (s) => s.clients },
  { name: "narses_wal_bytes", help: "Segment files of the vote log.", read: () => logBytes() ?? [] },
  { name: "narses_uptime_seconds", help: "Since the replica started.", read: (s) => s.uptimeMs / 1_000 },
  ...PEER_GAUGES,
];

const perPeer = (value: (peer: ReplicaStatus["peers"][number]) => number | null): Pick<Family, "labels" | "read"> => ({
  labels: ["peer"],
  read: (s) => s.peers.flatMap((peer): Sample[] => {
    const read = value(peer);
    return read === null ? [] : [[{ peer: peer.replica }, read]];
  }),
});

const PEER_GAUGES: readonly Family[] = [
  { name: "narses_peer_connected", help: "1 if the connection to the peer works in both directions.", ...perPeer((p) => bit(p.connected)) },
  {
    name: "narses_peer_lag_slots", help: "Slots the peer is behind this replica by its last STATUS, up to a second old; negative: ahead.",
    ...perPeer((p) => p.lag),
  },
  { name: "narses_peer_silent_seconds", help: "Since the last frame of the peer.", ...perPeer((p) => (p.silentMs === null ? null : p.silentMs / 1_000)) },
  { name: "narses_peer_queued_bytes", help: "Bytes queued for the peer.", ...perPeer((p) => p.queuedBytes) },
];

type Table = (counters: Counters) => Readonly<Record<string, number | undefined>>;
type NumberKey = { [K in keyof Counters]: Counters[K] extends number ? K : never }[keyof Counters];

const plain = (name: string, key: NumberKey, help: string): Family => ({ name, help, read: (s) => s.counters[key] });
const labelled = (name: string, label: string, counts: Table, help: string): Family => ({
  name, help, labels: [label],
  read: (s) => Object.entries(counts(s.counters)).map(([value, times]) => [{ [label]: value }, times ?? 0]),
});

/** Every code from the start: a series that appears late has no rate. */
const NONE_REJECTED: Readonly<Record<string, number>> = Object.fromEntries(Object.keys(REJECTION_CODES).map((code) => [code, 0]));

const COUNTERS: readonly Family[] = [
  labelled("narses_messages_sent_total", "type", (c) => c.sent, "Protocol messages handed to the network, one per receiver."),
  labelled("narses_messages_received_total", "type", (c) => c.received, "Protocol messages that decoded."),
  labelled("narses_rejected_total", "code", (c) => ({ ...NONE_REJECTED, ...c.rejected }), "Messages rejected, by code."),
  labelled("narses_refused_total", "code", (c) => c.refused, "Client bundles refused, by code."),
  plain("narses_sent_bytes_total", "bytesSent", "Bytes of protocol messages sent."),
  plain("narses_received_bytes_total", "bytesReceived", "Bytes of frames received, of peers and clients."),
  plain("narses_sends_dropped_total", "sendsDropped", "Frames the transport did not take: not connected, or queue full."),
  plain("narses_inbox_dropped_total", "inboxDropped", "Frames dropped unread: too many waited."),
  plain("narses_penalties_total", "penalties", "Sources put in the penalty box: they sent what no correct sender sends."),
  plain("narses_evidence_total", "evidence", "Offences of replicas proven and kept as evidence files."),
  plain("narses_evidence_dropped_total", "evidenceDropped", "Offences of replicas proven for which there was no room."),
  plain("narses_answers_dropped_total", "answersDropped", "Answers to peers left out: the peer had its share of bytes."),
  { name: "narses_peer_dropped_frames_total", help: "Frames for the peer dropped.", ...perPeer((p) => p.dropped) },
  plain("narses_turns_total", "turns", "Turns of the loop."),
  plain("narses_view_changes_total", "viewChanges", "Views left."),
  plain("narses_disk_freezes_total", "diskFreezes", "Times the disk was full."),
  plain("narses_ticks_lost_total", "ticksLost", "Ticks that never happened because the disk was full."),
  plain("narses_checkpoints_total", "checkpoints", "Checkpoints made durable."),
  plain("narses_state_repairs_total", "repairs", "Of those, repairs of a state that differed from a stable checkpoint."),
  plain("narses_state_transfers_total", "transfers", "States taken over from others, repairs included."),
  plain("narses_blocks_filled_total", "blocksFilled", "Blocks fetched that were missing since a state was taken over."),
  plain("narses_signatures_made_total", "signaturesMade", "Signatures made."),
  plain("narses_signatures_verified_total", "signaturesVerified", "Signatures verified."),
  plain("narses_signatures_cached_total", "signaturesCached", "Verifications spared: the same bytes were verified before."),
  plain("narses_wal_records_total", "records", "Records written to the vote log."),
  plain("narses_slots_executed_total", "slotsExecuted", "Slots executed, replays after a restart included."),
  plain("narses_operations_executed_total", "operationsExecuted", "Operations executed."),
  plain("narses_bundles_admitted_total", "bundlesAdmitted", "Client bundles taken in for ordering."),
  plain("narses_bundles_fetched_total", "bundlesFetched", "Large bundles that a proposal named and another replica gave."),
  plain("narses_replies_sent_total", "repliesSent", "Replies to clients, resent ones excluded."),
  plain("narses_replies_resent_total", "repliesResent", "Replies rebuilt from the block store."),
  plain("narses_control_calls_total", "calls", "Control calls."),
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
