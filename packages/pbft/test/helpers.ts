/**
 * Makers for engine tests: the engine never checks signatures, so a signed body is the body with some bytes. Every maker
 * is deterministic: the same arguments give equal values, so that exact effect lists can be written down.
 */
import { createHash } from "node:crypto";
import {
  type Batch, type Bundle, type Checkpoint, type ClientId, type CommitCertificate, DEFAULT_PARAMETERS, type Digest, type Effect, type EngineConfig, type EngineStatus,
  type EngineTools, epoch, faultsTolerated, type Input, type LogRecord, mintVerified, type NewView, type OrderingEngine, type OwnMessage, type Parameters,
  type PeerMessage, type PreparedCertificate, type PrePrepare, primaryOf, quorums, type Recovered, type ReplicaId, replicaId, requestId, seqNum, type Signed, type SignedBody,
  type StableCheckpoint, type Status, view, type ViewChange, type Vote, type VoteRef, type Votes,
} from "@narses/core";
import { createEngine, selectProposals } from "../src/index.ts";

export const EPOCH = epoch(0);
export const WALL_MS = 1_700_000_000_000;

export const digestOf = (label: string): Digest => createHash("sha256").update(label).digest("hex") as Digest;
export const GENESIS_ROOT: Digest = digestOf("genesis");

/** K = 2, L = 4, depth 2; timeouts 10 (request), 4 (disconnect), 8 (new-view) ticks; STATUS every 1,000 ticks: out of the way. */
export const PARAMETERS: Parameters = {
  ...DEFAULT_PARAMETERS, checkpointInterval: 2, logWindow: 4, pipelineDepth: 2, requestTimeoutTicks: 10, disconnectTimeoutTicks: 4, viewChangeTimeoutTicks: 8,
  statusIntervalTicks: 1_000, backoffExponentMax: 3, batchDelayTicks: 0,
};

export const configOf = (self: number, n = 4, parameters: Partial<Parameters> = {}, f: number = faultsTolerated(n)): EngineConfig => ({
  self: replicaId(self), epoch: EPOCH, quorums: quorums(n, f), parameters: { ...PARAMETERS, ...parameters }, genesisRoot: GENESIS_ROOT,
});

export function makeBatch(e: typeof EPOCH, timestampMs: number, bundles: readonly Bundle[]): Batch {
  const digest = digestOf(`batch ${e} ${timestampMs} ${bundles.map((b) => b.digest).join(",")}`);
  return { digest, epoch: e, timestampMs, bundles, bytes: new Uint8Array(8) };
}
export const tools: EngineTools = { makeBatch };

/** A bundle of `operations` operations and `bytes` bytes, known by its name. */
export const bundle = (name: string, operations = 1, bytes = 100): Bundle => ({
  digest: digestOf(`bundle ${name}`), client: digestOf(`client of ${name}`) as unknown as ClientId, publicKey: new Uint8Array(0), session: 0, ridFirst: requestId(1), ackLow: 0, fifo: false,
  operationCount: operations, operations: Array.from({ length: operations }, () => ({ kind: "apply" as const, payload: new Uint8Array(0) })), bytes: new Uint8Array(bytes),
});
/** The batch a primary makes of these bundles at WALL_MS. */
export const batchOf = (...names: readonly string[]): Batch => makeBatch(EPOCH, WALL_MS, names.map((name) => bundle(name)));

export const sign = <B extends SignedBody>(body: B): Signed<B> => ({ body, bytes: new Uint8Array(createHash("sha256").update(JSON.stringify(body)).digest().subarray(0, 4)) });

// ── bodies ──

export const prePrepareOf = (v: number, n: number, digest: Digest, sender: number = primaryOf(view(v), 4)): Signed<PrePrepare> =>
  sign({ type: "pre-prepare", epoch: EPOCH, sender: replicaId(sender), view: view(v), seq: seqNum(n), digest });
export const vote = (phase: Vote["phase"], v: number, n: number, digest: Digest): Vote => ({ phase, view: view(v), seq: seqNum(n), digest });
export const frameOf = (sender: number, ...votes: readonly Vote[]): Signed<Votes> => sign({ type: "votes", epoch: EPOCH, sender: replicaId(sender), votes });
export const checkpointOf = (sender: number, n: number, root: Digest): Signed<Checkpoint> => sign({ type: "checkpoint", epoch: EPOCH, sender: replicaId(sender), seq: seqNum(n), root });

// ── certificates ──

const refs = (phase: Vote["phase"], senders: readonly number[], v: number, n: number, digest: Digest): readonly VoteRef[] =>
  senders.map((sender) => ({ frame: frameOf(sender, vote(phase, v, n, digest)), index: 0 }));
/** PRE-PREPARE of the primary of v (n = 4) and PREPAREs of `senders`. */
export const preparedOf = (v: number, n: number, digest: Digest, senders: readonly number[]): PreparedCertificate =>
  ({ prePrepare: prePrepareOf(v, n, digest), prepares: refs("prepare", senders, v, n, digest) });
export const committedOf = (v: number, n: number, digest: Digest, senders: readonly number[]): CommitCertificate =>
  ({ view: view(v), seq: seqNum(n), digest, commits: refs("commit", senders, v, n, digest) });
export const stableOf = (n: number, senders: readonly number[], root: Digest = rootOf(n)): StableCheckpoint =>
  (n === 0 ? GENESIS : { seq: seqNum(n), root, proof: senders.map((sender) => checkpointOf(sender, n, root)) });
export const GENESIS: StableCheckpoint = { seq: seqNum(0), root: GENESIS_ROOT, proof: [] };
/** The root every correct replica has after n. */
export const rootOf = (n: number): Digest => digestOf(`root ${n}`);

export const viewChangeOf = (sender: number, v: number, prepared: readonly PreparedCertificate[] = [], stable: StableCheckpoint = GENESIS): Signed<ViewChange> =>
  sign({ type: "view-change", epoch: EPOCH, sender: replicaId(sender), view: view(v), stable, prepared });
/** NEW-VIEW of the primary of v (n = 4), with the O that follows from V. */
export function newViewOf(v: number, viewChanges: readonly Signed<ViewChange>[], n = 4): Signed<NewView> {
  const sender = primaryOf(view(v), n);
  const { proposals } = selectProposals(viewChanges.map((vc) => vc.body));
  const prePrepares = proposals.map((p) => prePrepareOf(v, p.seq, p.digest, sender));
  return sign({ type: "new-view", epoch: EPOCH, sender, view: view(v), viewChanges, prePrepares });
}

// ── an engine under test ──

export interface Bench {
  readonly engine: OrderingEngine;
  /** Effects of `start`. */
  readonly started: readonly Effect[];
  step(input: Input): readonly Effect[];
  from(sender: number, message: PeerMessage): readonly Effect[];
  own(signed: OwnMessage): readonly Effect[];
  request(name: string): readonly Effect[];
  /** A request with more to follow. */
  run(name: string): readonly Effect[];
  /** Effects of all the ticks together, but for STATUS. */
  tick(count?: number): readonly Effect[];
  /** STATUS messages of all the ticks together, and what else they bring. */
  tickAll(count?: number): readonly Effect[];
  executed(n: number, obsolete?: readonly Digest[]): readonly Effect[];
  checkpointed(n: number, root?: Digest): readonly Effect[];
  peer(id: number, connected: boolean): readonly Effect[];
  status(): EngineStatus;
}

export function bench(config: EngineConfig, recovered?: Recovered): Bench {
  const engine = createEngine(config, tools, recovered);
  const step = (input: Input): readonly Effect[] => engine.step(input);
  const started = step({ type: "start", wallMs: WALL_MS });
  const tickAll = (count = 1): readonly Effect[] => Array.from({ length: count }, () => step({ type: "tick", wallMs: WALL_MS })).flat();
  return {
    engine, started, step,
    from: (sender, message) => step({ type: "message", from: replicaId(sender), message: mintVerified(message) }),
    own: (signed) => step({ type: "own", signed }),
    request: (name) => step({ type: "request", bundle: mintVerified(bundle(name)) }),
    run: (name) => step({ type: "request", bundle: mintVerified(bundle(name)), more: true }),
    tick: (count = 1) => tickAll(count).filter((e) => !(e.type === "send" && e.message.type === "status")),
    tickAll,
    executed: (n, obsolete = []) => step({ type: "executed", seq: seqNum(n), obsolete }),
    checkpointed: (n, root = rootOf(n)) => step({ type: "checkpointed", seq: seqNum(n), root }),
    peer: (id, connected) => step({ type: "peer", replica: replicaId(id), connected }),
    status: () => engine.status(),
  };
}

export const recoveredOf = (executedSeq: number, ...records: readonly LogRecord[]): Recovered => ({ records, executedSeq: seqNum(executedSeq) });

// ── messages ──

export const prePrepare = (v: number, n: number, batch: Batch, sender?: number): PeerMessage => ({ type: "pre-prepare", signed: prePrepareOf(v, n, batch.digest, sender), batch });
export const prepare = (sender: number, v: number, n: number, digest: Digest): PeerMessage => ({ type: "votes", signed: frameOf(sender, vote("prepare", v, n, digest)) });
export const commit = (sender: number, v: number, n: number, digest: Digest): PeerMessage => ({ type: "votes", signed: frameOf(sender, vote("commit", v, n, digest)) });
export const statusOf = (fields: Partial<Status> = {}): PeerMessage => ({
  type: "status",
  status: { view: view(0), active: true, stableSeq: seqNum(0), executedSeq: seqNum(0), slots: new Uint8Array(0), viewChanges: new Uint8Array(0), ...fields },
});

export const mintMessage = (from: ReplicaId, message: PeerMessage): Input => ({ type: "message", from, message: mintVerified(message) });

// ── expected effects ──

export const persistPrePrepared = (v: number, n: number, batch: Batch, signed?: Signed<PrePrepare>): Effect =>
  ({ type: "persist", lazy: false, record: { type: "pre-prepared", view: view(v), seq: seqNum(n), digest: batch.digest, batch, ...(signed && { signed }) } });
export const persistPrepared = (certificate: PreparedCertificate): Effect => ({ type: "persist", lazy: false, record: { type: "prepared", certificate } });
export const persistCommitted = (certificate: CommitCertificate, batch?: Batch): Effect =>
  ({ type: "persist", lazy: true, record: { type: "committed", certificate, ...(batch && { batch }) } });
/** An own checkpoint: remembered, then said. */
export const vouch = (n: number, root: Digest = rootOf(n)): readonly Effect[] => [
  { type: "persist", lazy: false, record: { type: "vouched", seq: seqNum(n), root } },
  { type: "checkpoint", seq: seqNum(n), root },
];
export const castVote = (phase: Vote["phase"], v: number, n: number, digest: Digest): Effect => ({ type: "vote", vote: vote(phase, v, n, digest) });
export const executeOf = (certificate: CommitCertificate, batch: Batch | undefined, checkpoint: boolean): Effect =>
  ({ type: "execute", seq: certificate.seq, certificate, batch, checkpoint });
export const send = (to: number | "all", message: PeerMessage): Effect => ({ type: "send", to: to === "all" ? "all" : replicaId(to), message });

/** The codes of `rejected` effects, in order: details are for people. */
export const codes = (effects: readonly Effect[]): readonly string[] => effects.flatMap((e) => (e.type === "rejected" ? [e.rejection.code] : []));
/** Types of all effects, in order. */
export const types = (effects: readonly Effect[]): readonly string[] => effects.map((e) => e.type);
/** Effects but for observations, which carry sentences. */
export const acts = (effects: readonly Effect[]): readonly Effect[] => effects.filter((e) => e.type !== "rejected" && e.type !== "view-left" && e.type !== "view-entered");
/** What leaving for `v` emits: durable first, then the message. */
export const leaving = (v: number, prepared: readonly PreparedCertificate[] = [], stable: StableCheckpoint = GENESIS): readonly Effect[] => [
  { type: "persist", lazy: false, record: { type: "view-left", view: view(v), stable, prepared } },
  { type: "view-change", view: view(v), stable, prepared },
];

// ── stories told often ──

/** Backup `b` takes slot n of view v up to its own signed COMMIT; returns the certificate it prepared with. */
export function prepareSlot(b: Bench, self: number, v: number, n: number, batch: Batch): PreparedCertificate {
  const primary = primaryOf(view(v), 4);
  b.from(primary, prePrepare(v, n, batch));
  const backups = [0, 1, 2, 3].filter((id) => id !== primary && id !== self).slice(0, 1);
  b.own(frameOf(self, vote("prepare", v, n, batch.digest)));
  for (const id of backups) b.from(id, prepare(id, v, n, batch.digest));
  b.own(frameOf(self, vote("commit", v, n, batch.digest)));
  return preparedOf(v, n, batch.digest, [self, ...backups].sort((x, y) => x - y));
}

/** As `prepareSlot`, then decided by the other COMMITs and executed. */
export function decideSlot(b: Bench, self: number, v: number, n: number, batch: Batch): PreparedCertificate {
  const certificate = prepareSlot(b, self, v, n, batch);
  for (const id of [0, 1, 2, 3].filter((other) => other !== self).slice(0, 2)) b.from(id, commit(id, v, n, batch.digest));
  b.executed(n);
  return certificate;
}
