/**
 * Whole replicas in memory, as they ship (shell, sessions, log, authenticated state, state transfer), on a lock-step network: everything sent
 * in round t arrives in round t+1. Time passes only where it is told to. Signatures have the real size and cost a hash.
 */
import { DEFAULT_PARAMETERS, epoch, faultsTolerated, replicaId, requestId, SIGNATURE_SUITE, TICK_MS, toHex, type Bundle, type ClusterConfig, type Parameters, type ReplicaId, type SigningKey, type StateMachine, type TransportHandlers, type VerifyingKey } from "@narses/core";
import { hasher } from "@narses/crypto";
import { createEngine } from "@narses/pbft";
import { runReplica, silentLogger, type RunningCore, type Scheduler, type Timer } from "@narses/replica/core";
import { memoryBlockStore, memoryStateStore, memoryVoteLog, type MemoryState } from "@narses/storage";
import { clusterId, createCodec, encodePayload, type Codec } from "@narses/wire";

export interface WholeOptions {
  readonly n: number;
  readonly app: StateMachine;
  /** log2 of the pages of the state. */
  readonly bucketBits: number;
  readonly parameters: Partial<Parameters>;
}

export interface Frame {
  readonly from: ReplicaId;
  readonly to: ReplicaId;
  readonly bytes: Uint8Array;
}

interface Member {
  readonly core: RunningCore;
  readonly state: MemoryState;
  /** Answers with pages that it has made durable, and states it has switched to. */
  readonly disk: { staged: number; installed: number };
}

/** Fixed, so that the same run gives the same bytes. */
const WALL_MS = 1_700_000_000_000;
/** Turns of the event loop without anything to do until a round counts as over; work on the memory stores takes one. */
const QUIET_TURNS = 3;

const text = new TextEncoder();

function fakeKey(name: string): SigningKey & VerifyingKey {
  const publicKey = hasher.sha256(text.encode(name));
  const sign = (message: Uint8Array): Uint8Array => {
    const half = hasher.sha256(publicKey, message);
    return Uint8Array.from([...half, ...half]);
  };
  return { publicKey, bytes: publicKey, sign, verify: (message, signature) => Buffer.compare(sign(message), signature) === 0 };
}

function countStaging(state: MemoryState, disk: Member["disk"]): MemoryState {
  const open = state.stage.bind(state);
  return Object.assign(state, {
    stage: async (): ReturnType<typeof open> => {
      const staging = await open();
      return {
        get live() {
          return staging.live;
        },
        get staged() {
          return staging.staged;
        },
        put: (pages) => {
          disk.staged++;
          return staging.put(pages);
        },
        install: (tree, header, kept) => {
          disk.installed++;
          return staging.install(tree, header, kept);
        },
      };
    },
  });
}

export class WholeCluster {
  readonly codec: Codec;
  /** Told of every frame that is sent. */
  onFrame: (frame: Frame) => void = () => undefined;
  /** Rounds passed. */
  round = 0;
  readonly #options: WholeOptions;
  readonly #cluster: ClusterConfig;
  readonly #keys: readonly ReturnType<typeof fakeKey>[];
  readonly #client: ReturnType<typeof fakeKey> = fakeKey("client");
  readonly #members: Map<number, Member> = new Map();
  readonly #handlers: Map<number, TransportHandlers> = new Map();
  readonly #timers: Set<{ dueMs: number; readonly everyMs: number; readonly run: () => void }> = new Set();
  #flying: Frame[] = [];
  #soon: (() => void)[] = [];
  #nowMs = 0;
  #nextRid = 1;

  constructor(options: WholeOptions) {
    this.#options = options;
    const { n, parameters } = options;
    this.#keys = Array.from({ length: n }, (_, id) => fakeKey(`replica ${id}`));
    this.#cluster = {
      version: 1, name: "bench", epoch: epoch(0), f: faultsTolerated(n), signatureSuite: SIGNATURE_SUITE, clients: "open", clientKeys: [], genesis: null,
      parameters: { ...DEFAULT_PARAMETERS, batchDelayTicks: 0, ...parameters },
      replicas: this.#keys.map(({ publicKey }, id) => ({ id: replicaId(id), publicKey: toHex(publicKey), networkKey: toHex(publicKey), addresses: [] })),
    };
    this.codec = createCodec({ hasher, clusterId: clusterId(hasher, this.#cluster), epoch: epoch(0), replicas: n, parameters: this.#cluster.parameters });
  }

  member(id: number): Member {
    const member = this.#members.get(id);
    if (member === undefined) throw new RangeError(`replica ${id} is not running`);
    return member;
  }

  get running(): readonly Member[] {
    return [...this.#members.values()];
  }

  /** On empty disks; connected to all that run. */
  async start(id: number): Promise<void> {
    const key = this.#keys[id];
    if (key === undefined) throw new RangeError(`there is no replica ${id}`);
    const disk = { staged: 0, installed: 0 };
    const state = countStaging(await memoryStateStore({ hasher, bucketBits: this.#options.bucketBits }), disk);
    const self = replicaId(id);
    const byBytes = new Map([this.#client, ...this.#keys].map((one) => [toHex(one.publicKey), one]));
    const core = await runReplica({
      self, cluster: this.#cluster, clusterId: clusterId(hasher, this.#cluster), app: this.#options.app, engine: createEngine, codec: this.codec, hasher, signingKey: key, replicaKeys: this.#keys,
      verifyingKey: (publicKey) => byBytes.get(toHex(publicKey)) ?? fakeKey("nobody"), log: memoryVoteLog(), state, blocks: memoryBlockStore(), mustExist: false, localQueries: false, logger: silentLogger,
      clock: { monotonicMs: () => this.#nowMs, wallMs: () => WALL_MS + this.#nowMs }, scheduler: this.#scheduler(),
      transport: {
        start: (handlers) => Promise.resolve(void this.#handlers.set(id, handlers)),
        stop: () => Promise.resolve(),
        send: (to, bytes) => {
          if (!this.#handlers.has(to)) return false;
          const frame = { from: self, to, bytes: bytes.slice() };
          this.onFrame(frame);
          this.#flying.push(frame);
          return true;
        },
      },
    });
    this.#members.set(id, { core, state, disk });
    for (const [other, handlers] of this.#handlers) {
      if (other === id) continue;
      handlers.onPeer(self, true);
      this.#handlers.get(id)?.onPeer(replicaId(other), true);
    }
    await this.#settle();
  }

  async stop(): Promise<void> {
    this.#timers.clear();
    const stopped = Promise.all(this.running.map(({ core }) => core.stop()));
    await this.#settle();
    await stopped;
  }

  /** Operations of one client under one signature, given to every replica; ordered and executed when this returns. */
  async order(operations: readonly unknown[]): Promise<void> {
    const bundle: Bundle = this.codec.makeBundle({
      key: this.#client, session: 0, ridFirst: requestId(this.#nextRid), ackLow: this.#nextRid - 1, operations: operations.map((operation) => ({ kind: "apply", payload: encodePayload(operation) })),
    });
    this.#nextRid += operations.length;
    const frame = this.codec.encodeClient({ type: "request", bundle });
    for (const handlers of this.#handlers.values()) handlers.onClientFrame({ label: "client", send: () => true }, frame);
    await this.#settle();
    await this.quiet();
  }

  /** Rounds until nothing is under way. */
  async quiet(): Promise<void> {
    while (this.#flying.length > 0) await this.step();
  }

  get isQuiet(): boolean {
    return this.#flying.length === 0;
  }

  /** One message delay. */
  async step(): Promise<void> {
    this.round++;
    const arriving = this.#flying;
    this.#flying = [];
    for (const { from, to, bytes } of arriving) this.#handlers.get(to)?.onPeerFrame(from, bytes);
    await this.#settle();
  }

  /** One tick of every clock. */
  async tick(): Promise<void> {
    this.#nowMs += TICK_MS;
    for (const timer of [...this.#timers].sort((a, b) => a.dueMs - b.dueMs)) {
      if (timer.dueMs > this.#nowMs || !this.#timers.has(timer)) continue;
      if (timer.everyMs > 0) timer.dueMs += timer.everyMs;
      else this.#timers.delete(timer);
      timer.run();
    }
    await this.#settle();
  }

  #scheduler(): Scheduler {
    const add = (ms: number, everyMs: number, run: () => void): Timer => {
      const timer = { dueMs: this.#nowMs + ms, everyMs, run };
      this.#timers.add(timer);
      return { stop: () => void this.#timers.delete(timer) };
    };
    return { soon: (run) => void this.#soon.push(run), after: (ms, run) => add(ms, 0, run), every: (ms, run) => add(ms, ms, run) };
  }

  /** Until every replica waits for something from outside. */
  async #settle(): Promise<void> {
    for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
      const due = this.#soon;
      this.#soon = [];
      for (const run of due) run();
      if (due.length > 0) quiet = 0;
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#soon.length > 0) quiet = -1;
    }
  }
}
