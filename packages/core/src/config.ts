/**
 * The cluster: who takes part, under which limits. This is data that every replica and client must hold byte for byte
 * alike (its hash is the cluster id); where a process listens or keeps its files is not in here.
 */
import { NarsesError } from "./errors.ts";
import { REPLICAS_MAX, type Digest, type Epoch, type ReplicaId } from "./ids.ts";
import { faultsTolerated, quorums, type Quorums } from "./quorum.ts";

/** The one signature rule a cluster may use (see `crypto`). In the config so that a change of rule is a change of epoch. */
export const SIGNATURE_SUITE = "ed25519-strict" as const;

export interface ReplicaInfo {
  readonly id: ReplicaId;
  /** Ed25519 public key that signs protocol messages, 64 hex digits. */
  readonly publicKey: string;
  /** Ed25519 public key of the libp2p identity, 64 hex digits. */
  readonly networkKey: string;
  /** Multiaddrs to dial, for example /ip4/127.0.0.1/tcp/7100. */
  readonly addresses: readonly string[];
}

export interface ClusterConfig {
  readonly version: 1;
  readonly name: string;
  readonly epoch: Epoch;
  readonly f: number;
  readonly signatureSuite: typeof SIGNATURE_SUITE;
  /** In order of id. */
  readonly replicas: readonly ReplicaInfo[];
  /** "open": any key may submit and the application decides; "listed": only `clientKeys`. */
  readonly clients: "open" | "listed";
  readonly clientKeys: readonly string[];
  readonly parameters: Parameters;
  /** Application genesis: JSON, given to the state machine once. */
  readonly genesis: unknown;
}

/** Protocol parameters. Times are ticks of TICK_MS. Every bound here is enforced; see LIMITS in the README of `core`. */
export interface Parameters {
  /** K: a checkpoint every K slots. */
  readonly checkpointInterval: number;
  /** L: slots between low and high watermark; a multiple of K, at least 2K. Beyond it the primary waits for a stable checkpoint; more than a window above it is ignored. */
  readonly logWindow: number;
  /** Slots proposed and not yet executed by a primary, at most, ≤ L/2; then it collects bundles for the next batch. */
  readonly pipelineDepth: number;
  /** Bytes of a batch; it is closed before it would be larger. A larger one from a primary is refused, and its view left. */
  readonly batchBytesMax: number;
  /** Operations of a batch; likewise. */
  readonly batchOperationsMax: number;
  /**
   * While slots are in flight, the primary gathers until as much waits as is in flight, this many ticks at the longest.
   * 0: it proposes whatever waits at once, as long as the pipeline has room.
   */
  readonly batchDelayTicks: number;
  /** Bytes of a client's bundle; the client begins another, an operation that does not fit alone is REQUEST_TOO_LARGE. A larger bundle is refused. */
  readonly bundleBytesMax: number;
  /** Operations of a bundle; likewise. */
  readonly bundleOperationsMax: number;
  /** Waiting bundles a replica holds, at most; further ones are refused with OVERLOADED, and the client retries. */
  readonly pendingBundlesMax: number;
  /** Clients send bundles of more bytes to every replica, and a PRE-PREPARE names them by their digests. 0: all; `bundleBytesMax`: none. */
  readonly largeBundleBytes: number;
  /** Request ids a session may have outstanding above its low mark; higher ones are answered OUT_OF_WINDOW. */
  readonly sessionWindow: number;
  /** Sessions of all clients in the replicated state; one more evicts the one unused for longest. */
  readonly sessionsMax: number;
  /** A backup suspects the primary when its oldest waiting request is this old. */
  readonly requestTimeoutTicks: number;
  /** The same when the connection to the primary is lost. */
  readonly disconnectTimeoutTicks: number;
  /** Wait for NEW-VIEW once Q view changes are held; doubles with each failed view. */
  readonly viewChangeTimeoutTicks: number;
  /** Highest exponent of the doubling: the largest delay for which liveness is claimed is 2 to this power times the base timeout. */
  readonly backoffExponentMax: number;
  /** STATUS period while something is outstanding. */
  readonly statusIntervalTicks: number;

  // A primary that is alive and does badly. Suspicion only: nothing here is ever evidence against anyone.
  /** Average wait of what a primary with room in its pipeline proposes, at most, unless commits are slow here too. 0: not judged. */
  readonly proposalDelayTicksMax: number;
  /** Bundles of other clients that may overtake the oldest waiting one once that is `requestTimeoutTicks` old. */
  readonly overtakenBundlesMax: number;
  /** A primary with nothing to propose proposes an empty batch this often; a backup suspects one that does not. 0: it stays silent. */
  readonly heartbeatTicks: number;
  /** The view is left after this many stable checkpoints. 0: views end by suspicion only. */
  readonly rotationCheckpoints: number;

  // Timestamps: a backup accepts a fresh proposal in [received − delay·2^k − precision, received + precision] of its own clock.
  /** PRECISION: two correct clocks differ by no more, a stall of the process included. */
  readonly timestampPrecisionMs: number;
  /** MSGDELAY: a proposal takes no longer to arrive; doubles with each failed view. */
  readonly timestampDelayMs: number;
  /**
   * One switch for what must be switched together: unordered reads that Q replicas agree on, clients that believe a write when
   * Q replicas answer it (W otherwise), and decision forwarding, without which that larger quorum could starve.
   */
  readonly fastReads: boolean;
}

export const TICK_MS = 10;

export const DEFAULT_PARAMETERS: Parameters = {
  checkpointInterval: 128,
  logWindow: 256,
  pipelineDepth: 8,
  batchBytesMax: 1 << 20,
  batchOperationsMax: 2_000,
  batchDelayTicks: 5,
  bundleBytesMax: 256 << 10,
  bundleOperationsMax: 256,
  pendingBundlesMax: 4_096,
  largeBundleBytes: 8 << 10,
  sessionWindow: 4_096,
  sessionsMax: 8_192,
  requestTimeoutTicks: 100,
  disconnectTimeoutTicks: 15,
  viewChangeTimeoutTicks: 50,
  backoffExponentMax: 8,
  statusIntervalTicks: 10,
  proposalDelayTicksMax: 50,
  overtakenBundlesMax: 256,
  heartbeatTicks: 0,
  rotationCheckpoints: 0,
  timestampPrecisionMs: 5_000,
  timestampDelayMs: 15_000,
  fastReads: false,
};

/** Votes in one frame, at most: bounds the size of a certificate's frame. See {@link votesPerFrameMax}. */
export const VOTES_PER_FRAME_MAX = 32;
/** Fewer in a cluster of more than 128: f liars pad every certificate with full frames, and a NEW-VIEW holds Q times L of those. */
export const votesPerFrameMax = (n: number): number => (n <= 128 ? VOTES_PER_FRAME_MAX : VOTES_PER_FRAME_MAX / 4);
/** Slots one STATUS describes, at most. */
export const STATUS_SLOTS_MAX = 512;
/** Vote frames, and pre-prepares, that one RECALLED gives back, at most. */
export const RECALL_FRAMES_MAX = 64;
/** Bundles that one request for bundles names, at most. */
export const BUNDLES_PER_FETCH_MAX = 256;
/** Nodes of the state tree whose children one request names, at most. */
export const NODES_PER_FETCH_MAX = 256;
/** Pages of the state one request names, at most. */
export const PAGES_PER_FETCH_MAX = 512;
/** Bytes of nodes or pages in one answer, at most. */
export const STATE_CHUNK_BYTES_MAX: number = 1 << 20;
/** Bytes of one page of the state, at most: larger ones than a chunk travel in parts. */
export const STATE_PAGE_BYTES_MAX: number = 16 << 20;
/** log2 of the number of pages of a state, at most. */
export const STATE_BITS_MAX = 20;
/** No frame is larger: a replica drops the connection that announces one. */
export const FRAME_BYTES_MAX: number = 32 << 20;

/** Bytes of one vote, and of the rest of a signed message, with room to spare: upper bounds on the wire layout. */
const VOTE_BYTES = 49;
const ENVELOPE_BYTES = 128;

/**
 * The largest log window for which a NEW-VIEW fits one frame: Q view-changes, each with L prepared certificates of a
 * pre-prepare and Q−1 vote frames, of which f may be padded to votesPerFrameMax votes by liars. Beyond it a view change
 * could not be said, and the cluster would stop for good.
 */
export function logWindowMax({ n, strong, f }: Quorums): number {
  const padded = f * (ENVELOPE_BYTES + votesPerFrameMax(n) * VOTE_BYTES);
  // A correct replica's PREPARE and its COMMIT of a slot are in one frame each, or share frames: at most both count.
  const plain = Math.max(0, strong - 1 - f) * (ENVELOPE_BYTES + 2 * VOTE_BYTES);
  const certificate = 2 * ENVELOPE_BYTES + padded + plain;
  return Math.floor((FRAME_BYTES_MAX - (1 << 16)) / (strong * certificate));
}

/** The defaults for a cluster of this size: large ones need a smaller window, see {@link logWindowMax}. */
export function defaultParameters(q: Quorums): Parameters {
  let { checkpointInterval, logWindow } = DEFAULT_PARAMETERS;
  for (; logWindow > logWindowMax(q) && checkpointInterval > 1; logWindow /= 2) checkpointInterval /= 2;
  return { ...DEFAULT_PARAMETERS, checkpointInterval, logWindow, pipelineDepth: Math.min(DEFAULT_PARAMETERS.pipelineDepth, Math.max(1, logWindow / 2)) };
}

function invalid(field: string, problem: string): NarsesError {
  return new NarsesError("CONFIG_INVALID", `cluster file: ${field} ${problem}`, { field });
}

function range(field: string, value: number, min: number, max: number): void {
  if (!Number.isSafeInteger(value) || value < min || value > max) throw invalid(field, `must be an integer from ${min} to ${max}, got ${value}`);
}

/** @throws NarsesError CONFIG_INVALID naming the first parameter out of range, or the relation that fails. */
export function checkParameters(p: Parameters): void {
  range("parameters.checkpointInterval", p.checkpointInterval, 1, 65_536);
  range("parameters.logWindow", p.logWindow, 2 * p.checkpointInterval, 131_072);
  if (p.logWindow % p.checkpointInterval !== 0) throw invalid("parameters.logWindow", `must be a multiple of checkpointInterval ${p.checkpointInterval}, got ${p.logWindow}`);
  range("parameters.pipelineDepth", p.pipelineDepth, 1, Math.max(1, Math.floor(p.logWindow / 2)));
  range("parameters.bundleBytesMax", p.bundleBytesMax, 256, 4 << 20);
  range("parameters.batchBytesMax", p.batchBytesMax, p.bundleBytesMax, 8 << 20);
  range("parameters.bundleOperationsMax", p.bundleOperationsMax, 1, 4_096);
  range("parameters.batchOperationsMax", p.batchOperationsMax, p.bundleOperationsMax, 65_536);
  range("parameters.batchDelayTicks", p.batchDelayTicks, 0, 1_000);
  range("parameters.pendingBundlesMax", p.pendingBundlesMax, 1, 1 << 20);
  range("parameters.largeBundleBytes", p.largeBundleBytes, 0, 4 << 20);
  range("parameters.sessionWindow", p.sessionWindow, p.bundleOperationsMax, 1 << 16);
  range("parameters.sessionsMax", p.sessionsMax, 1, 65_536);
  range("parameters.requestTimeoutTicks", p.requestTimeoutTicks, 2, 1_000_000);
  range("parameters.disconnectTimeoutTicks", p.disconnectTimeoutTicks, 1, p.requestTimeoutTicks);
  range("parameters.viewChangeTimeoutTicks", p.viewChangeTimeoutTicks, 2, 1_000_000);
  range("parameters.backoffExponentMax", p.backoffExponentMax, 0, 20);
  range("parameters.statusIntervalTicks", p.statusIntervalTicks, 1, 10_000);
  range("parameters.proposalDelayTicksMax", p.proposalDelayTicksMax, 0, 1_000_000);
  range("parameters.overtakenBundlesMax", p.overtakenBundlesMax, 1, 1 << 20);
  range("parameters.heartbeatTicks", p.heartbeatTicks, 0, 1_000_000);
  range("parameters.rotationCheckpoints", p.rotationCheckpoints, 0, 1 << 20);
  range("parameters.timestampPrecisionMs", p.timestampPrecisionMs, 1, 86_400_000);
  range("parameters.timestampDelayMs", p.timestampDelayMs, 0, 86_400_000);
  if (typeof p.fastReads !== "boolean") throw invalid("parameters.fastReads", `must be true or false, got ${String(p.fastReads)}`);
}

function checkKeys(field: string, keys: readonly { readonly at: string; readonly key: string }[]): void {
  const seen = new Map<string, string>();
  for (const { at, key } of keys) {
    if (!/^[0-9a-f]{64}$/.test(key)) throw invalid(at, "must be 64 lower-case hex digits");
    const other = seen.get(key);
    if (other !== undefined) throw invalid(at, `is the same key as ${other}: every ${field} needs its own`);
    seen.set(key, at);
  }
}

/**
 * Checks everything about a cluster that needs no cryptography (key validity is checked by `crypto`).
 * @throws NarsesError CONFIG_INVALID naming the field and the limit.
 */
export function checkCluster(c: ClusterConfig): Quorums {
  const n = c.replicas.length;
  range("replicas (count)", n, 1, REPLICAS_MAX);
  range("f", c.f, 0, faultsTolerated(REPLICAS_MAX));
  if (n < 3 * c.f + 1) throw invalid("f", `= ${c.f} needs at least 3f+1 = ${3 * c.f + 1} replicas, the file lists ${n}; add replicas or lower f to ${faultsTolerated(n)}`);
  if (c.signatureSuite !== SIGNATURE_SUITE) throw invalid("signatureSuite", `must be "${SIGNATURE_SUITE}", got ${JSON.stringify(c.signatureSuite)}`);
  c.replicas.forEach((r, i) => {
    if (r.id !== i) throw invalid(`replicas[${i}].id`, `must be ${i} (replicas are listed in order of id), got ${r.id}`);
    if (r.addresses.length === 0) throw invalid(`replicas[${i}].addresses`, "must name at least one multiaddr");
  });
  checkKeys("replica", c.replicas.flatMap((r, i) => [
    { at: `replicas[${i}].publicKey`, key: r.publicKey },
    { at: `replicas[${i}].networkKey`, key: r.networkKey },
  ]));
  checkKeys("client", c.clientKeys.map((key, i) => ({ at: `clientKeys[${i}]`, key })));
  checkParameters(c.parameters);
  const q = quorums(n, c.f);
  const most = logWindowMax(q);
  if (c.parameters.logWindow > most) {
    const { logWindow } = c.parameters;
    throw invalid("parameters.logWindow", `= ${logWindow} is too large for ${n} replicas: a NEW-VIEW would not fit a frame; at most ${most}, a multiple of checkpointInterval`);
  }
  return q;
}

/** What an engine needs to know of its cluster. */
export interface EngineConfig {
  readonly self: ReplicaId;
  readonly epoch: Epoch;
  readonly quorums: Quorums;
  readonly parameters: Parameters;
  /** Hash of the genesis block: the root of the stable checkpoint at 0. */
  readonly genesisRoot: Digest;
}
