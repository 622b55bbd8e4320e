/** One replica put together out of its ports: what `startReplica` does after everything is open. Nothing here knows files or sockets. */
import {
  quorums,
  type BlockGap, type BlockStore, type ClientConnection, type ClusterConfig, type Digest, type EngineConfig, type EngineStatus, type EngineTools, type Hasher,
  type Input, type Logger, type LogRecord, type OrderingEngine, type Recovered, type ReplicaId, type SeqNum, type SigningKey, type StateMachine,
  type Transport, type VerifyingKey, type View, type VoteLog,
} from "@narses/core";
import type { AuthenticatedState } from "@narses/storage";
import type { Codec } from "@narses/wire";
import { createAdmission } from "./admission.ts";
import { ClientConnections } from "./client-connections.ts";
import { createControl } from "./control.ts";
import { newCounters, type Counters } from "./counters.ts";
import { createDecisions } from "./decisions.ts";
import { createExecution, type Execution } from "./execution.ts";
import { createExecutor, type Executor } from "./executor.ts";
import { openHeads, type Heads } from "./genesis.ts";
import { createInbox } from "./inbox.ts";
import { createJournal } from "./journal.ts";
import { createLogLimiter, describeError } from "./log.ts";
import { createOutbox } from "./outbox.ts";
import { PendingBundles } from "./pending.ts";
import { createReader } from "./reader.ts";
import { createReplies } from "./replies.ts";
import { createSigner } from "./signer.ts";
import { startTicker, type Clock } from "./ticker.ts";
import { createLoop } from "./turn.ts";
import { createDonor, type Donor } from "./transfer/donor.ts";
import { createTransfer, type Transfer, type TransferOptions, type TransferReport, type TransferStatus } from "./transfer/transfer.ts";
import { createVerifier } from "./verify.ts";

export type EngineFactory = (config: EngineConfig, tools: EngineTools, recovered?: Recovered) => OrderingEngine;

/** What a transport may tell beyond the port. */
export type ReplicaTransport = Transport & { addresses?(): readonly string[] };

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
  readonly log: VoteLog;
  readonly state: AuthenticatedState;
  readonly blocks: BlockStore;
  readonly transport: ReplicaTransport;
  readonly clock: Clock;
  readonly localQueries: boolean;
  /** The stores were used before. */
  readonly mustExist: boolean;
  /** Called when genesis is durable, before anything is voted: from now on an empty store is a lost one. */
  readonly onOpened?: () => void;
  readonly logger: Logger;
}

/** Plain data, as the control call `status` sends it. */
export interface ReplicaStatus {
  readonly replica: ReplicaId;
  readonly cluster: string;
  readonly clusterId: Digest;
  readonly epoch: number;
  readonly uptimeMs: number;
  readonly engine: EngineStatus & { readonly name: string };
  readonly head: { readonly seq: SeqNum; readonly block: Digest; readonly stateRoot: Digest; readonly timestampMs: number };
  /** Slot up to which the state on disk reaches. */
  readonly durableSeq: SeqNum;
  /** Why nothing is executed; null when all is well. */
  readonly halted: string | null;
  /** The state transfer that goes on. */
  readonly transfer: TransferStatus | null;
  /** The last one that ended, since the start of the process. */
  readonly lastTransfer: TransferReport | null;
  /** Blocks that this replica does not have. */
  readonly blockGaps: readonly BlockGap[];
  readonly peers: readonly { readonly replica: ReplicaId; readonly connected: boolean }[];
  readonly clients: number;
  readonly pendingBundles: number;
  readonly pendingBytes: number;
  readonly counters: Counters;
}

export interface RunningCore {
  status(): ReplicaStatus;
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
  parts.onOpened?.();
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

function assemble(parts: ReplicaParts, heads: Heads, records: readonly LogRecord[]): Shell {
  const { self, cluster, codec, hasher, state, blocks, transport, clock, logger, log } = parts;
  const counters = newCounters();
  const config: EngineConfig = {
    self, epoch: cluster.epoch, quorums: quorums(cluster.replicas.length, cluster.f), parameters: cluster.parameters, genesisRoot: heads.genesis.hash,
  };
  const engine = parts.engine(config, { makeBatch: codec.makeBatch }, { records, executedSeq: heads.durable.header.seq });
  // Followed by effects, so that the hot path needs no status of the engine.
  const known: { view: View; settledSeq: SeqNum } = { view: engine.status().view, settledSeq: engine.status().stableSeq };
  const limiter = createLogLimiter(clock.monotonicMs);
  const inbox = createInbox(counters);
  const verifier = createVerifier({
    codec, hasher, counters, replicaKeys: parts.replicaKeys, verifyingKey: parts.verifyingKey,
    clientKeys: cluster.clients === "listed" ? new Set(cluster.clientKeys) : undefined,
    settledSeq: () => known.settledSeq,
  });
  const signer = createSigner({ codec, key: parts.signingKey, verifier, counters });
  const outbox = createOutbox({ config, signer, codec, transport, counters, logger });
  const pending = new PendingBundles(cluster.parameters);
  const connections = new ClientConnections();
  const executor = createExecutor({ state, hasher, logger, app: parts.app, parameters: cluster.parameters, head: heads.durable });
  const admission = createAdmission({ state, parameters: cluster.parameters, verifier, pending, connections, counters, halted: () => execution.halted });
  const replies = createReplies({
    self, epoch: cluster.epoch, signer, codec, hasher, blocks, connections, counters, logger, view: () => known.view, stopped: () => loop.stopped,
  });
  const execution = createExecution({
    executor, state, blocks, hasher, pending, admission, replies, counters, logger,
    input: (input) => loop.input(input),
    wake: () => loop.wake(),
    fatal: (error) => loop.fatal(error),
  });
  const decisions = createDecisions({ blocks, logger, stopped: () => loop.stopped, send: (to, message) => !loop.stopped && outbox.send(to, message) });
  const control = createControl({
    codec, state, blocks, executor, admission, connections, counters, logger,
    app: parts.app, localQueries: parts.localQueries, halted: () => execution.halted, status: () => shell.status(),
  });
  const { transfer, donor } = createStateTransfer(parts, {
    executor, execution, counters,
    obsolete: () => pending.obsolete((bundle) => admission.isDone(bundle)),
    settledSeq: () => known.settledSeq, stopped: () => loop.stopped,
    send: (to, message) => !loop.stopped && outbox.send(to, message),
    input: (input) => loop.input(input),
    fatal: (error) => loop.fatal(error),
  });
  const { promise: ended, resolve: end } = deferred<Error | undefined>();
  const loop = createLoop({
    engine, inbox, execution, outbox, decisions, transfer, counters, logger, limiter,
    journal: createJournal({ log, codec, counters, recovered: records }),
    read: createReader({
      codec, verifier, admission, replies, control, connections, counters, logger, limiter,
      state: { message: (from, message) => (message.type === "fetch-state" ? donor.request(from, message) : transfer.message(from, message)) },
    }),
    onView: (view) => void (known.view = view),
    onStable: (seq) => void (known.settledSeq = seq),
    onFatal: (error) => end(asError(error)),
  });
  const shell: Shell = lifecycle({ parts, heads, engine, counters, executor, execution, decisions, transfer, donor, loop, inbox, connections, pending, ended, end });
  return shell;
}

type TransferParts = Pick<TransferOptions, "executor" | "counters" | "obsolete" | "settledSeq" | "send" | "input" | "fatal" | "stopped"> & {
  readonly execution: Execution;
};

/** Both sides of state transfer. */
function createStateTransfer(parts: ReplicaParts, own: TransferParts): { readonly transfer: Transfer; readonly donor: Donor } {
  const { self, cluster, state, blocks, hasher, clock, logger } = parts;
  const { execution, counters, send, stopped } = own;
  return {
    transfer: createTransfer({ ...own, self, replicas: cluster.replicas.length, state, blocks, hasher, logger, nowMs: () => clock.monotonicMs() }),
    // A state that is in doubt is given to nobody.
    donor: createDonor({ state, blocks, send, stopped, counters, logger, quarantined: () => execution.halted?.code === "DIVERGED" }),
  };
}

interface Assembled {
  readonly parts: ReplicaParts;
  readonly heads: Heads;
  readonly engine: OrderingEngine;
  readonly counters: Counters;
  readonly executor: Executor;
  readonly execution: ReturnType<typeof createExecution>;
  readonly decisions: ReturnType<typeof createDecisions>;
  readonly transfer: Transfer;
  readonly donor: Donor;
  readonly loop: ReturnType<typeof createLoop>;
  readonly inbox: ReturnType<typeof createInbox>;
  readonly connections: ClientConnections;
  readonly pending: PendingBundles;
  readonly ended: Promise<Error | undefined>;
  readonly end: (error: Error | undefined) => void;
}

function lifecycle(assembled: Assembled): Shell {
  const { parts, heads, loop, inbox, connections, execution, decisions, transfer, donor, ended, end } = assembled;
  const { transport, clock, logger } = parts;
  const startedMs = clock.monotonicMs();
  const connected = new Set<ReplicaId>();
  let ticker: { stop(): void } | undefined;
  let stopping: Promise<void> | undefined;

  const onTicks = (ticks: number): void => {
    for (let i = 0; i < ticks; i++) {
      loop.input({ type: "tick", wallMs: clock.wallMs() });
      transfer.tick();
      donor.tick();
    }
  };
  const shell: Shell = {
    ended,
    get addresses() {
      return transport.addresses?.() ?? [];
    },
    status: () => describe(assembled, { uptimeMs: Math.round(clock.monotonicMs() - startedMs), connected }),
    async start() {
      loop.input({ type: "start", wallMs: clock.wallMs() });
      // The log may end before the quorum's proof for the own last checkpoint: the engine must be able to vouch for it again.
      for (const input of durableCheckpoint(heads)) loop.input(input);
      await transport.start({
        onPeerFrame: (from, frame) => {
          if (loop.stopped) return;
          inbox.peer(from, frame);
          loop.wake();
        },
        onPeer: (replica, up) => {
          if (up) connected.add(replica);
          else connected.delete(replica);
          transfer.peer(replica, up);
          loop.input({ type: "peer", replica, connected: up });
        },
        onClientFrame: (connection: ClientConnection, frame) => {
          if (loop.stopped) return;
          inbox.client(connection, frame);
          loop.wake();
        },
        onClientGone: (connection) => {
          inbox.forget(connection);
          connections.forget(connection);
        },
      });
      if (!loop.stopped) ticker = startTicker(clock, onTicks);
    },
    stop() {
      stopping ??= (async () => {
        loop.stop();
        ticker?.stop();
        end(undefined);
        await transport.stop();
        await execution.idle();
        await decisions.idle();
        await transfer.idle();
        await donor.idle();
      })();
      return stopping;
    },
  };
  void ended.then((error) => {
    if (error === undefined) return;
    logger.error({ error: describeError(error) }, `the replica stops: ${error.message}`);
    shell.stop().catch((failure: unknown) => logger.error({ error: describeError(failure) }, "stopping failed"));
  });
  return shell;
}

function durableCheckpoint({ durable }: Heads): readonly Input[] {
  const { seq } = durable.header;
  return seq === 0 ? [] : [{ type: "checkpointed", seq, root: durable.hash }];
}

interface Observed {
  readonly uptimeMs: number;
  readonly connected: ReadonlySet<ReplicaId>;
}

function describe(assembled: Assembled, { uptimeMs, connected }: Observed): ReplicaStatus {
  const { parts, engine, executor, execution, transfer, connections, pending, counters } = assembled;
  const { self, cluster, clusterId, state, blocks } = parts;
  const { header, hash } = executor.head;
  return {
    replica: self, cluster: cluster.name, clusterId, epoch: cluster.epoch, uptimeMs,
    engine: { name: engine.name, ...engine.status() },
    head: { seq: header.seq, block: hash, stateRoot: header.stateRoot, timestampMs: header.timestampMs },
    durableSeq: state.durableSeq,
    halted: execution.halted?.reason ?? null,
    transfer: transfer.status ?? null,
    lastTransfer: transfer.last ?? null,
    blockGaps: blocks.gaps,
    peers: cluster.replicas.filter(({ id }) => id !== self).map(({ id }) => ({ replica: id, connected: connected.has(id) })),
    clients: connections.size,
    pendingBundles: pending.size, pendingBytes: pending.bytes,
    counters: structuredClone(counters),
  };
}

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));

function deferred<T>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
