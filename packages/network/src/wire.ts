/**
 * One stream to one peer, alone on its connection: framing, the bounded queue, one write per turn, heartbeats and
 * deadlines. It knows nothing about who the peer is.
 */
import type { Connection, Stream, StreamMessageEvent } from "@libp2p/interface";
import { describe, ignore, reset, shielded } from "./describe.ts";
import { FrameReader } from "./frame-reader.ts";
import { LANE_HEAD_BYTES, LANE_TAIL_BYTES, openLane, type Lane } from "./lane.ts";
import type { Budget, NetworkLimits } from "./limits.ts";
import { deferWindowUpdates } from "./window.ts";
import type { Clock, Turn } from "./turn.ts";
import { WriteQueue } from "./write-queue.ts";

/** A wire yields to the rest of the process after this many bytes and goes on in the next turn. */
export const TURN_BYTES_MAX: number = 256 << 10;
/** A polite end may take this long before the connection is reset. */
const FINISH_MS = 300;
const PING: Uint8Array = new Uint8Array(0);

/** Counted over all wires to one peer. Frames exclude handshakes and pings; bytes include them, and the 4-byte lengths. */
export interface Counters {
  framesSent: number;
  framesReceived: number;
  bytesSent: number;
  bytesReceived: number;
  /** Writes handed to the stream: at most one a turn unless more than WRITE_BYTES_MAX wait. */
  writes: number;
  /** Frames not sent: the queue was full, the frame above the cap, or the connection broke while they waited. */
  dropped: number;
}

export const newCounters = (): Counters => ({ framesSent: 0, framesReceived: 0, bytesSent: 0, bytesReceived: 0, writes: 0, dropped: 0 });

/** What all wires of one transport share. */
export interface WireContext {
  readonly limits: NetworkLimits;
  readonly clock: Clock;
  readonly turn: Turn;
  /** Every open wire: the transport's tick walks over it. */
  readonly wires: Set<Wire>;
}

interface WireOptions {
  readonly connection: Connection;
  readonly stream: Stream;
  readonly counters: Counters;
  readonly queueBytesMax: number;
  readonly queueBudget?: Budget | undefined;
  readonly partialBudget?: Budget | undefined;
  /** Largest frame it may send. */
  readonly sendBytesMax: number;
  /** Called once, with the reason for the log; `byPeer` when the other side, or the network, ended it. */
  readonly onClose: (reason: string, byPeer: boolean) => void;
}

export class Wire {
  readonly connection: Connection;
  readonly counters: Counters;
  /** Called for each frame, pings excluded. */
  onFrame: (frame: Uint8Array) => void = ignore;
  readonly #context: WireContext;
  readonly #stream: Stream;
  readonly #options: WireOptions;
  readonly #queue: WriteQueue;
  readonly #reader: FrameReader;
  readonly #accept: (frame: Uint8Array) => void;
  #open = false;
  #lane: Lane | undefined;
  #writable = true;
  /** Bytes wait for the end of the turn, so that others have theirs. */
  #yielded = false;
  #closed = false;
  #heardMs: number;
  #wroteMs: number;
  readonly #handshakeDeadlineMs: number;

  /** A wire begins in its handshake: frames are capped at `helloBytesMax` until {@link open} is called. */
  constructor(context: WireContext, options: WireOptions, helloBytesMax: number) {
    this.connection = options.connection;
    this.counters = options.counters;
    this.#context = context;
    this.#stream = options.stream;
    this.#options = options;
    this.#queue = new WriteQueue(options.queueBytesMax, options.queueBudget);
    this.#reader = new FrameReader(helloBytesMax, options.partialBudget);
    this.#accept = (frame) => this.#deliver(frame);
    this.#heardMs = this.#wroteMs = context.clock.ms;
    this.#handshakeDeadlineMs = context.clock.ms + context.limits.handshakeMs;
    context.wires.add(this);
    this.#listen();
  }

  get closed(): boolean {
    return this.#closed;
  }

  get queuedBytes(): number {
    return this.#queue.bytes;
  }

  /** The handshake is over: frames up to `frameBytesMax` from here on. */
  open(frameBytesMax: number): void {
    this.#open = true;
    this.#reader.frameBytesMax = frameBytesMax;
    const acknowledge = deferWindowUpdates(this.#stream);
    this.#lane = openLane(this.#stream, (payload) => {
      this.#read(payload);
      acknowledge(payload.length);
    });
  }

  /** Queues for the end of the callback that runs now; false when dropped: closed, above the cap, or the queue is full. */
  send(frame: Uint8Array): boolean {
    if (this.#closed) return false;
    if (frame.length > this.#options.sendBytesMax || !this.#queue.push(frame)) {
      this.counters.dropped += 1;
      return false;
    }
    if (this.#open && frame.length > 0) this.counters.framesSent += 1;
    // A wire that has yielded goes on when its turn comes.
    if (!this.#yielded) this.#context.turn.soon(this);
    return true;
  }

  /** Writes what waits, until the stream has enough or this turn's share is used up. */
  run(): void {
    this.#yielded = false;
    // It drains for the least room and takes everything all the same: what it cannot pass on waits here, where there is a bound.
    if (this.#stream.writableNeedsDrain) this.#writable = false;
    let share = TURN_BYTES_MAX;
    while (this.#writable && !this.#closed && share > 0) {
      const room = this.#queue.take(LANE_HEAD_BYTES, LANE_TAIL_BYTES);
      if (room === undefined) return;
      const bytes = room.length - LANE_HEAD_BYTES - LANE_TAIL_BYTES;
      share -= bytes;
      this.counters.writes += 1;
      this.counters.bytesSent += bytes;
      this.#wroteMs = this.#context.clock.ms;
      try {
        this.#writable = this.#lane?.send(room) === true ? this.#lane.writable : this.#stream.send(room.subarray(LANE_HEAD_BYTES, LANE_HEAD_BYTES + bytes));
      } catch (problem) {
        this.close(`cannot write: ${describe(problem)}`);
      }
    }
    if (this.#writable && this.#queue.bytes > 0) this.#yield();
  }

  /** Checks deadlines and keeps the connection warm; called on each tick of the clock. */
  tick(): void {
    const { clock, limits } = this.#context;
    const now = clock.ms;
    if (!this.#open && now >= this.#handshakeDeadlineMs) return this.close(`no complete handshake within ${limits.handshakeMs} ms`);
    if (now >= this.#reader.deadlineMs(limits.frameMs)) return this.close(`a frame was still incomplete after ${limits.frameMs} ms`);
    if (now - this.#heardMs >= limits.silenceMs) return this.close(`silent for ${limits.silenceMs / 1_000} s`);
    if (!this.#writable && now - this.#wroteMs >= limits.silenceMs) return this.close(`took no data for ${limits.silenceMs} ms`);
    if (this.#open && this.#queue.bytes === 0 && now - this.#wroteMs >= limits.pingMs) this.send(PING);
  }

  /** Drops the connection. */
  close(reason: string, byPeer = false): void {
    if (!this.#end()) return;
    // Not from within libp2p's own events: its muxer still writes a farewell after it told us that the stream is gone.
    queueMicrotask(() => reset(this.connection, reason));
    this.#options.onClose(reason, byPeer);
  }

  /** Sends what waits, then closes; never rejects. `onClose` is called before this returns. */
  async finish(reason: string): Promise<void> {
    if (this.#closed) return;
    this.run();
    if (!this.#end()) return;
    this.#options.onClose(reason, false);
    try {
      await this.connection.close({ signal: AbortSignal.timeout(FINISH_MS) });
    } catch (problem) {
      reset(this.connection, describe(problem));
    }
  }

  #yield(): void {
    this.#yielded = true;
    this.#context.turn.add(this);
  }

  #end(): boolean {
    if (this.#closed) return false;
    this.#closed = true;
    this.#context.wires.delete(this);
    this.#reader.stop();
    this.counters.dropped += this.#queue.length;
    this.#queue.clear();
    return true;
  }

  #listen(): void {
    const stream = this.#stream;
    stream.addEventListener("message", (event: StreamMessageEvent) => this.#read(event.data));
    stream.addEventListener("drain", () => {
      this.#writable = true;
      // Not now: a socket that takes everything drains on the next tick, before any other peer had its turn.
      if (this.#queue.bytes > 0) this.#yield();
    });
    stream.addEventListener("remoteCloseWrite", () => this.close("closed by the peer", true));
    stream.addEventListener("close", ({ error }) => {
      this.close(error === undefined ? "connection closed" : `connection lost: ${describe(error)}`, true);
    });
    // It may have closed while the protocol was negotiated, before there was a listener.
    if (stream.status !== "open") queueMicrotask(() => this.close("connection closed", true));
  }

  #read(data: StreamMessageEvent["data"]): void {
    if (this.#closed) return;
    const now = this.#context.clock.ms;
    this.#heardMs = now;
    this.counters.bytesReceived += data.byteLength;
    for (const chunk of data instanceof Uint8Array ? [data] : data) {
      const problem = this.#reader.push(chunk, now, this.#accept);
      if (problem !== undefined) return this.close(problem);
      if (this.#closed) return;
    }
  }

  #deliver(frame: Uint8Array): void {
    if (frame.length === 0) return;
    if (this.#open) this.counters.framesReceived += 1;
    shielded(() => this.onFrame(frame));
  }
}
