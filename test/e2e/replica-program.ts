/**
 * A replica that kills itself with SIGKILL at the moment its second argument names: `replica-program.ts HOME OPTIONS`, OPTIONS
 * {@link ProgramOptions} as JSON. It says "ready" when it runs. Without a crash it is an ordinary replica of the counter.
 */
import { seqNum, type LogRecord, type PeerMessage, primaryOf, type ReplicaId, type StateMessage, type VoteLog } from "@narses/core";
import { hasher } from "@narses/crypto";
import { createTransport } from "@narses/network";
import { loadHomeFiles, silentLogger, startReplica, type ReplicaTransport, type TransportContext } from "@narses/replica";
import { nodeFileSystem, openVoteLog, type File, type FileSystem, type VoteLogOptions } from "@narses/storage";
import { clusterId as clusterIdOf, createCodec } from "@narses/wire";
import type { CrashSpec, ProgramOptions } from "./program-options.ts";
import { counter, dialling } from "./homes.ts";

const [home = "", json = "{}"] = process.argv.slice(2);
const { crash: spec, dial } = JSON.parse(json) as ProgramOptions;
const { cluster, self } = await loadHomeFiles(home);
const n = cluster.replicas.length;
const { checkpointInterval } = cluster.parameters;
const codec = createCodec({ hasher, clusterId: clusterIdOf(hasher, cluster), epoch: cluster.epoch, replicas: n, parameters: cluster.parameters });

function die(): never {
  process.kill(process.pid, "SIGKILL");
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

/** What has begun: the row's latest record, by the message that may follow it. It may never follow (others were faster): then the next record counts. */
interface Armed {
  readonly announces: (message: PeerMessage | StateMessage) => boolean;
}
let armed: Armed | undefined;
/** Frames of that message handed to the network. */
let taken = 0;
const at = (moment: CrashSpec["moment"]): boolean => armed !== undefined && spec?.moment === moment;

const casts = (phase: "prepare" | "commit", seq: number, view: number): Armed => ({
  announces: (m) => m.type === "votes" && m.signed.body.sender === self && m.signed.body.votes.some((vote) => vote.phase === phase && vote.seq === seq && vote.view === view),
});
const says = (type: "pre-prepare" | "view-change" | "new-view", view: number): Armed => ({
  announces: (m) => m.type === type && "signed" in m && m.signed.body.sender === self && "view" in m.signed.body && m.signed.body.view === view,
});

/** What the record announces if it begins the row. */
function begins(record: LogRecord): Armed | undefined {
  switch (spec?.row) {
    case "PRE-PREPARE":
      return record.type === "pre-prepared" && record.signed === undefined ? says("pre-prepare", record.view) : undefined;
    case "PREPARE":
      return record.type === "pre-prepared" && record.signed !== undefined ? casts("prepare", record.seq, record.view) : undefined;
    case "COMMIT": {
      if (record.type !== "prepared") return undefined;
      const { seq, view } = record.certificate.prePrepare.body;
      return casts("commit", seq, view);
    }
    case "VIEW-CHANGE by the primary":
    case "VIEW-CHANGE by a backup": {
      if (record.type !== "view-left") return undefined;
      const was = primaryOf(record.view, n) === (self + 1) % n ? "VIEW-CHANGE by the primary" : "VIEW-CHANGE by a backup";
      return was === spec.row ? says("view-change", record.view) : undefined;
    }
    case "NEW-VIEW, its sender":
      return record.type === "new-view" && record.signed === undefined ? says("new-view", record.view) : undefined;
    case "NEW-VIEW, a receiver": {
      if (record.type !== "new-view" || record.signed === undefined || record.signed.body.sender === self) return undefined;
      const { view } = record;
      return { announces: (m) => m.type === "votes" && m.signed.body.sender === self && m.signed.body.votes.some((vote) => vote.view === view) };
    }
    case "truncation":
      return record.type === "stable" ? { announces: () => false } : undefined;
    default:
      return undefined;
  }
}

// ── the log ──────────────────────────────────────────────────────────────────────────────────────────────────────

let truncating = false;

function watchedFile(file: File): File {
  return {
    write(buffers, position) {
      file.write(buffers, position);
      if (truncating ? at("cut written, not synced") : at("written, not synced")) die();
    },
    sync() {
      file.sync();
      if (truncating ? at("cut synced") : at("synced, nothing sent")) die();
    },
    read: (target, position) => file.read(target, position),
    size: () => file.size(),
    close: () => file.close(),
  };
}

const files: FileSystem = { ...nodeFileSystem, open: (path, mode) => watchedFile(nodeFileSystem.open(path, mode)) };

async function openWatched(options: VoteLogOptions): Promise<VoteLog> {
  const log = await openVoteLog({ ...options, files });
  return {
    recovered: log.recovered,
    append(record, seq) {
      if (taken === 0) armed = begins(codec.decodeRecord(record)) ?? armed;
      if (at("before the record is written")) die();
      log.append(record, seq);
    },
    sync: () => log.sync(),
    flush: () => log.flush(),
    truncate(seq, base) {
      truncating = armed !== undefined && spec?.row === "truncation";
      log.truncate(seq, base);
      if (truncating && at("truncated")) die();
      truncating = false;
    },
    close: () => log.close(),
  };
}

// ── the state ────────────────────────────────────────────────────────────────────────────────────────────────────

/** Slots executed again after a restart begin no row. */
let running = false;

const app: typeof counter = {
  ...counter,
  apply(operation, context) {
    if (spec?.row === "CHECKPOINT" && running && taken === 0 && context.seq % checkpointInterval === 0) {
      const { seq } = context;
      armed = { announces: (m) => m.type === "checkpoint" && m.signed.body.sender === self && m.signed.body.seq === seqNum(seq) };
      if (at("before the record is written")) die();
      // The state is written behind the loop: some turns later it is under way.
      if (at("written, not synced")) setImmediate(() => setImmediate(die));
    }
    return counter.apply(operation, context);
  },
};

// ── the network ──────────────────────────────────────────────────────────────────────────────────────────────────

function watchedTransport(context: TransportContext): ReplicaTransport {
  const inner = createTransport(dialling(context, dial));
  let mute = false;
  /** Nothing more is said; once what was said has left, the end. */
  const endSoon = (): void => {
    mute = true;
    const look = (): void => (inner.peers().every(({ queuedBytes }) => queuedBytes === 0) ? die() : void setTimeout(look, 1));
    setImmediate(look);
  };
  return {
    start: (handlers) => inner.start(handlers),
    stop: () => inner.stop(),
    addresses: () => inner.addresses(),
    peers: () => inner.peers(),
    send(to: ReplicaId, frame: Uint8Array): boolean {
      if (mute) return true;
      const announced = armed !== undefined && announcedBy(frame);
      if (announced && spec?.row === "CHECKPOINT" && at("synced, nothing sent")) die();
      const sent = inner.send(to, frame);
      if (!announced) return sent;
      taken++;
      if (at("sent to one peer") || (taken === n - 1 && at("sent to all"))) endSoon();
      return sent;
    },
  };
}

function announcedBy(frame: Uint8Array): boolean {
  const decoded = codec.decodePeer(frame);
  return decoded.ok && armed?.announces(decoded.value) === true;
}

const replica = await startReplica({ home, app, logger: silentLogger, transport: watchedTransport, voteLog: openWatched });
running = true;
process.stdout.write("ready\n");
const error = await replica.stopped;
process.stderr.write(`stopped: ${String(error?.message)}\n`);
process.exitCode = 1;
