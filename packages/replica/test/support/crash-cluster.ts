/**
 * Four replicas driven by hand: the shell and engine as production runs them over a disk in memory, with a network, a clock
 * and a client that move only when `pump` says so. One of them, the victim, dies at the point that was asked for: before an
 * operation on its disk or its state, or before a frame leaves it.
 *
 * Needs `vi.useFakeTimers({ toFake: ["setInterval"] })`: replicas tick when the script says.
 */
import {
  replicaId, requestId, seqNum, TICK_MS,
  type Bundle, type ClientConnection, type Digest, type PeerMessage, type ReplicaToClientMessage, type SigningKey, type StateMachine, type StateMessage,
  type TransportHandlers,
} from "@narses/core";
import { hasher, verifyingKey } from "@narses/crypto";
import { createEngine } from "@narses/pbft";
import { memoryBlockStore, MemoryFileSystem, memoryStateStore, openVoteLog, SEGMENT_BYTES_MIN, type MemoryBlockStore, type MemoryState, type SegmentedVoteLog } from "@narses/storage";
import { vi } from "vitest";
import { runReplica, type ReplicaTransport, type RunningCore } from "../../src/replica.ts";
import { apply, clientKey, type TestCluster } from "./cluster.ts";
import { counter, valueOf } from "./cluster-in-process.ts";
import { recordingLogger } from "./fakes.ts";
import { Statements } from "./statements.ts";

/** What is left of a disk: `kill` everything written, `power-cut` nothing unsynced, `torn` every other unsynced sector. */
export type Loss = "kill" | "power-cut" | "torn";

/** The victim dies before its `at`-th operation or send of this life; 0 is the first. */
export interface Crash {
  readonly victim: number;
  readonly at: number;
  readonly loss: Loss;
  /** Rounds of the script during which it stays down. */
  readonly downFor: number;
  /** The life after it ends before this point: a crash while it recovers. */
  readonly againAt?: number;
}

type Message = PeerMessage | StateMessage;

/** Thrown where the process would be gone; nothing it does afterwards has any effect. */
class Dead extends Error {
  readonly code = "EIO";
}

interface Life {
  readonly id: number;
  files: MemoryFileSystem;
  state: MemoryState;
  blocks: MemoryBlockStore;
  core: RunningCore;
  log: SegmentedVoteLog;
  dead: boolean;
  points: number;
}

interface Stores {
  readonly files: MemoryFileSystem;
  readonly state: MemoryState;
  readonly blocks: MemoryBlockStore;
}

const ROUNDS_MAX = 4_000;
/** Turns of the event loop after which a replica that has nothing to read does nothing any more. */
const SETTLE_TURNS = 4;
const RESEND_ROUNDS = 25;

export class CrashCluster {
  readonly tools: TestCluster;
  /** What every replica signed and sent. */
  readonly said = new Statements();
  readonly contradictions: string[] = [];
  /** What the victim's points were, in order. */
  readonly passed: string[] = [];
  /** Frames for which this is false are lost. */
  delivers: (message: Message, from: number, to: number) => boolean = () => true;
  crash: Crash | undefined;
  /** Where the victim died. */
  readonly crashes: string[] = [];
  readonly #lives = new Map<number, Life>();
  readonly #handlers = new Map<number, TransportHandlers>();
  readonly #decoded = new WeakMap<Uint8Array, Message>();
  #queue: { readonly from: number; readonly to: number; readonly frame: Uint8Array }[] = [];
  #down: { readonly stores: Stores; rounds: number } | undefined;
  #nowMs = 0;
  readonly #key: SigningKey = clientKey("client");
  readonly #connections = new Map<number, ClientConnection>();
  #replies: { readonly from: number; readonly message: ReplicaToClientMessage }[] = [];

  constructor(tools: TestCluster) {
    this.tools = tools;
  }

  get ids(): readonly number[] {
    return this.tools.cluster.replicas.map(({ id }) => id);
  }

  core(id: number): RunningCore | undefined {
    const life = this.#lives.get(id);
    return life === undefined || life.dead ? undefined : life.core;
  }

  get up(): readonly RunningCore[] {
    return this.ids.flatMap((id) => this.core(id) ?? []);
  }

  async start(): Promise<void> {
    for (const id of this.ids) {
      await this.#boot(id, { files: this.#disk(id), state: await memoryStateStore({ hasher, bucketBits: 4 }), blocks: memoryBlockStore() }, false);
    }
  }

  async stop(): Promise<void> {
    for (const life of this.#lives.values()) {
      life.dead = true;
      await life.core.stop();
    }
  }

  /** Submits `+1` and pumps until W replicas give the same answer; returns it. */
  async submit(rid: number): Promise<unknown> {
    const bundle = this.tools.codec.makeBundle({ key: this.#key, session: 0, ridFirst: requestId(rid), ackLow: rid - 1, operations: [apply({ add: 1 })] });
    let round = 0;
    await this.pump(`an answer to operation ${rid}`, () => {
      if (round++ % RESEND_ROUNDS === 0) this.#send(bundle);
      return this.#answer(bundle) !== undefined;
    });
    return this.#answer(bundle);
  }

  /** Delivers, lets everybody work, and moves the clock when nothing else moves, until it holds. */
  async pump(what: string, holds: () => boolean): Promise<void> {
    for (let round = 0; ; round++) {
      if (holds()) return;
      if (round >= ROUNDS_MAX) throw new TypeError(`waited in vain for ${what}; crashed ${this.crashes.join(", ")}; ${this.#describe()}`);
      await this.#reviveIfDue();
      const moved = this.#deliver();
      for (let i = 0; i < SETTLE_TURNS; i++) await new Promise((resolve) => setImmediate(resolve));
      if (!moved && this.#queue.length === 0) this.#tick();
    }
  }

  #describe(): string {
    return this.up.map((core) => { const { engine, head } = core.status(); return `v${engine.view}${engine.active ? "" : "?"} n${head.seq}`; }).join(", ");
  }

  #tick(): void {
    this.#nowMs += TICK_MS;
    vi.advanceTimersByTime(TICK_MS);
  }

  // ── lives ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #disk(id: number): MemoryFileSystem {
    return new MemoryFileSystem(this.#faultOf(id));
  }

  #faultOf(id: number): { fault: (operation: string) => string | undefined } {
    return { fault: (operation) => (operation === "read" || operation === "open" ? undefined : this.#point(id, operation)) };
  }

  /** Dies here if this is the point; an errno makes the disk refuse. */
  #point(id: number, what: string): string | undefined {
    const life = this.#lives.get(id);
    if (life === undefined) return undefined; // before its first turn
    if (life.dead) return "EIO";
    const crash = this.crash;
    if (crash === undefined || crash.victim !== id) return undefined;
    this.passed.push(what);
    if (life.points++ !== crash.at) return undefined;
    this.#die(life, crash, `before ${what} (point ${crash.at}, ${crash.loss})`);
    return "EIO";
  }

  #die(life: Life, { loss, downFor, againAt, victim }: Crash, where: string): void {
    life.dead = true;
    this.crash = againAt === undefined ? undefined : { victim, at: againAt, loss, downFor };
    this.crashes.push(where);
    let coin = 0;
    const survives = (): boolean => loss === "kill" || (loss === "torn" && coin++ % 2 === 0);
    const files = life.files.crash(survives, this.#faultOf(life.id));
    const reopening = life.state.reopen();
    const blocks = life.blocks.reopen();
    this.#leave(life.id);
    void reopening.then((state) => (this.#down = { stores: { files, state, blocks }, rounds: downFor }));
  }

  async #reviveIfDue(): Promise<void> {
    const down = this.#down;
    if (down === undefined || down.rounds-- > 0) return;
    this.#down = undefined;
    const [id] = [...this.#lives.values()].filter(({ dead }) => dead).map((life) => life.id);
    if (id !== undefined) await this.#boot(id, down.stores, true);
  }

  async #boot(id: number, stores: Stores, mustExist: boolean): Promise<void> {
    const { cluster, clusterId, codec, signingKeys, replicaKeys } = this.tools;
    this.#lives.delete(id);
    const log = await openVoteLog({ directory: "/votes", segmentBytes: SEGMENT_BYTES_MIN, files: stores.files, mustExist });
    const core = await runReplica({
      log, blocks: stores.blocks, state: this.#watched(id, stores.state), self: replicaId(id), cluster, clusterId, app: counter as StateMachine, engine: createEngine, codec, hasher,
      signingKey: signingKeys[id] as SigningKey, replicaKeys, verifyingKey, transport: this.#transport(id), localQueries: false, mustExist, logger: recordingLogger(),
      clock: { monotonicMs: () => this.#nowMs, wallMs: () => 1_700_000_000_000 + this.#nowMs },
    });
    this.#lives.set(id, { id, ...stores, core, log, dead: false, points: 0 });
    void core.ended.then((error) => {
      const life = this.#lives.get(id);
      if (error !== undefined && life?.core === core && !life.dead) this.contradictions.push(`replica ${id} stopped by itself: ${error.message}`);
    });
  }

  /** The checkpoint of the state is a boundary too: before it is begun, and when it is durable. */
  #watched(id: number, state: MemoryState): MemoryState {
    return new Proxy(state, {
      get: (target, property) => {
        const value: unknown = Reflect.get(target, property, target);
        if (property === "checkpoint") {
          return async (seq: number, after?: Promise<void>): Promise<Digest> => {
            if (this.#point(id, "checkpoint") !== undefined) throw new Dead("dead");
            const root = await target.checkpoint(seqNum(seq), after);
            if (this.#point(id, "checkpoint durable") !== undefined) throw new Dead("dead");
            return root;
          };
        }
        return typeof value === "function" ? (value as (...args: unknown[]) => unknown).bind(target) : value;
      },
    });
  }

  // ── network ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #transport(id: number): ReplicaTransport {
    let left = false;
    return {
      start: async (handlers) => {
        for (const [other, theirs] of this.#handlers) {
          theirs.onPeer(replicaId(id), true);
          handlers.onPeer(replicaId(other), true);
        }
        this.#handlers.set(id, handlers);
        this.#connections.set(id, {
          label: `client of ${id}`,
          send: (frame) => {
            if (!left && this.#lives.get(id)?.dead !== true) this.#take(id, frame);
            return true;
          },
        });
      },
      stop: async () => {
        if (!left && this.#lives.get(id)?.dead === false) this.#leave(id);
        left = true;
      },
      send: (to, frame) => {
        if (left || this.#point(id, "send") !== undefined) throw new Dead("dead");
        if (!this.#handlers.has(to)) return false;
        this.#hear(this.#decode(frame));
        this.#queue.push({ from: id, to, frame });
        return true;
      },
    };
  }

  #leave(id: number): void {
    this.#handlers.delete(id);
    for (const theirs of this.#handlers.values()) theirs.onPeer(replicaId(id), false);
  }

  #deliver(): boolean {
    const frames = this.#queue;
    this.#queue = [];
    for (const { from, to, frame } of frames) if (this.delivers(this.#decode(frame), from, to)) this.#handlers.get(to)?.onPeerFrame(replicaId(from), frame);
    return frames.length > 0;
  }

  #decode(frame: Uint8Array): Message {
    const held = this.#decoded.get(frame);
    if (held !== undefined) return held;
    const decoded = this.tools.codec.decodePeer(frame);
    if (!decoded.ok) throw new TypeError(`a replica sent what does not decode: ${decoded.rejection.detail}`);
    this.#decoded.set(frame, decoded.value);
    return decoded.value;
  }

  // ── what was said ────────────────────────────────────────────────────────────────────────────────────────────────

  #hear(message: Message): void {
    if ("signed" in message) this.contradictions.push(...this.said.note(message.signed));
  }

  // ── client ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #send(bundle: Bundle): void {
    const frame = this.tools.codec.encodeClient({ type: "request", bundle });
    for (const [id, handlers] of this.#handlers) {
      const connection = this.#connections.get(id);
      if (connection !== undefined) handlers.onClientFrame(connection, frame);
    }
  }

  #take(from: number, frame: Uint8Array): void {
    const decoded = this.tools.codec.decodeToClient(frame);
    if (!decoded.ok) throw new TypeError(decoded.rejection.detail);
    const message = decoded.value;
    if (message.type === "reply") this.contradictions.push(...this.said.note(message.reply.outcome));
    this.#replies.push({ from, message });
  }

  #answer(bundle: Bundle): unknown {
    const senders = new Map<Digest, { readonly from: Set<number>; readonly value: unknown }>();
    for (const { from, message } of this.#replies) {
      if (message.type !== "reply" || message.reply.bundleDigest !== bundle.digest) continue;
      const { block } = message.reply.outcome.body;
      const entry = senders.get(block) ?? { from: new Set(), value: valueOf(message.reply.results[0] ?? new Uint8Array()) };
      senders.set(block, entry);
      entry.from.add(from);
    }
    return [...senders.values()].find(({ from }) => from.size > this.tools.cluster.f)?.value;
  }
}
