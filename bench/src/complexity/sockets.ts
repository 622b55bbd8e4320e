/**
 * The same counts over real libp2p connections: n whole replicas (disk, signatures, sockets) in this process, one operation at a
 * time. Within 2 %: a loaded machine may let STATUS repeat a frame, which is counted apart, or merge two votes of one turn.
 */
import { rmSync } from "node:fs";
import { connect } from "@narses/client";
import { hasher, signingKeyFromSeed } from "@narses/crypto";
import { createClientTransport, createTransport } from "@narses/network";
import { silentLogger, startReplica, type Counters, type RunningReplica } from "@narses/replica";
import { clusterId } from "@narses/wire";
import { benchApp } from "../app.ts";
import { createHomes, type Homes } from "../load/homes.ts";
import type { Checks } from "../result.ts";
import { checkpointCost, normalCase, shapeOf, VOTE_FRAME_OVERHEAD_BYTES } from "../theory.ts";
import { PAYLOAD_BYTES } from "./scenarios.ts";
import { countingTransport, newSocketCount, type SocketCount } from "./counting-transport.ts";

const TOLERANCE = 0.02;

export interface SocketRow {
  readonly n: number;
  readonly batches: number;
  readonly theory: number;
  /** PRE-PREPARE frames and single votes, whether or not they shared a frame. */
  readonly messages: number;
  readonly frames: number;
  readonly bytes: number;
  readonly theoryBytes: number;
  readonly made: number;
  readonly checked: number;
  readonly fsyncs: number;
  readonly status: number;
  readonly repeated: number;
}

/** Encoded with its two-byte msgpack header it has PAYLOAD_BYTES. */
const OPERATION = new Uint8Array(PAYLOAD_BYTES - 2);

export async function sockets(n: number, batches: number, checks: Checks): Promise<SocketRow> {
  const checkpointInterval = batches / 2;
  // No timer of a slow machine may interfere: nothing is suspected, and STATUS is rare.
  const homes = await createHomes(n, {
    checkpointInterval, logWindow: 2 * checkpointInterval, pipelineDepth: 1, statusIntervalTicks: 200, requestTimeoutTicks: 6_000, disconnectTimeoutTicks: 6_000,
  });
  const counts = Array.from({ length: n }, newSocketCount);
  const replicas: RunningReplica[] = [];
  try {
    for (const [id, home] of homes.homes.entries()) {
      const count = counts[id] ?? newSocketCount();
      replicas.push(await startReplica({ home, app: benchApp, logger: silentLogger, transport: (context) => countingTransport(createTransport(context), count) }));
    }
    await until(() => replicas.every((replica) => replica.status().peers.every(({ connected }) => connected)));
    return await measure({ n, batches, homes, replicas, counts }, checks);
  } finally {
    await Promise.allSettled(replicas.map((replica) => replica.stop()));
    rmSync(homes.directory, { recursive: true, force: true });
  }
}

interface Stage {
  readonly n: number;
  readonly batches: number;
  readonly homes: Homes;
  readonly replicas: readonly RunningReplica[];
  readonly counts: readonly SocketCount[];
}

async function measure({ n, batches, homes, replicas, counts }: Stage, checks: Checks): Promise<SocketRow> {
  const { cluster } = homes;
  const transport = createClientTransport({ cluster, clusterId: clusterId(hasher, cluster) });
  const client = await connect({ cluster, transport, key: signingKeyFromSeed(hasher.sha256(Uint8Array.of(n))), replicasNeeded: n, timeouts: { connectMs: 60_000, retransmitMs: 30_000, retransmitMaxMs: 30_000 } });
  try {
    for (let i = 0; i < batches; i++) await client.submit(OPERATION, { timeoutMs: 60_000 });
    const last = (replica: RunningReplica): boolean => {
      const { engine, counters } = replica.status();
      return engine.executedSeq === batches && engine.stableSeq === batches && counters.checkpoints === 2;
    };
    await until(() => replicas.every(last));
  } finally {
    await client.close();
  }
  return judge({ n, batches, count: sumOf(counts), counters: sumOf(replicas.map((replica) => numbers(replica.status().counters))) }, checks);
}

type Numbers = Pick<Counters, "signaturesMade" | "signaturesVerified" | "fsyncs" | "repliesSent" | "bytesSent">;
const numbers = ({ signaturesMade, signaturesVerified, fsyncs, repliesSent, bytesSent }: Counters): Numbers => ({ signaturesMade, signaturesVerified, fsyncs, repliesSent, bytesSent });

interface Measured {
  readonly n: number;
  readonly batches: number;
  readonly count: SocketCount;
  readonly counters: Numbers;
}

function judge({ n, batches, count, counters }: Measured, checks: Checks): SocketRow {
  const theory = normalCase(n, shapeOf(1, 1, { payloadBytes: PAYLOAD_BYTES, resultBytes: 2 }));
  const checkpoint = checkpointCost(n);
  const name = `sockets, n = ${n}`;
  // Votes that shared a frame saved its header and signature, once for each receiver.
  const merged = count.prepares + count.commits - count.voteFrames;
  const bytes = count.prePrepareBytes + count.voteBytes + merged * VOTE_FRAME_OVERHEAD_BYTES;
  checks.equal(`${name}, PRE-PREPARE`, count.prePrepare, theory.prePrepare.messages * batches, TOLERANCE);
  checks.equal(`${name}, PREPARE`, count.prepares, theory.prepare.messages * batches, TOLERANCE);
  checks.equal(`${name}, COMMIT`, count.commits, theory.commit.messages * batches, TOLERANCE);
  checks.equal(`${name}, bytes`, bytes, theory.replicas.bytes * batches, TOLERANCE);
  checks.equal(`${name}, CHECKPOINT`, count.checkpoints, checkpoint.messages * 2, TOLERANCE);
  checks.equal(`${name}, replies`, counters.repliesSent, theory.replies.messages * batches, TOLERANCE);
  const signatures = (theory.replicas.made + theory.replies.made) * batches + checkpoint.made * 2;
  const signaturesMerged = n === 1 ? 0 : merged / (n - 1);
  checks.equal(`${name}, signatures made`, counters.signaturesMade + signaturesMerged, signatures, TOLERANCE);
  const clients = theory.requests.checked * batches;
  const checkedMax = (theory.replicas.checked * batches + clients + checkpoint.checked * 2) * (1 + TOLERANCE);
  checks.between(`${name}, signatures checked`, counters.signaturesVerified + merged, (n >= 4 ? theory.checkedMin * batches : 0) + clients, checkedMax);
  // What waits together is written together: a wait may be saved, never added.
  checks.between(`${name}, waits for the disk`, counters.fsyncs, batches * n, (theory.fsyncs * batches + checkpoint.fsyncs * 2) * (1 + TOLERANCE));
  return {
    n, batches, theory: theory.replicas.messages, messages: (count.prePrepare + count.prepares + count.commits) / batches, frames: (count.prePrepare + count.voteFrames) / batches,
    bytes: (count.prePrepareBytes + count.voteBytes) / batches, theoryBytes: theory.replicas.bytes, made: counters.signaturesMade / batches,
    checked: counters.signaturesVerified / batches, fsyncs: counters.fsyncs / batches, status: count.status, repeated: count.repeated,
  };
}

function sumOf<T extends object>(items: readonly T[]): T {
  const total: Record<string, number> = {};
  for (const item of items) for (const [key, value] of Object.entries(item)) total[key] = (total[key] ?? 0) + (value as number);
  return total as T;
}

const UNTIL_MS = 60_000;
const POLL_MS = 20;

async function until(condition: () => boolean): Promise<void> {
  for (const start = performance.now(); !condition(); ) {
    if (performance.now() - start > UNTIL_MS) throw new RangeError(`the replicas did not get there within ${UNTIL_MS / 1_000} s`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
