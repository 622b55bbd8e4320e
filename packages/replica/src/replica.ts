/** One replica put together out of its ports: what `startReplica` does after everything is open. Nothing here knows files or sockets. */
import {
  quorums,
  type BlockStore, type ClientConnection, type ClusterConfig, type Digest, type EngineConfig, type EngineTools, type Hasher,
  type Input, type Logger, type LogRecord, type Memory, type OrderingEngine, type Recovered, type ReplicaId, type SigningKey, type StableCheckpoint, type StateMachine,
  type StateMessage,
  type Transport, type VerifyingKey, type View, type VoteLog,
} from "@narses/core";
import type { PeerState } from "@narses/network";
import type { AuthenticatedState } from "@narses/storage";
import type { Codec } from "@narses/wire";
import { createAdmission } from "./admission.ts";
import { createAssembly, type Assembly } from "./assembly.ts";
import { ClientConnections } from "./client-connections.ts";
import { createControl, type Control } from "./control.ts";
import { newCounters, type Counters } from "./counters.ts";
import { createDecisions } from "./decisions.ts";
import { createDiskSpace, type Disk, type DiskSpace } from "./disk-space.ts";
import { createEvidenceKeeper, type EvidenceKeeper, type EvidenceStore } from "./evidence.ts";
import { createExecution, type Execution, type Halt } from "./execution.ts";
import type { Executor } from "./executor.ts";
import { executorOf } from "./executor-with-writes.ts";
import { createFrozenCalls } from "./frozen-calls.ts";
import { openHeads, type Heads } from "./genesis.ts";
import { createInbox } from "./inbox.ts";
import { createJournal } from "./journal.ts";
import { createLogLimiter, describeError } from "./log.ts";
import { newMeasures } from "./operations/distribution.ts";
import { Incidents, rememberProblems } from "./operations/incidents.ts";
import { createObserver, type Observer, type ObserverInputs } from "./operations/observer.ts";
import { createOutbox, type Outbox } from "./outbox.ts";
import { PendingBundles } from "./pending.ts";
import type { Probe } from "./probe.ts";
import { createReader } from "./reader.ts";
import { createFastReads, type FastRead } from "./reads/fast-read.ts";
import { createProvenReads, type ProvenReads } from "./reads/proven-read.ts";
import type { RecentWrites } from "./reads/recent-writes.ts";
import { recoveryHorizon, untilRecovered } from "./recovery.ts";
import { createReplies } from "./replies.ts";
import { systemScheduler, type Scheduler, type Timer } from "./scheduler.ts";
import { createSigner } from "./signer.ts";
import { startTicker, wholeMs, type Clock } from "./ticker.ts";
import { createLoop } from "./turn.ts";
import { createBackfill, type Backfill } from "./transfer/backfill.ts";
import { createBlockCheck } from "./transfer/block-check.ts";
import { createDonor, type Donor } from "./transfer/donor.ts";
import { createSettled, type Settled } from "./transfer/settled.ts";
import { createTransfer, type Transfer, type TransferOptions } from "./transfer/transfer.ts";
import { createVerifier, type Verifier } from "./verify.ts";

export type EngineFactory = (config: EngineConfig, tools: EngineTools, recovered?: Recovered) => OrderingEngine;

/** What a transport may tell beyond the port. */
export type ReplicaTransport = Transport & { addresses?(): readonly string[]; peers?(): readonly PeerState[] };

export interface ReplicaParts {
  readonly self: ReplicaId;
  readonly cluster: ClusterConfig;
  readonly clusterId: Digest;
  readonly app: StateMachine;
  readonly engine: EngineFactory;
  readonly codec: Codec;
  readonly hasher: Hasher;
  readonly signingKey: SigningKey;
  /** By replica id. */
  readonly replicaKeys: readonly VerifyingKey[];
  readonly verifyingKey: (publicKey: Uint8Array) => VerifyingKey;
  readonly log: VoteLog & { usage?(): { readonly bytes: number } };
  readonly state: AuthenticatedState;
  readonly blocks: BlockStore;
  readonly transport: ReplicaTransport;
  readonly clock: Clock;
  /** Real timers by default. */
  readonly scheduler?: Scheduler;
  readonly probe?: Probe;
  readonly localQueries: boolean;
  /** Whose space is watched; without it a full disk is met as a failed one. */
  readonly disk?: Disk;
  /** Where proofs of misbehaviour are kept; without it they are only told. */
  readonly evidence?: EvidenceStore;
  /** The stores were used before. */
  readonly mustExist: boolean;
  /** How far the vote log can be trusted; absent: beyond doubt. */
  readonly memory?: Memory;
  /** Called before VIEW-CHANGE for a view, or the first vote in it, is said: makes the view durable in a second place. */
  readonly noteView?: (view: View) => void;
  /** Called when genesis is durable, before anything is voted: from now on an empty store is a lost one. */
  readonly onOpened?: () => void | Promise<void>;
  readonly logger: Logger;
  /** Where `logger` leaves warnings and errors for `why`; by default only this replica's own are remembered. */
  readonly incidents?: Incidents;
}

export interface RunningCore extends Observer {
  /** Ends turns at once; resolves when the transport is down and no work on the stores is under way. */
  stop(): Promise<void>;
  /** Resolves when the replica has stopped saying anything: with the error that stopped it, or undefined after `stop`. */
  readonly ended: Promise<Error | undefined>;
  /** Where clients and peers reach it, as far as the transport knows. */
  readonly addresses: readonly string[];
}

/** Opens the state, makes or recovers the engine, and runs. @throws what keeps it from starting, with nothing left running. */
export async function runReplica(parts: ReplicaParts): Promise<RunningCore> {
  const heads = await openHeads(parts);
  await parts.onOpened?.();
  const records = parts.log.recovered.map((bytes) => parts.codec.decodeRecord(bytes));
  const shell = assemble(parts, heads, records);
  try {
    await shell.start();
  } catch (error) {
    await shell.stop().catch(() => undefined);
    throw error;
  }
  return shell;
}

interface Shell extends RunningCore {
  start(): Promise<void>;
}

const recoveredOf = ({ memory }: ReplicaParts, { durable }: Heads, records: readonly LogRecord[]): Recovered =>
  ({ records, executedSeq: durable.header.seq, ...(memory !== undefined && { memory }) });

const lastStable = (records: readonly LogRecord[]): StableCheckpoint | undefined => records.filter((record) => record.type === "stable").at(-1)?.stable;

function assemble(given: ReplicaParts, heads: Heads, records: readonly LogRecord[]): Shell {
  const incidents = given.incidents ?? new Incidents(() => given.clock.monotonicMs());
  const parts = given.incidents === undefined ? { ...given, logger: rememberProblems(given.logger, incidents) } : given;
  const { self, cluster, codec, hasher, state, blocks, transport, clock, logger, log } = parts;
  const nowMs = (): number => clock.monotonicMs();
  const scheduler = parts.scheduler ?? systemScheduler;
  const counters = newCounters();
  const measures = newMeasures(nowMs);
  const { parameters } = cluster;
  const config: EngineConfig = { self, epoch: cluster.epoch, quorums: quorums(cluster.replicas.length, cluster.f), parameters, genesisRoot: heads.genesis.hash };
  const engine = parts.engine(config, { makeBatch: codec.makeBatch }, recoveredOf(parts, heads, records));
  // Followed by effects, so that the hot path needs no status of the engine.
  const known: { view: View } = { view: engine.status().view };
  const limiter = createLogLimiter(nowMs);
  const inbox = createInbox(counters);
  const diskSpace = createDiskSpace({ disk: parts.disk, counters, logger, nowMs });
  const verifier = verifierOf(parts, engine, counters);
  const evidence = createEvidenceKeeper({ codec, hasher, store: parts.evidence, counters, logger });
  const signer = createSigner({ codec, key: parts.signingKey, verifier, counters });
  const outbox = createOutbox({ config, signer, codec, transport, counters, logger });
  const pending = new PendingBundles(parameters, nowMs);
  const connections = new ClientConnections((connection) => inbox.penalise(connection));
  const { executor, writes, sessions } = executorOf(parts, heads.durable);
  const admission = createAdmission({
    state, sessions, parameters, verifier, pending, connections, counters,
    executedSeq: () => executor.head.header.seq, halted: () => execution.halted,
  });
  const replies = createReplies({
    self, epoch: cluster.epoch, signer, codec, hasher, blocks, connections, counters, logger, view: () => known.view, stopped: () => loop.stopped,
  });
  const execution = createExecution({
    executor, state, blocks, hasher, pending, admission, replies, counters, measures, logger, probe: parts.probe,
    input: (input) => loop.input(input), wake: () => loop.wake(), fatal: (error) => loop.fatal(error),
  });
  const send: Outbox["send"] = (to, message) => !loop.stopped && !diskSpace.frozen && outbox.send(to, message);
  const assembly = createAssembly({ config, codec, counters, send, find: (digest) => pending.get(digest), screen: (message) => engine.screen(message) });
  const decisions = createDecisions({ blocks, logger, send, stopped: () => loop.stopped });
  const stateTransfer = createStateTransfer(parts, {
    executor, execution, counters, verifier, send,
    obsolete: () => pending.obsolete(admission.doneNow()),
    stable: lastStable(records), stopped: () => loop.stopped,
    input: (input) => loop.input(input), fatal: (error) => loop.fatal(error),
  });
  const { transfer, backfill } = stateTransfer;
  const observer = createObserver({
    self, cluster, clusterId: parts.clusterId, engine, executor, execution, transfer, backfill, state, blocks, diskSpace, connections, pending, assembly, counters, incidents,
    measures, nowMs, parameters, peerStates: () => transport.peers?.() ?? [], logBytes: () => log.usage?.().bytes, stopped: () => loop.stopped,
  });
  const horizon = recoveryHorizon(records, blocks);
  const reads = readsOf(parts, { config, stable: lastStable(records), execution, executor, writes, horizon });
  const control = createControl({
    ...reads, codec, state, blocks, executor, admission, connections, counters, logger, app: parts.app, localQueries: parts.localQueries,
    halted: () => execution.halted, status: () => observer.status(), why: () => observer.why(), recovered: () => untilRecovered(horizon, () => executor.head.header.seq, scheduler),
  });
  const { promise: ended, resolve: end } = deferred<Error | undefined>();
  const loop = createLoop({
    engine, inbox, execution, outbox, decisions, transfer, counters, incidents, evidence, logger, limiter,
    journal: createJournal({ log, codec, counters, measures, recovered: records, noteView: parts.noteView }),
    read: createReader({
      codec, verifier, admission, assembly, replies, control, connections, counters, incidents, evidence, logger, limiter, penalise: (from) => inbox.penalise(from),
      state: stateTransfer,
    }),
    schedule: (turn) => scheduler.soon(turn), frozen: () => diskSpace.frozen, probe: parts.probe,
    onView: (view) => void (known.view = view), onCertified: (proven) => (stateTransfer.settled.certified(proven), reads.provenReads.certified(proven)),
    onFatal: (error) => end(asError(error)),
  });
  return lifecycle({
    parts, heads, control, counters, diskSpace, observer, execution, decisions, ...stateTransfer, loop, outbox, assembly, evidence, inbox, connections, ended, end,
  });
}

interface ReadParts {
  readonly config: EngineConfig;
  /** From the log. */
  readonly stable: StableCheckpoint | undefined;
  readonly execution: Execution;
  readonly executor: Executor;
  readonly writes: RecentWrites | undefined;
  readonly horizon: number;
}

/** What is answered without ordering. */
function readsOf(parts: ReplicaParts, { config, stable, execution, executor, writes, horizon }: ReadParts): { readonly fastRead: FastRead; readonly provenReads: ProvenReads } {
  const { codec, state, blocks, hasher, logger, app, clock } = parts;
  const halted = (): Halt | undefined => execution.halted;
  return {
    fastRead: createFastReads({ writes, state, hasher, horizon, logger, app, halted, nowMs: () => clock.monotonicMs(), head: () => executor.head.header }),
    provenReads: createProvenReads({ codec, state, blocks, stable, halted, quorums: config.quorums }),
  };
}

function verifierOf({ codec, hasher, replicaKeys, verifyingKey, cluster }: ReplicaParts, engine: OrderingEngine, counters: Counters): Verifier {
  const clientKeys = cluster.clients === "listed" ? new Set(cluster.clientKeys) : undefined;
  return createVerifier({ codec, hasher, counters, replicaKeys, verifyingKey, clientKeys, screen: (message) => engine.screen(message) });
}

type TransferParts = Pick<TransferOptions, "executor" | "counters" | "obsolete" | "send" | "input" | "fatal" | "stopped"> & {
  readonly execution: Execution;
  readonly verifier: Verifier;
  /** From the log. */
  readonly stable: StableCheckpoint | undefined;
};

interface StateTransfer {
  readonly settled: Settled;
  readonly transfer: Transfer;
  readonly donor: Donor;
  readonly backfill: Backfill;
  message(from: ReplicaId, message: StateMessage): void;
}

/** Both sides of state transfer, and what comes after it. */
function createStateTransfer(parts: ReplicaParts, own: TransferParts): StateTransfer {
  const { self, cluster, state, blocks, hasher, codec, clock, logger } = parts;
  const { execution, counters, send, stopped, stable, fatal, verifier } = own;
  const settled = createSettled({ state, blocks, hasher, stable });
  const transfer = createTransfer({ ...own, settled, self, replicas: cluster.replicas.length, state, blocks, hasher, logger, nowMs: () => clock.monotonicMs() });
  const check = createBlockCheck({ codec, hasher, cluster, signatures: (certificate) => verifier.certificate(certificate) });
  // A state that is in doubt is given to nobody.
  const donor = createDonor({ state, blocks, codec, send, stopped, counters, logger, quarantined: () => execution.halted?.code === "DIVERGED" });
  const backfill = createBackfill({
    self, cluster, state, blocks, hasher, check, settled, send, stopped, fatal, counters, logger,
    paused: () => transfer.status !== undefined || execution.halted !== undefined,
  });
  return {
    settled, transfer, donor, backfill,
    message(from, message) {
      if (message.type === "fetch-state" || message.type === "fetch-block") donor.request(from, message);
      else if (message.type === "block-part") backfill.message(from, message);
      else transfer.message(from, message);
    },
  };
}

interface Assembled {
  readonly parts: ReplicaParts;
  readonly heads: Heads;
  readonly control: Control;
  readonly counters: Counters;
  readonly diskSpace: DiskSpace;
  readonly observer: Observer & ObserverInputs;
  readonly execution: ReturnType<typeof createExecution>;
  readonly decisions: ReturnType<typeof createDecisions>;
  readonly transfer: Transfer;
  readonly donor: Donor;
  readonly backfill: Backfill;
  readonly loop: ReturnType<typeof createLoop>;
  readonly outbox: Outbox;
  readonly assembly: Assembly;
  readonly evidence: EvidenceKeeper;
  readonly inbox: ReturnType<typeof createInbox>;
  readonly connections: ClientConnections;
  readonly ended: Promise<Error | undefined>;
  readonly end: (error: Error | undefined) => void;
}

interface Pace {
  ticks(due: number): void;
  peer(fact: Extract<Input, { type: "peer" }>): void;
}

/** What comes from clock and network by itself. While the disk is full ticks are lost, and of each peer the last fact is held back. */
function paceOf({ parts: { clock }, diskSpace, counters, loop, outbox, assembly, transfer, donor, backfill }: Assembled): Pace {
  const heldBack = new Map<ReplicaId, Input>();
  return {
    ticks(due) {
      diskSpace.look();
      if (diskSpace.frozen) {
        counters.ticksLost += due;
        return;
      }
      for (const fact of heldBack.values()) loop.input(fact);
      heldBack.clear();
      for (let i = 0; i < due; i++) {
        loop.input({ type: "tick", wallMs: wholeMs(clock) });
        outbox.tick();
        assembly.tick();
        transfer.tick();
        donor.tick();
        backfill.tick();
      }
    },
    peer(fact) {
      if (diskSpace.frozen) heldBack.set(fact.replica, fact);
      else loop.input(fact);
    },
  };
}

function lifecycle(assembled: Assembled): Shell {
  const { parts, heads, diskSpace, observer, loop, inbox, connections, execution, decisions, transfer, donor, backfill, ended, end } = assembled;
  const { transport, clock, logger } = parts;
  const pace = paceOf(assembled);
  const frozenCalls = createFrozenCalls({ codec: parts.codec, control: assembled.control });
  let ticker: Timer | undefined;
  let stopping: Promise<void> | undefined;

  const shell: Shell = {
    ended,
    get addresses() {
      return transport.addresses?.() ?? [];
    },
    status: () => observer.status(),
    why: () => observer.why(),
    health: () => observer.health(),
    metrics: () => observer.metrics(),
    async start() {
      diskSpace.look();
      loop.input({ type: "start", wallMs: wholeMs(clock) });
      // The log may end before the quorum's proof for the own last checkpoint: the engine must be able to vouch for it again.
      for (const input of durableCheckpoint(heads)) loop.input(input);
      await transport.start({
        onPeerFrame: (from, frame) => {
          if (loop.stopped) return;
          observer.heard(from);
          inbox.peer(from, frame);
          loop.wake();
        },
        onPeer: (replica, up) => {
          observer.peer(replica, up);
          transfer.peer(replica, up);
          backfill.peer(replica, up);
          pace.peer({ type: "peer", replica, connected: up });
        },
        onClientFrame: (connection: ClientConnection, frame) => {
          if (loop.stopped || (diskSpace.frozen && frozenCalls.answer(connection, frame))) return;
          inbox.client(connection, frame);
          loop.wake();
        },
        onClientGone: (connection) => {
          inbox.forget(connection);
          connections.forget(connection);
        },
      });
      if (!loop.stopped) ticker = startTicker(clock, parts.scheduler ?? systemScheduler, (ticks) => (frozenCalls.tick(), pace.ticks(ticks)));
    },
    stop() {
      stopping ??= (async () => {
        loop.stop();
        ticker?.stop();
        end(undefined);
        await transport.stop();
        for (const work of [execution, decisions, transfer, donor, backfill]) await work.idle();
      })();
      return stopping;
    },
  };
  void ended.then((error) => {
    if (error === undefined) return logger.info({}, "the replica stops, as it was told to: it says nothing from now on");
    logger.error({ error: describeError(error) }, `the replica stops: ${error.message}`);
    shell.stop().catch((failure: unknown) => logger.error({ error: describeError(failure) }, "stopping failed"));
  });
  return shell;
}

function durableCheckpoint({ durable }: Heads): readonly Input[] {
  const { seq } = durable.header;
  return seq === 0 ? [] : [{ type: "checkpointed", seq, root: durable.hash }];
}

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));

function deferred<T>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
