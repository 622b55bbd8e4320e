/** `startReplica`: opens a home directory and runs the replica it describes. */
import { join } from "node:path";
import { view, type BlockStore, type ClusterConfig, type Digest, type Logger, type ReplicaId, type StateMachine, type VoteLog } from "@narses/core";
import { hasher, verifyingKey } from "@narses/crypto";
import { createTransport } from "@narses/network";
import { createEngine } from "@narses/pbft";
import { lockDataDirectory, openBlockStore, openStateStore, openVoteLog, type AuthenticatedState, type DataDirectory, type VoteLogOptions } from "@narses/storage";
import { clusterId as clusterIdOf, createCodec, type Codec } from "@narses/wire";
import { replicaKeysOf } from "./cluster-file.ts";
import { guardDeterminism, type GuardOptions } from "./guard/guard.ts";
import { freeBytesOf } from "./free-bytes.ts";
import { adminOf, loadHome } from "./home.ts";
import { evidenceDirectory } from "./evidence-directory.ts";
import { describeError, withFields } from "./log.ts";
import { startAdmin, type AdminSources } from "./operations/admin.ts";
import { Incidents, rememberProblems } from "./operations/incidents.ts";
import type { Observer } from "./operations/observer.ts";
import { createPinoLogger } from "./pino-logger.ts";
import { runReplica, type EngineFactory, type ReplicaTransport, type RunningCore } from "./replica.ts";
import { systemClock, type Clock } from "./ticker.ts";
import { openVoteMemory, type VoteMemory } from "./vote-memory.ts";
import { markVoted, readMark, refuseLostData, viewMarker, type Mark, type Voter } from "./voted-marker.ts";

/** What a transport of one's own is made from. */
export interface TransportContext {
  readonly self: ReplicaId;
  readonly cluster: ClusterConfig;
  readonly clusterId: Digest;
  /** Ed25519 seed of the libp2p identity. */
  readonly networkSeed: Uint8Array;
  readonly listen: readonly string[];
  readonly logger: Logger;
}

export interface ReplicaOptions<Op = unknown, Result = unknown, Question = unknown, Answer = unknown> {
  /** Directory with replica.json and what it points to. */
  readonly home: string;
  /** Deterministic: a function of operation, context and store, alike on every replica. */
  readonly app: StateMachine<Op, Result, Question, Answer>;
  /** JSON lines on standard output by default. */
  readonly logger?: Logger;
  /** Of the key file, when it is encrypted. */
  readonly passphrase?: string;
  /** PBFT by default. */
  readonly engine?: EngineFactory;
  /** libp2p by default. */
  readonly transport?: (context: TransportContext) => ReplicaTransport;
  /** `openVoteLog` of storage by default. */
  readonly voteLog?: (options: VoteLogOptions) => Promise<VoteLog>;
  readonly clock?: Clock;
  /**
   * The data directory of a replica that has voted is lost for good: start over from the others' state, and vote again only when that
   * cannot contradict what was said before. Without it such a start is refused. Of no effect when nothing is lost.
   */
  readonly rejoin?: boolean;
  /**
   * For development: every operation runs twice under traps for clocks, randomness, locales and asynchrony; a state machine that is not
   * deterministic stops the replica with APP_NONDETERMINISTIC, which names the operation and what differed. Costs speed.
   */
  readonly guard?: boolean | GuardOptions;
  /** HOST:PORT, or a port of 127.0.0.1, for health, metrics, status and `why` over HTTP; in place of "admin" in replica.json. */
  readonly admin?: string;
}

export interface RunningReplica extends AsyncDisposable, Omit<Observer, "metrics"> {
  readonly id: ReplicaId;
  readonly cluster: ClusterConfig;
  readonly clusterId: Digest;
  /** Where clients and peers reach it. */
  readonly addresses: readonly string[];
  /** Of the admin endpoint, if there is one: http://127.0.0.1:9100 */
  readonly adminUrl: string | undefined;
  /** Prometheus metrics of this replica and its process, as text. */
  metrics(): Promise<string>;
  /** Stops and closes everything; idempotent. Resolves when the data directory is free. */
  stop(): Promise<void>;
  /**
   * Resolves when the replica has stopped and everything is closed: with undefined after `stop`, with the error that
   * stopped it otherwise (a failed disk, a broken invariant). Never rejects.
   */
  readonly stopped: Promise<Error | undefined>;
}

/**
 * Starts a replica; resolves when it listens. Peers need not be there.
 * @throws NarsesError CONFIG_INVALID, KEY_INVALID, KEY_PASSPHRASE, DATA_DIR_LOCKED, DATA_DIR_FOREIGN, DATA_CORRUPT, DATA_VERSION,
 * PORT_IN_USE, DISK_FAILED; InvariantViolation when the vote log contradicts itself. Nothing is left running or locked then.
 */
export async function startReplica<Op, Result, Question, Answer>(options: ReplicaOptions<Op, Result, Question, Answer>): Promise<RunningReplica> {
  const { self, cluster, signingKey, networkSeed, dataDirectory, listen, localQueries, ...home } = await loadHome(options.home, options.passphrase);
  const adminAddress = options.admin === undefined ? home.admin : adminOf(options.admin, "admin");
  const clock = options.clock ?? systemClock;
  const incidents = new Incidents(() => clock.monotonicMs());
  const logger = rememberProblems(withFields(options.logger ?? createPinoLogger(), { replica: self }), incidents);
  const clusterId = clusterIdOf(hasher, cluster);
  const codec = createCodec({ hasher, clusterId, epoch: cluster.epoch, replicas: cluster.replicas.length, parameters: cluster.parameters });
  const closing = new Closing(logger);
  try {
    const directory = closing.add(await lockDataDirectory(dataDirectory, { clusterId, replica: self }), (held) => held.release());
    const voter: Voter = { home: options.home, self, clusterId };
    const rejoin = options.rejoin === true && cluster.replicas.length > 1; // alone there is nobody to rejoin
    const mark = await readMark(voter);
    if (!rejoin) refuseLostData(voter, mark, { directory: dataDirectory, initialized: directory.initialized });
    // Nobody has heard anything from this key: view 0 is the last one it can have been in.
    const firstView = rejoin || mark !== undefined ? undefined : view(0);
    const stores = await openStores(directory, { codec, closing, openLog: options.voteLog ?? openVoteLog, replicas: cluster.replicas.length, rejoin, mark, logger });
    const lastView = mark?.view ?? directory.view ?? view(0);
    const markView = viewMarker(voter, lastView);
    const transport = (options.transport ?? createTransport)({ self, cluster, clusterId, networkSeed, listen, logger });
    const core = await runReplica({
      self, cluster, clusterId, codec, hasher, signingKey, verifyingKey, transport, localQueries, logger, incidents, clock, ...stores,
      app: guarded(options.app as StateMachine, options.guard), engine: options.engine ?? createEngine, replicaKeys: replicaKeysOf(cluster),
      disk: { directory: dataDirectory, reserveBytes: home.diskReserveBytes, freeBytes: () => freeBytesOf(dataDirectory) },
      evidence: evidenceDirectory(join(dataDirectory, "evidence")), mustExist: directory.initialized && !rejoin,
      noteView: (last) => (directory.noteView(last), markView(last)), onOpened: async () => {
        directory.markInitialized(directory.votesLost ? undefined : firstView);
        await markVoted(voter, lastView);
      },
    });
    const size = `replica ${self} of ${cluster.replicas.length} runs, ${cluster.f} faults tolerated`;
    logger.info({ cluster: cluster.name, clusterId, home: options.home }, size);
    closing.add(core, (running) => running.stop());
    const admin = adminAddress === undefined ? undefined : closing.add(await startAdmin(adminAddress, adminSources(core, logger)), (open) => open.close());
    return running({ id: self, cluster, clusterId, adminUrl: admin?.url }, core, closing);
  } catch (error) {
    await closing.close();
    throw error;
  }
}

function guarded(app: StateMachine, guard: boolean | GuardOptions | undefined): StateMachine {
  if (guard === undefined || guard === false) return app;
  return guardDeterminism(app, guard === true ? {} : guard);
}

interface Stores extends VoteMemory {
  readonly state: AuthenticatedState;
  readonly blocks: BlockStore;
}

interface Opening {
  readonly codec: Codec;
  readonly closing: Closing;
  readonly openLog: (options: VoteLogOptions) => Promise<VoteLog>;
  readonly replicas: number;
  readonly rejoin: boolean;
  readonly mark: Mark | undefined;
  readonly logger: Logger;
}

async function openStores(directory: DataDirectory, { closing, codec, ...opening }: Opening): Promise<Stores> {
  const { log, memory } = await openVoteMemory({ directory, decode: (bytes) => codec.decodeRecord(bytes), ...opening });
  closing.add(log, (store) => store.close());
  const state = closing.add(await openStateStore({ directory: directory.state, hasher }), (store) => store.close());
  const blocks = closing.add(await openBlockStore({ directory: directory.blocks, codec }), (store) => store.close());
  return { log, memory, state, blocks };
}

function adminSources(core: RunningCore, logger: Logger): AdminSources {
  return { status: () => core.status(), why: () => core.why(), health: () => core.health(), metrics: core.metrics(), logger };
}

function running(names: Pick<RunningReplica, "id" | "cluster" | "clusterId" | "adminUrl">, core: RunningCore, closing: Closing): RunningReplica {
  const stopped = core.ended.then(async (error) => {
    await core.stop().catch(() => undefined); // logged where it failed
    await closing.close();
    return error;
  });
  const stop = async (): Promise<void> => {
    await core.stop();
    await stopped;
  };
  return {
    ...names,
    get addresses() {
      return core.addresses;
    },
    status: () => core.status(),
    why: () => core.why(),
    health: () => core.health(),
    metrics: () => core.metrics().render(),
    stop,
    [Symbol.asyncDispose]: stop,
    stopped,
  };
}

/** What to close at the end, last opened first. A failure to close one keeps none of the others open. */
class Closing {
  readonly #logger: Logger;
  readonly #steps: (() => Promise<void>)[] = [];

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  add<T>(resource: T, close: (resource: T) => Promise<void>): T {
    this.#steps.push(() => close(resource));
    return resource;
  }

  async close(): Promise<void> {
    for (const step of this.#steps.splice(0).reverse()) {
      try {
        await step();
      } catch (error) {
        this.#logger.warn({ error: describeError(error) }, "something could not be closed cleanly");
      }
    }
  }
}
