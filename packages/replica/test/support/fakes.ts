/** Ports in memory, with what a test wants to know about them. */
import {
  NarsesError, seqNum,
  type Block, type BlockGap, type BlockStore, type ClientConnection, type Digest, type Logger, type ReplicaId, type SeqNum, type StateStore, type Transport,
  type TransportHandlers, type VoteLog,
} from "@narses/core";
import { hasher } from "@narses/crypto";
import type { Assembly } from "../../src/assembly.ts";
import { digestOf } from "../../src/executor.ts";

const utf8 = new TextEncoder();

/** Waits for no bundle: every proposal is whole. */
export const noAssembly: Pick<Assembly, "proposal" | "bundle" | "awaits"> = { proposal: () => undefined, bundle: () => [], awaits: () => false };

export class FakeState implements StateStore {
  readonly entries: Map<string, Uint8Array>;
  durableSeq: SeqNum;
  puts: string[] = [];
  deletes: string[] = [];
  /** Keys whose access fails as a broken disk does. */
  broken: string | undefined;
  /** Beginnings of the keys there is no room for. */
  full: string | readonly string[] | undefined;
  checkpoints: SeqNum[] = [];
  #durable: Map<string, Uint8Array>;
  #undo: Map<string, Uint8Array | undefined> | undefined;

  constructor(entries: ReadonlyMap<string, Uint8Array> = new Map(), durableSeq: SeqNum = seqNum(0)) {
    this.entries = new Map(entries);
    this.#durable = new Map(entries);
    this.durableSeq = durableSeq;
  }

  /** What a new process finds. */
  restarted(): FakeState {
    return new FakeState(this.#durable, this.durableSeq);
  }

  get(key: string): Uint8Array | undefined {
    this.#check(key);
    return this.entries.get(key);
  }

  put(key: string, value: Uint8Array): void {
    this.#check(key);
    if ([this.full ?? []].flat().some((start) => key.startsWith(start))) throw new RangeError("no room");
    this.#remember(key);
    this.puts.push(key);
    this.entries.set(key, value.slice());
  }

  delete(key: string): void {
    this.#check(key);
    this.#remember(key);
    this.deletes.push(key);
    this.entries.delete(key);
  }

  begin(): void {
    if (this.#undo !== undefined) throw new TypeError("begin inside a transaction");
    this.#undo = new Map();
  }

  commit(): void {
    if (this.#undo === undefined) throw new TypeError("commit outside a transaction");
    this.#undo = undefined;
  }

  rollback(): void {
    if (this.#undo === undefined) throw new TypeError("rollback outside a transaction");
    for (const [key, value] of this.#undo) {
      if (value === undefined) this.entries.delete(key);
      else this.entries.set(key, value);
    }
    this.#undo = undefined;
  }

  root(): Digest {
    if (this.#undo !== undefined) throw new TypeError("root inside a transaction");
    const parts = [...this.entries].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([key, value]) => [hasher.sha256(utf8.encode(key)), hasher.sha256(value)]);
    return digestOf(hasher.sha256(...parts));
  }

  async checkpoint(seq: SeqNum, after?: Promise<void>): Promise<Digest> {
    const frozen = new Map(this.entries);
    const root = this.root();
    await after;
    this.#durable = frozen;
    this.durableSeq = seq;
    this.checkpoints.push(seq);
    return root;
  }

  async keys(prefix: string, limit: number): Promise<readonly string[]> {
    return [...this.entries.keys()].filter((key) => key.startsWith(prefix)).sort().slice(0, limit);
  }

  async close(): Promise<void> {}

  #remember(key: string): void {
    if (this.#undo !== undefined && !this.#undo.has(key)) this.#undo.set(key, this.entries.get(key));
  }

  #check(key: string): void {
    if (this.broken !== undefined && key.startsWith(this.broken)) throw new NarsesError("DISK_FAILED", `cannot read ${key}`);
  }
}

export class FakeBlocks implements BlockStore {
  readonly all: Block[];
  syncs = 0;

  constructor(all: readonly Block[] = []) {
    this.all = [...all];
  }

  get head(): SeqNum | undefined {
    return this.all.length === 0 ? undefined : seqNum(this.all.length - 1);
  }

  put(block: Block): void {
    if (block.header.seq !== this.all.length) throw new TypeError(`block ${block.header.seq} after ${this.all.length - 1}`);
    this.all.push(block);
  }

  async get(seq: SeqNum): Promise<Block | undefined> {
    return this.all[seq];
  }

  readonly gaps: readonly BlockGap[] = [];

  async skip(): Promise<void> {
    throw new TypeError("no gap is expected");
  }

  async fill(): Promise<void> {
    throw new TypeError("no gap is expected");
  }

  async sync(): Promise<void> {
    this.syncs++;
  }

  async close(): Promise<void> {}
}

export class FakeLog implements VoteLog {
  readonly recovered: readonly Uint8Array[];
  readonly trace: string[];
  /** Appended, and what of it survives a power cut. */
  readonly appended: { readonly record: Uint8Array; readonly seq: SeqNum | undefined }[] = [];
  durable = 0;
  written = 0;
  truncations: { readonly seq: SeqNum; readonly base: readonly Uint8Array[] }[] = [];
  /** The next sync fails. */
  fails = false;

  constructor(trace: string[] = [], recovered: readonly Uint8Array[] = []) {
    this.trace = trace;
    this.recovered = recovered;
  }

  append(record: Uint8Array, seq: SeqNum | undefined): void {
    this.appended.push({ record, seq });
    this.trace.push("append");
  }

  sync(): void {
    if (this.fails) throw new NarsesError("DISK_FAILED", "fdatasync: EIO");
    this.written = this.durable = this.appended.length;
    this.trace.push("sync");
  }

  flush(): void {
    this.written = this.appended.length;
    this.trace.push("flush");
  }

  truncate(seq: SeqNum, base: readonly Uint8Array[]): void {
    this.truncations.push({ seq, base });
    this.trace.push(`truncate ${seq}`);
  }

  async close(): Promise<void> {}
}

export class FakeTransport implements Transport {
  readonly sent: { readonly to: ReplicaId; readonly frame: Uint8Array }[] = [];
  readonly trace: string[];
  handlers: TransportHandlers | undefined;
  stopped = false;

  constructor(trace: string[] = []) {
    this.trace = trace;
  }

  async start(handlers: TransportHandlers): Promise<void> {
    this.handlers = handlers;
  }

  send(to: ReplicaId, frame: Uint8Array): boolean {
    this.sent.push({ to, frame });
    this.trace.push(`send ${to}`);
    return true;
  }

  async stop(): Promise<void> {
    this.stopped = true;
  }
}

export class FakeConnection implements ClientConnection {
  readonly label: string;
  readonly frames: Uint8Array[] = [];
  constructor(label = "client") {
    this.label = label;
  }
  send(frame: Uint8Array): boolean {
    this.frames.push(frame);
    return true;
  }
}

export interface LogLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

export function recordingLogger(): Logger & { readonly lines: LogLine[] } {
  const lines: LogLine[] = [];
  const at = (level: LogLine["level"]) => (fields: LogLine["fields"], message: string): void => void lines.push({ level, fields, message });
  return { lines, debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}
