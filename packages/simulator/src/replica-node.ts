/**
 * A node with a whole replica in it: the shell, the engine, the vote log, the state and the codec that ship, on a simulated machine. A
 * process is made by `start`; what survives it is in `disk`.
 */
import {
  NarsesError, TICK_MS,
  type ClientConnection, type EngineStatus, type LogRecord, type OrderingEngine, type ReplicaId, type Signed, type SignedBody, type TransportHandlers,
} from "@narses/core";
import { hasher } from "@narses/crypto";
import { runReplica, type RunningCore } from "@narses/replica/core";
import { openStateOver, openVoteLog, SEGMENT_BYTES_MIN, type DiskOperation } from "@narses/storage/portable";
import type { Policy } from "./adversaries/policy.ts";
import { MachineClock } from "./clocks/machine-clock.ts";
import { processTimers } from "./clocks/process-timers.ts";
import type { CrashKind } from "./disk.ts";
import { hashText } from "./hash.ts";
import { LogWatch } from "./disks/log-watch.ts";
import { ProcessFiles } from "./disks/process-files.ts";
import { ProcessBackend, ProcessBlocks, type Latency } from "./disks/process-stores.ts";
import { ReplicaDisk } from "./disks/replica-disk.ts";
import type { Head, Machine, SimNode } from "./node.ts";
import { Process } from "./process.ts";
import type { ReplicaNodeOptions, ReplicaNodeWorld } from "./replica-node-world.ts";
import type { Random } from "./random.ts";
import { Violation } from "./violation.ts";
import { watchedEngine, type EngineWatch } from "./watched-engine.ts";

interface Life {
  readonly process: Process;
  readonly backend: ProcessBackend;
  handlers: TransportHandlers | undefined;
  engine: OrderingEngine | undefined;
  core: RunningCore | undefined;
  /** Live records of the log. */
  log: LogWatch | undefined;
  head: Head | undefined;
  /** Frames of the running turn: they leave together when it ends. */
  outgoing: (() => void)[];
  readonly connected: Set<ReplicaId>;
  /** Operations on the disk and frames to say until it dies, once `armed`. */
  fuse: number;
  /** An operation on its disk failed. */
  diskFailed: boolean;
}

/** Time an operation on a file takes when it need not wait for the disk. */
const FILE_OPERATION_US = 2;
const FUSE_MAX = 12;
/** Starts over damaged data until somebody replaces the disk. */
const REFUSALS_MAX = 3;

export class ReplicaNode implements SimNode {
  readonly options: ReplicaNodeOptions;
  readonly disk: ReplicaDisk;
  readonly clock: MachineClock;
  readonly policies: Policy[] = [];
  private readonly world: ReplicaNodeWorld;
  private readonly random: Random;
  private life: Life | undefined;
  /** Starts that damaged data refused. */
  refusals = 0;
  private wiped = false;
  private starts = 0;
  private armedKind: CrashKind | undefined;

  constructor(options: ReplicaNodeOptions, world: ReplicaNodeWorld, random: Random) {
    this.options = options;
    this.world = world;
    this.random = random;
    this.disk = new ReplicaDisk(random.split("disk"));
    this.clock = new MachineClock(world.scheduler, { offsetMs: options.clockOffsetMs, rate: options.clockRate });
  }

  get id(): ReplicaId {
    return this.options.id;
  }

  get name(): string {
    return this.options.name;
  }

  get byzantine(): boolean {
    return this.options.byzantine;
  }

  get machine(): Machine {
    return this;
  }

  get up(): boolean {
    return this.life !== undefined;
  }

  get paused(): boolean {
    return this.life?.process.paused ?? false;
  }

  get head(): Head | undefined {
    return this.life?.head;
  }

  get armed(): CrashKind | undefined {
    return this.armedKind;
  }

  set armed(kind: CrashKind | undefined) {
    this.armedKind = kind;
    if (this.life !== undefined) this.life.fuse = this.random.int(1, FUSE_MAX);
  }

  status(): EngineStatus | undefined {
    return this.life?.engine?.status();
  }

  // ── life ──

  start(): void {
    if (this.life !== undefined) return;
    const { scheduler } = this.world;
    const process = new Process({ scheduler, onError: (error) => this.exit(life, error) });
    const backend = new ProcessBackend(this.disk, this.latency(process));
    const life: Life = {
      process, backend, handlers: undefined, engine: undefined, core: undefined, log: undefined, head: undefined, outgoing: [], connected: new Set(), fuse: 0, diskFailed: false,
    };
    this.life = life;
    process.run(() => {
      this.boot(life).catch((error: unknown) => this.exit(life, error));
    });
  }

  pause(): void {
    this.life?.process.pause();
  }

  resume(): void {
    this.life?.process.resume();
  }

  crash(kind: CrashKind): void {
    const { life } = this;
    if (life === undefined) return;
    this.down(life);
    this.disk.crash(kind);
  }

  wipe(): void {
    this.wiped = true;
    this.disk.wipe();
  }

  private down(life: Life): void {
    life.process.kill();
    this.world.onDown(this);
    life.backend.abandon(this.random);
    this.life = undefined;
    this.armedKind = undefined;
  }

  /** The process ended by itself. A correct replica may do that only when its disk failed. */
  private exit(life: Life, error: unknown): void {
    if (!life.process.alive || this.life !== life) return;
    this.down(life);
    this.disk.crash(life.diskFailed ? "error" : "kill");
    const reason = error instanceof Error ? error.message : String(error);
    const code = error instanceof NarsesError ? error.code : undefined;
    this.world.note(this, `# stops: ${reason}`);
    // It may stop when its disk failed, and must when it was damaged.
    const excused = life.diskFailed || (this.options.fault !== "none" && (code === "DATA_CORRUPT" || code === "DISK_FAILED"));
    if (code === "DATA_CORRUPT") this.refusals++;
    if (!this.byzantine && !excused) {
      this.world.fail(error instanceof Violation ? error : new Violation("crash", "replica", `${this.name}: ${reason}`, { cause: error }));
    }
    // Nothing a restart could cure: after some tries an operator gives it an empty disk, and it rejoins as one that forgot.
    if (this.refusals >= REFUSALS_MAX) {
      this.refusals = 0;
      this.world.note(this, "# gets an empty disk");
      this.wipe();
    }
    this.world.onExit(this);
  }

  private async boot(life: Life): Promise<void> {
    const { options, disk, world } = this;
    const { parts } = world;
    const latency = this.latency(life.process);
    const files = new ProcessFiles(disk.files, disk.health, (operation, _path, bytes) => this.gate(life, operation, bytes));
    const log = await openVoteLog({ directory: "/votes", segmentBytes: SEGMENT_BYTES_MIN, files, mustExist: disk.initialized, salt: () => this.random.word() });
    const records = log.recovered.map((bytes) => parts.codec.decodeRecord(bytes));
    life.log = new LogWatch(log, records);
    const state = await openStateOver({ hasher, bucketBits: options.bucketBits }, life.backend);
    const blocks = new ProcessBlocks(disk, parts.codec, latency);
    if (!life.process.alive) return;
    const forgot = this.wiped && !records.some(({ type }) => type === "amnesia");
    const core = await runReplica({
      ...parts, memory: { nonce: hashText(`${this.name} starts for the ${++this.starts}. time`), ...(forgot && { lost: { view: undefined } }) },
      self: options.id, signingKey: options.signingKey, state, blocks, log: life.log, clock: this.clock, mustExist: disk.initialized,
      codec: { ...parts.codec, seal: (body, unsigned, signature) => this.sealed(life, parts.codec.seal(body, unsigned, signature)) },
      engine: watchedEngine(this.watchEngine(life, records)), scheduler: processTimers(life.process, this.clock, this.random),
      transport: {
        start: (handlers) => {
          life.handlers = handlers;
          return Promise.resolve();
        },
        send: (to, frame) => this.send(life, to, frame),
        stop: () => Promise.resolve(),
      },
      probe: {
        effects: (effects) => this.observe(life, () => {
          for (const effect of effects) world.onEffect(this, effect);
          if (life.log !== undefined) world.onTurn(this, life.log);
        }),
        executed: (block, hash) => this.observe(life, () => {
          life.head = { seq: block.header.seq, head: hash };
          life.process.spend(this.random.exponential(options.executionMeanUs));
          world.onBlock(this, block, hash);
        }),
      },
      onOpened: () => {
        if (life.process.alive) disk.initialized = true;
      },
    });
    if (!life.process.alive) return;
    life.core = core;
    void core.ended.then((error) => this.exit(life, error ?? new Error("it was told to stop")));
    world.onListening(this);
    this.everyTick(life);
  }

  // ── ports ──

  private latency(process: Process): Latency {
    const { checkpointMeanUs, syncMeanUs } = this.options;
    return {
      later: (us, done) => process.after(us, done),
      readUs: () => this.random.exponential(syncMeanUs),
      writeUs: () => this.random.exponential(checkpointMeanUs),
      alive: () => process.alive,
      failure: () => this.storeFailure(process),
    };
  }

  /** What a full or failing disk does to the database. */
  private storeFailure(process: Process): NarsesError | undefined {
    const errno = this.disk.health.errnoOf("write");
    if (errno === undefined || this.life?.process !== process) return undefined;
    this.life.diskFailed = true;
    this.disk.health.met.storeFailed++;
    return new NarsesError("DISK_FAILED", `${errno}: the database cannot write`);
  }

  private watchEngine(life: Life, records: readonly LogRecord[]): EngineWatch {
    return {
      made: (engine, genesisRoot, seq) => {
        life.head = { seq, head: genesisRoot };
        life.engine = engine;
        this.observe(life, () => this.world.onStart(this, { records, snapshot: { seq } }));
      },
      hides: (input) => input.type === "message" && this.policies.some((policy) => policy.incoming?.(input.from, input.message) === false),
      takes: (input) => this.observe(life, () => {
        if (input.type === "checkpointed" && input.seq === life.head?.seq) life.head = { seq: input.seq, head: input.root };
        if (input.type === "transferred") life.head = { seq: input.stable.seq, head: input.stable.root };
        this.world.onInput(this, input);
      }),
    };
  }

  private sealed<B extends SignedBody>(life: Life, signed: Signed<B>): Signed<B> {
    this.observe(life, () => this.world.onSigned(this, signed));
    return signed;
  }

  /** Oracles speak through exceptions, which the replica would take for its own. */
  private observe(life: Life, watch: () => void): void {
    if (!life.process.alive) return;
    try {
      watch();
    } catch (error) {
      this.world.fail(error instanceof Violation ? error : new Violation("crash", "simulator", error instanceof Error ? error.message : String(error), { cause: error }));
    }
  }

  /** Before each operation on a file: takes its time, or is the last one. */
  private gate(life: Life, operation: DiskOperation, bytes: number): void {
    this.burn(life);
    if (!life.process.alive) throw new NarsesError("DISK_FAILED", "the process is dead", { operation });
    const { health } = this.disk;
    const syncs = operation === "sync" || operation === "sync-directory";
    life.process.spend(syncs ? health.syncUs(this.random.exponential(this.options.syncMeanUs)) : FILE_OPERATION_US + bytes / 1_000);
    const errno = health.errnoOf(operation);
    if (errno === undefined) return;
    life.diskFailed = true;
    throw Object.assign(new Error(`${errno}: ${operation}`), { code: errno });
  }

  /** An armed crash: the process dies at one of its next operations, between any two. */
  private burn(life: Life): void {
    const kind = this.armedKind;
    if (kind === undefined || this.life !== life || --life.fuse > 0) return;
    this.world.note(this, `# dies within a turn (${kind})`);
    // Of what it has handed to its sockets some has left the machine.
    const left = life.outgoing.splice(0, this.random.int(0, life.outgoing.length));
    life.outgoing = [];
    this.crash(kind);
    for (const send of left) send();
    this.world.flush(this);
    this.world.onExit(this);
  }

  private send(life: Life, to: ReplicaId, frame: Uint8Array): boolean {
    this.burn(life);
    if (!life.process.alive || !life.connected.has(to)) return false;
    for (const one of this.world.outgoing(this, to, frame)) this.leaves(life, () => this.world.transmit(this, one.to, one.frame));
    return true;
  }

  /** What is sent in a turn leaves when the turn is over. */
  private leaves(life: Life, send: () => void): void {
    life.outgoing.push(send);
    if (life.outgoing.length > 1) return;
    life.process.atEnd((spentUs) => {
      const frames = life.outgoing;
      life.outgoing = [];
      if (frames.length === 0) return;
      this.world.scheduler.after(spentUs, () => {
        for (const one of frames) one();
        this.world.flush(this);
      });
    });
  }

  // ── what the world brings ──

  /** A frame of a peer has arrived. */
  receive(from: ReplicaId, frame: Uint8Array): void {
    const { life } = this;
    if (life?.handlers === undefined) return;
    life.process.run(() => life.handlers?.onPeerFrame(from, frame));
  }

  connection(peer: ReplicaId, connected: boolean): void {
    const { life } = this;
    if (life?.handlers === undefined) return;
    life.process.run(() => {
      if (connected) life.connected.add(peer);
      else life.connected.delete(peer);
      life.handlers?.onPeer(peer, connected);
    });
  }

  /** A client's connection; frames to it leave through `deliver`. */
  openClient(label: string, deliver: (frame: Uint8Array) => void): { receive(frame: Uint8Array): void } {
    const { life } = this;
    const connection: ClientConnection = {
      label,
      send: (frame) => {
        if (life === undefined || !life.process.alive) return false;
        this.burn(life);
        if (!life.process.alive) return false;
        this.leaves(life, () => deliver(frame));
        return true;
      },
    };
    return { receive: (frame) => life?.process.run(() => life.handlers?.onClientFrame(connection, frame)) };
  }

  /** Byzantine replicas say things unprovoked. */
  private everyTick(life: Life): void {
    if (this.policies.length === 0) return;
    life.process.after(TICK_MS * 1000 + this.random.int(-50, 50), () => {
      this.everyTick(life);
      for (const policy of this.policies) {
        for (const { to, message } of policy.tick?.() ?? []) {
          const frame = this.world.encode(message);
          if (frame !== undefined) this.send(life, to, frame);
        }
        policy.ticked?.();
      }
    });
  }
}
