/** `why` for a replica that does not run: from its home directory and vote log alone, changing nothing. */
import { InvariantViolation, NULL_DIGEST, seqNum, view, type EngineStatus, type ReplicaId } from "@narses/core";
import { hasher } from "@narses/crypto";
import { createEngine } from "@narses/pbft";
import { clusterId as clusterIdOf, createCodec, type Codec } from "@narses/wire";
import { newCounters } from "../counters.ts";
import { loadHomeFiles, type HomeFiles } from "../home.ts";
import { inspectVoteLog, type LogInspection } from "./log-inspection.ts";
import { rehearse } from "./rehearsal.ts";
import type { ReplicaStatus } from "./status.ts";
import { whyOf, type WhyReport } from "./why.ts";

export interface StoppedReplica {
  readonly replica: ReplicaId;
  readonly log: LogInspection;
}

function codecOf({ cluster }: HomeFiles): Codec {
  const { epoch, parameters, replicas } = cluster;
  return createCodec({ hasher, clusterId: clusterIdOf(hasher, cluster), epoch, replicas: replicas.length, parameters });
}

/**
 * The vote log of the replica in `home`, as a start would read it; needs no key.
 * @throws NarsesError CONFIG_INVALID, DATA_DIR_LOCKED while it runs, DATA_VERSION, REQUEST_TOO_LARGE.
 */
export async function inspectHome(home: string): Promise<StoppedReplica> {
  const files = await loadHomeFiles(home);
  return { replica: files.self, log: await inspectVoteLog({ dataDirectory: files.dataDirectory, codec: codecOf(files) }) };
}

const afterDamage = ({ cluster }: HomeFiles): string =>
  cluster.replicas.length === 1 ? "A start is refused" : "A start sets this log aside; the replica then follows without voting until nothing it says can contradict what was lost";

/**
 * What the stopped replica in `home` would wait for if it were started. A log that a start would refuse or set aside is the finding.
 * @throws as {@link inspectHome}.
 */
export async function whyStopped(home: string): Promise<WhyReport> {
  const files = await loadHomeFiles(home);
  const codec = codecOf(files);
  const { damage, records } = await inspectVoteLog({ dataDirectory: files.dataDirectory, codec });
  try {
    const { engine, executedSeq } = rehearse({
      self: files.self, cluster: files.cluster, tools: { makeBatch: codec.makeBatch }, engine: createEngine,
      records: records.map(({ record }) => record),
    });
    return report(files, engine.status(), executedSeq, damage === undefined ? undefined : `${damage.message}. ${afterDamage(files)}`);
  } catch (error) {
    if (!(error instanceof InvariantViolation)) throw error;
    const last: EngineStatus = {
      view: view(0), active: false, primary: files.self, stableSeq: seqNum(0), executedSeq: seqNum(0), highWatermark: seqNum(0),
      pendingBundles: 0, openSlots: 0, waitingFor: [],
    };
    return report(files, last, 0, `the vote log contradicts itself: ${error.message}`);
  }
}

function report({ self, cluster }: HomeFiles, engine: EngineStatus, executedSeq: number, refusal: string | undefined): WhyReport {
  const n = cluster.replicas.length;
  const status: ReplicaStatus = {
    replica: self, cluster: cluster.name, clusterId: clusterIdOf(hasher, cluster), epoch: cluster.epoch, n, f: cluster.f, quorum: 0, uptimeMs: 0,
    engine: { name: "pbft", ...engine }, head: { seq: seqNum(executedSeq), block: NULL_DIGEST, stateRoot: NULL_DIGEST, timestampMs: 0 },
    durableSeq: engine.stableSeq, behind: 0, halted: refusal ?? null, disk: null, transfer: null, lastTransfer: null, blockGaps: [], backfill: null, peers: [], clients: 0,
    pendingBundles: 0, pendingBytes: 0, pendingOldestMs: null, proposalsAwaited: [], proposalsAwaitedBytes: 0,
    counters: newCounters(),
  };
  return whyOf({ status, source: "vote-log", clients: [], rejections: [], problems: [] });
}
