/**
 * The ports: what the pure and the thin parts ask of each other. Implementations live in the package each comment names.
 */
import type { BlockHeader, Bundle, Batch, CommitCertificate, PeerMessage, SignedBody, Signed } from "./messages.ts";
import type { ClientId, Digest, Epoch, ReplicaId, RequestId, SeqNum, View } from "./ids.ts";
import type { Effect } from "./effect.ts";
import type { Input } from "./input.ts";
import type { LogRecord } from "./records.ts";
import type { Rejection } from "./reject.ts";

// ── ordering (pbft; later raft, multi-paxos, …) ──────────────────────────────────────────────────────────────────

/** Pure functions handed to an engine: same arguments, same answer, no IO. */
export interface EngineTools {
  /** Assemble a batch and its digest (wire layout, SHA-256). */
  readonly makeBatch: (epoch: Epoch, timestampMs: number, bundles: readonly Bundle[]) => Batch;
}

/**
 * An ordering engine: a function from state and input to effects. `step` runs to completion, never awaits, reads no
 * clock and draws no random number: the same inputs give byte-identical effects.
 */
export interface OrderingEngine {
  readonly name: string;
  step(input: Input): readonly Effect[];
  /**
   * Whether a decoded message, not yet verified, is worth verifying: undefined if so, else why not. Judges only, changes nothing.
   * Keeps stale messages and certificates that do not add up from costing signatures.
   */
  screen(message: PeerMessage): Rejection | undefined;
  status(): EngineStatus;
}

/** For `status` and `why`: plain data. */
export interface EngineStatus {
  readonly view: View;
  readonly active: boolean;
  readonly primary: ReplicaId;
  readonly stableSeq: SeqNum;
  readonly executedSeq: SeqNum;
  readonly highWatermark: SeqNum;
  readonly pendingBundles: number;
  readonly openSlots: number;
  /** One sentence per thing waited for. */
  readonly waitingFor: readonly string[];
  // What the sentences are made of, for an engine that can tell. Absent: nothing to tell.
  /** The lowest open slots, ascending; a bounded number of them. */
  readonly slots?: readonly SlotStatus[];
  /** While a view change is under way: who asked for this view or a later one. */
  readonly viewChange?: VoteStatus;
  readonly timer?: { readonly name: string; readonly view: View; readonly ticksLeft: number };
  /** Why it says nothing, and from when on it will; absent: it speaks. */
  readonly silence?: EngineSilence;
  /** What peers last claimed to have executed, in order of id. A claim, believed by nobody. */
  readonly peers?: readonly { readonly replica: ReplicaId; readonly executedSeq: SeqNum }[];
}

export interface EngineSilence {
  /** `recalling`: it asks the others what it said before the restart. `amnesia`: it knows that it does not remember everything. */
  readonly cause: "recalling" | "amnesia";
  readonly reason: string;
  /** With amnesia, once known: it speaks when its stable checkpoint is at `seq` or above in `view` or a later one. */
  readonly floor?: { readonly view: View; readonly seq: SeqNum };
}

/** Votes of one kind: enough when `have` holds `needed` of them. Both lists ascend. */
export interface VoteStatus {
  readonly have: readonly ReplicaId[];
  /** Whose vote would count and is not here. */
  readonly missing: readonly ReplicaId[];
  readonly needed: number;
}

/** An open slot: proposed or decided, and not executed. */
export interface SlotStatus extends VoteStatus {
  readonly seq: SeqNum;
  /** What it lacks next, in the words of the protocol; votes are counted for that one. */
  readonly phase: string;
  /** Of the batch proposed or decided, if that is known. */
  readonly digest?: Digest;
}

/**
 * What a restarted replica brings back: its vote records in order, and how far its state is durable. After `start` the shell
 * gives `checkpointed` for executedSeq when it is above 0: the CHECKPOINT may not have been sent before the crash.
 */
export interface Recovered {
  readonly records: readonly LogRecord[];
  readonly executedSeq: SeqNum;
  /** Absent: the records are everything that was said, beyond doubt. */
  readonly memory?: Memory;
}

/**
 * How far the records can be trusted. With a nonce (random, new at every start) the replica asks the others what it said
 * before it says anything.
 */
export interface Memory {
  readonly nonce: Digest;
  /** The records are known not to be all. `view`: the last one that was left or entered, if another durable place has it. `why`: in words, if it is known. */
  readonly lost?: { readonly view: View | undefined; readonly why?: string };
  /** A view that was left or entered, as a place knows that may not have the last one. */
  readonly viewAtLeast?: View;
}

// ── cryptography (crypto; a fake one in the simulator) ───────────────────────────────────────────────────────────

export interface Hasher {
  /** SHA-256 of the concatenation, 32 bytes. */
  sha256(...parts: readonly Uint8Array[]): Uint8Array;
}

/** A public key that passed the once-per-key checks of the signature suite. */
export interface VerifyingKey {
  readonly bytes: Uint8Array;
  /** False for any signature the suite does not accept; never throws. */
  verify(message: Uint8Array, signature: Uint8Array): boolean;
}

export interface SigningKey {
  readonly publicKey: Uint8Array;
  /** Deterministic (RFC 8032): the same message gives the same 64 bytes. */
  sign(message: Uint8Array): Uint8Array;
}

/** Signs protocol bodies of one replica (wire layout + crypto key). */
export interface Signer {
  sign<B extends SignedBody>(body: B): Signed<B>;
}

// ── storage (storage; simulated disks in the simulator) ──────────────────────────────────────────────────────────

/** The vote log. Writes are positional appends; `sync` is the only durability point. */
export interface VoteLog {
  /** Everything that survived, in order; read once, at open. */
  readonly recovered: readonly Uint8Array[];
  /** Buffers one record. `seq` is the slot it belongs to; undefined pins it until superseded by `truncate`. */
  append(record: Uint8Array, seq: SeqNum | undefined): void;
  /** Writes and fdatasyncs everything appended. @throws NarsesError DISK_FAILED: the replica must stop. */
  sync(): void;
  /** Writes without waiting for the disk: survives a killed process, not a power cut. */
  flush(): void;
  /** Slots ≤ `seq` are not needed; `base` replaces every pinned record so far. Durable when it returns. */
  truncate(seq: SeqNum, base: readonly Uint8Array[]): void;
  close(): Promise<void>;
}

/** Read side of the authenticated key-value state. Keys are non-empty strings of at most 512 UTF-8 bytes. */
export interface StateReader {
  get(key: string): Uint8Array | undefined;
}

/**
 * Authenticated, transactional key-value state with a Merkle root. Synchronous on purpose: execution is a pure function
 * of state and batch. `checkpoint` makes the state as of now durable while later writes go on.
 */
export interface StateStore extends StateReader {
  put(key: string, value: Uint8Array): void;
  delete(key: string): void;
  /** Undo log for one operation: begin, then commit or rollback. Not nested. */
  begin(): void;
  commit(): void;
  rollback(): void;
  /** Root over everything put so far (outside an open transaction). */
  root(): Digest;
  /** Slot the durable state belongs to; what `open` gives back after a crash. */
  readonly durableSeq: SeqNum;
  /** Freezes the state as of slot `seq`, at once; writes it once `after` has resolved; resolves when it is durable. Rejects when `after` does. */
  checkpoint(seq: SeqNum, after?: Promise<void>): Promise<Digest>;
  /** Keys with this prefix in ascending byte order, as of the last durable checkpoint and everything since. */
  keys(prefix: string, limit: number): Promise<readonly string[]>;
  close(): Promise<void>;
}

export interface Block {
  readonly header: BlockHeader;
  /** Undefined for genesis and null batches. */
  readonly batch: Batch | undefined;
  /** results[i][j]: result of operation j of bundle i. */
  readonly results: readonly (readonly Uint8Array[])[];
  /** Undefined for genesis only. */
  readonly certificate: CommitCertificate | undefined;
}

/** Blocks that are not here: the replica took over the state after them instead of executing them. */
export interface BlockGap {
  readonly first: SeqNum;
  readonly last: SeqNum;
}

/** Blocks by sequence number, from 0; contiguous but for the gaps. */
export interface BlockStore {
  /** Where the chain goes on: the last block, or the end of a gap with nothing above it. */
  readonly head: SeqNum | undefined;
  /** Ascending. */
  readonly gaps: readonly BlockGap[];
  put(block: Block): void;
  /** Undefined above the head and in a gap. */
  get(seq: SeqNum): Promise<Block | undefined>;
  /** Makes blocks kept+1 … head a gap, up to and with `head`; blocks above `kept` are removed. Durable when it resolves; can be repeated. */
  skip(kept: SeqNum, head: SeqNum): Promise<void>;
  /** Puts blocks, by descending slot, where gaps end; one where no gap ends is left out. A crash may take the last of them back. */
  fill(blocks: readonly Block[]): Promise<void>;
  /** Resolves when every block put so far is durable. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

// ── network (network; virtual in the simulator) ──────────────────────────────────────────────────────────────────

/** A client's connection as the replica sees it; compare by identity. */
export interface ClientConnection {
  readonly label: string;
  /** False when its queue is full and the frame was dropped. */
  send(frame: Uint8Array): boolean;
}

export interface TransportHandlers {
  onPeerFrame(from: ReplicaId, frame: Uint8Array): void;
  onPeer(replica: ReplicaId, connected: boolean): void;
  onClientFrame(connection: ClientConnection, frame: Uint8Array): void;
  onClientGone(connection: ClientConnection): void;
}

/**
 * Frames between replicas, and from clients. Unreliable by contract: a frame may be lost when a queue is full or a
 * connection breaks, but it is never altered, and `from` is authentic. Order holds within one connection.
 */
export interface Transport {
  start(handlers: TransportHandlers): Promise<void>;
  /** Queues for the end of the turn; false when dropped (not connected, or queue full). */
  send(to: ReplicaId, frame: Uint8Array): boolean;
  stop(): Promise<void>;
}

/** The client's side: one connection to each replica, reconnecting by itself. */
export interface ClientTransport {
  start(handlers: { onFrame(from: ReplicaId, frame: Uint8Array): void; onReplica(replica: ReplicaId, connected: boolean): void }): Promise<void>;
  send(to: ReplicaId, frame: Uint8Array): boolean;
  stop(): Promise<void>;
}

// ── application ──────────────────────────────────────────────────────────────────────────────────────────────────

/** Typed view of the state for an application: values are msgpack. */
export interface AppReader {
  get(key: string): unknown;
}
export interface AppStore extends AppReader {
  put(key: string, value: unknown): void;
  delete(key: string): void;
}

export interface ApplyContext {
  readonly store: AppStore;
  /** Unix milliseconds, agreed and monotonic. */
  readonly time: number;
  readonly seq: SeqNum;
  readonly client: ClientId;
  readonly publicKey: Uint8Array;
  readonly rid: RequestId;
  /**
   * A number in [0, 1), the next of a sequence that is the same on every replica, seeded by the batch, its slot and the block before it. Nobody
   * can foresee it before the batch is proposed, but its primary can: it may try batches until it likes the numbers. Not for lotteries.
   */
  readonly random: () => number;
}

/**
 * A deterministic state machine. `apply` sees nothing but its arguments. It refuses an operation by throwing
 * {@link AppRejection}: its writes are undone and the client gets the code. Any other throw is treated alike, as INTERNAL.
 */
export interface StateMachine<Op = unknown, Result = unknown, Question = unknown, Answer = unknown> {
  /** Called once, on the empty state, with `genesis` of the cluster file. */
  genesis?(data: unknown, store: AppStore): void;
  apply(op: Op, context: ApplyContext): Result;
  query?(question: Question, context: { readonly store: AppReader; readonly time: number; readonly seq: SeqNum }): Answer;
}

/** Thrown by a state machine to refuse an operation; `code`, `message` and `data` reach the client as agreed result. */
export class AppRejection extends Error {
  override readonly name = "AppRejection";
  readonly code: string;
  readonly data: Readonly<Record<string, unknown>>;
  constructor(code: string, message: string, data: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

// ── operations ───────────────────────────────────────────────────────────────────────────────────────────────────

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** Structured log: a record of primitives, then a sentence (the shape pino has). */
export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}
