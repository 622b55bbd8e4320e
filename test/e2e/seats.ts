/**
 * Replicas of one cluster, each either in this process, where every frame it hears is kept and may be lost, or a process of
 * its own that can be killed; and a client that counts.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { connect, verifyBlockBytes, type Client } from "@narses/client";
import { NULL_DIGEST, replicaId, type Digest, type Logger, type PeerMessage, type StateMessage } from "@narses/core";
import { hasher, sha256, signingKeyFromSeed } from "@narses/crypto";
import { createClientTransport, createTransport } from "@narses/network";
import { silentLogger, startReplica, type ReplicaStatus, type ReplicaTransport, type RunningReplica, type TransportContext } from "@narses/replica";
import { clusterId as clusterIdOf, createCodec, type Codec } from "@narses/wire";
import { Statements } from "../../packages/replica/test/support/statements.ts";
import { bundleProgram, type Program } from "./bundle.ts";
import type { CrashSpec, ProgramOptions } from "./program-options.ts";
import type { FaultProxy } from "./fault-proxy.ts";
import { counter, dialling, type Counting, type Homes } from "./homes.ts";

const REPLICA = new URL("replica-program.ts", import.meta.url);
const POLL_MS = 10;
const POLLS_MAX = 12_000;

export type Message = PeerMessage | StateMessage;

/** Polls until it holds. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, pollMs: number = POLL_MS): Promise<void> {
  for (let i = 0; !(await holds()); i++) {
    if (i >= POLLS_MAX) throw new RangeError(`waited in vain for ${what}`);
    await delay(pollMs);
  }
}

export interface Child {
  readonly process: ChildProcess;
  /** Resolves when it runs, or has ended before. */
  readonly ready: Promise<void>;
  /** The signal or status it ended with, and what it said. */
  readonly ended: Promise<{ readonly how: string; readonly said: string }>;
  readonly gone: () => boolean;
}

export class Seats {
  readonly homes: Homes;
  readonly codec: Codec;
  readonly #program: Program;
  readonly #proxy: FaultProxy | undefined;
  readonly statements = new Statements();
  readonly contradictions: string[] = [];
  /** Warnings and errors of the replicas in this process. */
  readonly warnings: string[] = [];
  /** Frames between replicas for which this is false are lost on their way out of or into this process. */
  delivers: (message: Message) => boolean = () => true;
  /** What comes to a replica in this process, and over whose connection. */
  heard: (message: Message, from: number) => void = () => undefined;
  /** What leaves this process in place of a frame, or nothing. */
  tamper: (message: Message, frame: Uint8Array, from: number, to: number) => Uint8Array | undefined = (_message, frame) => frame;
  readonly #here = new Map<number, RunningReplica>();
  readonly #children = new Map<number, Child>();
  #client: Client | undefined;
  readonly #operations: Promise<unknown>[] = [];

  private constructor(homes: Homes, program: Program, proxy: FaultProxy | undefined) {
    this.homes = homes;
    this.#proxy = proxy;
    this.#program = program;
    const { cluster } = homes;
    this.codec = createCodec({ hasher, clusterId: clusterIdOf(hasher, cluster), epoch: cluster.epoch, replicas: cluster.replicas.length, parameters: cluster.parameters });
  }

  /** With a proxy, replicas reach each other through it; the client does not. */
  static async of(homes: Homes, proxy?: FaultProxy): Promise<Seats> {
    return new Seats(homes, await bundleProgram(REPLICA), proxy);
  }

  async seat(id: number): Promise<void> {
    const home = this.homes.homes[id] ?? "";
    this.#here.set(id, await startReplica({ home, app: counter, logger: this.#logger(id), transport: (context) => this.#watched(context) }));
  }

  async unseat(id: number): Promise<void> {
    await this.#here.get(id)?.stop();
    this.#here.delete(id);
  }

  spawn(id: number, crash?: CrashSpec): Child {
    const dial = this.#proxy?.dialledBy(id);
    const options: ProgramOptions = { ...(crash === undefined ? {} : { crash }), ...(dial === undefined ? {} : { dial }) };
    const args = [this.homes.homes[id] ?? "", JSON.stringify(options)];
    const process_ = spawn(process.execPath, [...this.#program.argv, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    let gone = false;
    const ready = new Promise<void>((resolve) => {
      const hear = (chunk: Buffer): void => {
        said = (said + chunk.toString()).slice(-4_000);
        if (said.includes("ready\n")) resolve();
      };
      process_.stdout.on("data", hear);
      process_.stderr.on("data", hear);
      process_.once("exit", () => resolve());
    });
    const ended = new Promise<{ how: string; said: string }>((resolve) => process_.once("exit", (status, signal) => {
      gone = true;
      resolve({ how: signal ?? String(status), said });
    }));
    const child: Child = { process: process_, ready, ended, gone: () => gone };
    this.#children.set(id, child);
    return child;
  }

  here(id: number): RunningReplica | undefined {
    return this.#here.get(id);
  }

  child(id: number): Child {
    const child = this.#children.get(id);
    if (child === undefined) throw new RangeError(`replica ${id} is no process of its own`);
    return child;
  }

  get seated(): readonly RunningReplica[] {
    return [...this.#here.values()];
  }

  get submitted(): number {
    return this.#operations.length;
  }

  /** Highest view that a replica in this process is in. */
  get view(): number {
    return Math.max(...this.seated.map((replica) => replica.status().engine.view));
  }

  async connect(): Promise<Client> {
    const { cluster } = this.homes;
    this.#client ??= await connect({
      cluster, key: signingKeyFromSeed(sha256(new TextEncoder().encode("e2e client"))), transport: createClientTransport({ cluster, clusterId: clusterIdOf(hasher, cluster) }),
      timeouts: { connectMs: Infinity, operationMs: Infinity }, // a test has a time limit of its own
    });
    return this.#client;
  }

  /** One more `+1`; resolves when it is acknowledged. */
  async add(open?: Counting["open"]): Promise<unknown> {
    const operation = (await this.connect()).submit(open === undefined ? { add: 1 } : { add: 1, open });
    operation.catch(() => undefined); // judged in `acknowledged`
    this.#operations.push(operation);
    return operation;
  }

  /** Every operation so far is acknowledged; each answer is another total, 1 to their number. */
  async acknowledged(): Promise<readonly number[]> {
    const answers = await Promise.all(this.#operations);
    return answers.map((answer) => (answer as { readonly result: number }).result).sort((a, b) => a - b);
  }

  async status(id: number): Promise<ReplicaStatus> {
    return this.#here.get(id)?.status() ?? ((await (await this.connect()).call(id, "status")) as ReplicaStatus);
  }

  /** The same of one that may not be reachable just now. */
  told(id: number): Promise<ReplicaStatus | undefined> {
    return this.status(id).catch(() => undefined);
  }

  /** Resolves when all replicas have the same head, and returns it. */
  async oneHead(): Promise<ReplicaStatus["head"]> {
    let head: ReplicaStatus["head"] | undefined;
    await until("one head everywhere", async () => {
      const all = await Promise.all(this.homes.cluster.replicas.map(({ id }) => this.told(id)));
      head = all[0]?.head;
      return all.every((status) => status?.head.block === head?.block && status?.head.seq === head?.seq);
    });
    if (head === undefined) throw new TypeError("no head");
    return head;
  }

  /** Every block of a replica, verified as a chain; returns the hash of the last. */
  async verifiedChain(id: number, last: number): Promise<string> {
    const client = await this.connect();
    let parent: Digest = NULL_DIGEST;
    for (let seq = 0; seq <= last; seq++) parent = verifyBlockBytes((await client.call(id, "block", { seq })) as Uint8Array, parent, this.homes.cluster).hash;
    return parent;
  }

  async stop(): Promise<void> {
    await this.#client?.close();
    await Promise.all([...this.#children.values()].map(async (child) => {
      child.process.kill("SIGKILL");
      await child.ended;
    }));
    await Promise.all([...this.#here.values()].map((replica) => replica.stop()));
    await this.#proxy?.close();
    this.#program.remove();
    await this.homes.remove();
  }

  #logger(id: number): Logger {
    const keep = (_fields: unknown, text: string): void => void this.warnings.push(`replica ${id}: ${text}`);
    return { ...silentLogger, warn: keep, error: keep };
  }

  #watched(context: TransportContext): ReplicaTransport {
    const inner = createTransport(dialling(context, this.#proxy?.dialledBy(context.self)));
    return {
      start: (handlers) => inner.start({
        ...handlers,
        onPeer: (replica, up) => handlers.onPeer(replica, up),
        onClientFrame: (connection, frame) => handlers.onClientFrame(connection, frame),
        onClientGone: (connection) => handlers.onClientGone(connection),
        onPeerFrame: (from, frame) => {
          const decoded = this.codec.decodePeer(frame);
          if (decoded.ok && "signed" in decoded.value) this.contradictions.push(...this.statements.note(decoded.value.signed));
          if (decoded.ok) this.heard(decoded.value, from);
          if (!decoded.ok || this.delivers(decoded.value)) handlers.onPeerFrame(from, frame);
        },
      }),
      stop: () => inner.stop(),
      addresses: () => inner.addresses(),
      peers: () => inner.peers(),
      send: (to, frame) => {
        const decoded = this.codec.decodePeer(frame);
        if (decoded.ok && !this.delivers(decoded.value)) return true;
        const sent = decoded.ok ? this.tamper(decoded.value, frame, context.self, to) : frame;
        return sent === undefined || inner.send(replicaId(to), sent);
      },
    };
  }
}
