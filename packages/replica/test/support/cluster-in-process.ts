/** A whole cluster in one process: memory network, memory stores or directories, and a minimal client. */
import { mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { replicaId, requestId, type Bundle, type ClientTransport, type Digest, type Operation, type ReplicaId, type ReplicaToClientMessage, type Reply, type SigningKey, type StateMachine } from "@narses/core";
import { createKeyFile, hasher, sha256, verifyingKey } from "@narses/crypto";
import { createMemoryNetwork, type MemoryNetwork } from "@narses/network";
import { createEngine } from "@narses/pbft";
import { memoryBlockStore, memoryStateStore, memoryVoteLog, type MemoryBlockStore, type MemoryState, type MemoryVoteLog } from "@narses/storage";
import { decodePayload, decodeResult, encodePayload } from "@narses/wire";
import type { Disk } from "../../src/disk-space.ts";
import { runReplica, type ReplicaTransport, type RunningCore } from "../../src/replica.ts";
import { systemClock, type Clock } from "../../src/ticker.ts";
import { clientKey, type TestCluster } from "./cluster.ts";
import { recordingLogger } from "./fakes.ts";

export interface Counter {
  readonly add: number;
}

export const counter: StateMachine<Counter, number, unknown, unknown> = {
  genesis(_data, store) {
    store.put("total", 0);
  },
  apply({ add }, { store }) {
    const total = (store.get("total") as number) + add;
    store.put("total", total);
    return total;
  },
  query: (_question, { store }) => store.get("total"),
};

interface Stores {
  readonly log: MemoryVoteLog;
  readonly state: MemoryState;
  readonly blocks: MemoryBlockStore;
}

export interface Member {
  readonly core: RunningCore;
  readonly stores: Stores;
  readonly logger: ReturnType<typeof recordingLogger>;
}

/** What becomes of a frame between two replicas: other bytes, or nothing. */
export type Tamper = (from: number, to: number, frame: Uint8Array) => Uint8Array | undefined;

export class InProcess {
  tamper: Tamper | undefined;
  /** Of those whose space is watched. */
  readonly disks = new Map<number, Disk>();
  bucketBits = 4;
  clock: Clock = systemClock;
  readonly tools: TestCluster;
  readonly network: MemoryNetwork;
  readonly members = new Map<number, Member>();
  readonly app: StateMachine;

  constructor(tools: TestCluster, app: StateMachine = counter as StateMachine) {
    this.tools = tools;
    this.app = app;
    this.network = createMemoryNetwork({ replicas: tools.cluster.replicas.length });
  }

  async start(id: number, from?: { readonly stores: Stores; readonly mustExist?: boolean }, app: StateMachine = this.app): Promise<Member> {
    const { cluster, clusterId, codec, signingKeys, replicaKeys } = this.tools;
    const stores = from?.stores ?? { log: memoryVoteLog(), state: await memoryStateStore({ hasher, bucketBits: this.bucketBits }), blocks: memoryBlockStore() };
    const logger = recordingLogger();
    const disk = this.disks.get(id);
    const core = await runReplica({
      ...stores, self: replicaId(id), cluster, clusterId, app, engine: createEngine, codec, hasher, signingKey: signingKeys[id] as SigningKey, replicaKeys, verifyingKey,
      transport: this.#tampered(id), clock: this.clock, localQueries: true, mustExist: from?.mustExist ?? false, logger,
      ...(disk !== undefined && { disk }),
    });
    const member = { core, stores, logger };
    this.members.set(id, member);
    return member;
  }

  #tampered(id: number): ReplicaTransport {
    const inner = this.network.transport(replicaId(id));
    return {
      start: (handlers) => inner.start(handlers),
      stop: () => inner.stop(),
      send: (to, frame) => {
        const sent = this.tamper === undefined ? frame : this.tamper(id, to, frame);
        return sent === undefined || inner.send(to, sent);
      },
    };
  }

  async startAll(): Promise<void> {
    for (let id = 0; id < this.tools.cluster.replicas.length; id++) await this.start(id);
  }

  /** Ends a replica; what it comes back with depends on how. */
  async crash(id: number, how: "kill" | "power-cut"): Promise<Stores> {
    const member = this.member(id);
    await member.core.stop();
    this.members.delete(id);
    const { log, state, blocks } = member.stores;
    return { log: log.reopen(how), state: await state.reopen(), blocks: blocks.reopen() };
  }

  member(id: number): Member {
    const member = this.members.get(id);
    if (member === undefined) throw new TypeError(`replica ${id} is down`);
    return member;
  }

  async stop(): Promise<void> {
    await Promise.all([...this.members.values()].map(({ core }) => core.stop()));
  }

  async client(name = "client"): Promise<TestClient> {
    const client = new TestClient(this.tools, this.network, clientKey(name));
    await client.start(this.members.size);
    return client;
  }
}

/** Polls in real time, at most 20 s: for what no event announces. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  for (let i = 0; !holds(); i++) {
    if (i >= 2_000) throw new TypeError(`waited in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export interface Answer {
  readonly block: Digest;
  readonly reply: Reply;
  readonly values: readonly unknown[];
}

/** Sends to all, believes W that say the same; repeats itself every 250 ms. */
export class TestClient {
  readonly received: { readonly from: ReplicaId; readonly message: ReplicaToClientMessage }[] = [];
  readonly #tools: TestCluster;
  readonly #transport: ClientTransport;
  readonly key: SigningKey;
  #rid = 1;
  #calls = 0;
  #onMessage: (() => void) | undefined;

  constructor(tools: TestCluster, network: { client(): ClientTransport }, key: SigningKey) {
    this.#tools = tools;
    this.#transport = network.client();
    this.key = key;
  }

  /** Resolves when `replicas` of them are connected. */
  async start(replicas: number): Promise<void> {
    let connected = 0;
    await this.#transport.start({
      onReplica: (_replica, up) => void (connected += up ? 1 : -1),
      onFrame: (from, frame) => {
        const decoded = this.#tools.codec.decodeToClient(frame);
        if (!decoded.ok) throw new TypeError(`replica ${from} sent a bad frame: ${decoded.rejection.detail}`);
        this.received.push({ from, message: decoded.value });
        this.#onMessage?.();
      },
    });
    await until(`${replicas} replicas connected`, () => connected >= replicas);
  }

  stop(): Promise<void> {
    return this.#transport.stop();
  }

  bundle(operations: readonly Operation[], ridFirst: number = this.#rid): Bundle {
    this.#rid = Math.max(this.#rid, ridFirst + operations.length);
    return this.#tools.codec.makeBundle({ key: this.key, session: 0, ridFirst: requestId(ridFirst), ackLow: ridFirst - 1, operations });
  }

  send(to: number, bundle: Bundle): boolean {
    return this.#transport.send(replicaId(to), this.#tools.codec.encodeClient({ type: "request", bundle }));
  }

  async submit(operations: readonly Operation[]): Promise<Answer> {
    return this.order(this.bundle(operations));
  }

  async order(bundle: Bundle, to: readonly number[] = this.#tools.cluster.replicas.map(({ id }) => id)): Promise<Answer> {
    const send = (): void => void to.forEach((id) => this.send(id, bundle));
    send();
    const repeat = setInterval(send, 250);
    try {
      return await new Promise<Answer>((resolve) => {
        const look = (): void => {
          const answer = this.answerTo(bundle);
          if (answer !== undefined) resolve(answer);
        };
        this.#onMessage = look;
        look();
      });
    } finally {
      clearInterval(repeat);
      this.#onMessage = undefined;
    }
  }

  /** W matching replies, checked as little as a test needs. */
  answerTo(bundle: Bundle): Answer | undefined {
    const byBlock = new Map<Digest, { readonly senders: Set<ReplicaId>; readonly reply: Reply }>();
    for (const { from, message } of this.received) {
      if (message.type !== "reply" || message.reply.bundleDigest !== bundle.digest) continue;
      const { block } = message.reply.outcome.body;
      const entry = byBlock.get(block) ?? { senders: new Set(), reply: message.reply };
      byBlock.set(block, entry);
      entry.senders.add(from);
    }
    for (const [block, { senders, reply }] of byBlock) {
      if (senders.size > this.#tools.cluster.f) return { block, reply, values: reply.results.map(valueOf) };
    }
    return undefined;
  }

  /** A control call; rejects with the replica's `{ code, message }`. */
  async call(to: number, method: string, params: unknown = {}): Promise<unknown> {
    const id = ++this.#calls;
    this.#transport.send(replicaId(to), this.#tools.codec.encodeClient({ type: "call", id, method, params: encodePayload(params) }));
    const find = (): Extract<ReplicaToClientMessage, { type: "call-result" }> | undefined => {
      for (const { from, message } of this.received) if (from === to && message.type === "call-result" && message.id === id) return message;
      return undefined;
    };
    await until(`answer to ${method}`, () => find() !== undefined);
    const result = find();
    const value = decodePayload(result?.value ?? new Uint8Array(0));
    if (!value.ok) throw new TypeError(value.rejection.detail);
    if (result?.ok !== true) throw Object.assign(new Error(`call ${method} failed`), value.value);
    return value.value;
  }
}

export function valueOf(bytes: Uint8Array): unknown {
  const decoded = decodeResult(bytes);
  if (!decoded.ok) throw new TypeError(decoded.rejection.detail);
  return decoded.value.status === "ok" ? decoded.value.value : decoded.value.code;
}

/** Home directories of a cluster on disk; `remove` deletes them. */
export async function makeHomes(tools: TestCluster): Promise<{ readonly homes: readonly string[]; remove(): Promise<void> }> {
  const root = await mkdtemp(join(tmpdir(), "narses-replica-"));
  const homes: string[] = [];
  for (const { id } of tools.cluster.replicas) {
    const home = join(root, String(id));
    await mkdir(home);
    await writeFile(join(home, "cluster.json"), JSON.stringify(tools.cluster));
    await writeFile(join(home, "replica.json"), JSON.stringify({ replica: id }));
    createKeyFile(join(home, "replica.key"), { kind: "replica", seed: sha256(new TextEncoder().encode(`test replica ${id}`)) });
    homes.push(home);
  }
  return { homes, remove: () => rm(root, { recursive: true, force: true }) };
}
