/** A connection of the in-memory network: two pipes made of the same queue and reader that sockets use. */
import { shielded } from "./describe.ts";
import { FrameReader } from "./frame-reader.ts";
import type { Task, Turn } from "./turn.ts";
import { TURN_BYTES_MAX, type Counters } from "./wire.ts";
import { WriteQueue } from "./write-queue.ts";

/** What a pipe's two ends share with the network. */
interface Bounds {
  readonly queueBytesMax: number;
  readonly frameBytesMax: number;
}

/** One direction of a connection. */
class Pipe implements Task {
  readonly #queue: WriteQueue;
  readonly #reader: FrameReader;
  readonly #bounds: Bounds;
  readonly #counters: Counters;
  readonly #turn: Turn;
  readonly #held: () => boolean;
  readonly #deliver: (frame: Uint8Array) => void;

  constructor(turn: Turn, bounds: Bounds, counters: Counters, held: () => boolean, deliver: (frame: Uint8Array) => void) {
    this.#turn = turn;
    this.#bounds = bounds;
    this.#counters = counters;
    this.#held = held;
    this.#deliver = deliver;
    this.#queue = new WriteQueue(bounds.queueBytesMax);
    this.#reader = new FrameReader(bounds.frameBytesMax);
  }

  get queuedBytes(): number {
    return this.#queue.bytes;
  }

  send(frame: Uint8Array): boolean {
    if (frame.length > this.#bounds.frameBytesMax || !this.#queue.push(frame)) {
      this.#counters.dropped += 1;
      return false;
    }
    this.#counters.framesSent += 1;
    this.#turn.add(this);
    return true;
  }

  run(): void {
    let share = TURN_BYTES_MAX;
    while (share > 0 && !this.#held()) {
      const chunk = this.#queue.take();
      if (chunk === undefined) return;
      share -= chunk.length;
      this.#counters.writes += 1;
      this.#counters.bytesSent += chunk.length;
      this.#reader.push(chunk, 0, this.#deliver);
    }
    if (this.#queue.bytes > 0 && !this.#held()) this.#turn.add(this);
  }

  close(): void {
    this.#counters.dropped += this.#queue.length;
    this.#queue.clear();
    this.#reader.stop();
  }
}

/** One end of a connection: a replica's or a client's side of it. */
export interface End {
  readonly counters: Counters;
  readonly bounds: Bounds;
  readonly held: () => boolean;
  onUp(send: (frame: Uint8Array) => boolean): void;
  onDown(): void;
  onFrame(frame: Uint8Array): void;
}

export class Connection implements Task {
  readonly #turn: Turn;
  readonly #ends: readonly [End, End];
  readonly #pipes: readonly [Pipe, Pipe];
  #state: "opening" | "open" | "closed" = "opening";

  constructor(turn: Turn, a: End, b: End) {
    this.#turn = turn;
    this.#ends = [a, b];
    this.#pipes = [this.#pipe(a, b), this.#pipe(b, a)];
    turn.add(this);
  }

  /** Bytes that wait at end 0 or 1 to be sent. */
  queuedBytes(end: 0 | 1): number {
    return this.#pipes[end].queuedBytes;
  }

  /** Comes up, at the end of the turn it was made in. */
  run(): void {
    if (this.#state !== "opening") return;
    this.#state = "open";
    this.#ends.forEach((end, i) => shielded(() => end.onUp((frame) => this.#state === "open" && this.#pipes[i === 0 ? 0 : 1].send(frame))));
  }

  close(): void {
    const wasOpen = this.#state === "open";
    this.#state = "closed";
    for (const pipe of this.#pipes) pipe.close();
    if (wasOpen) this.#turn.add({ run: () => this.#ends.forEach((end) => shielded(() => end.onDown())) });
  }

  /** Continues a pipe that was held. */
  resume(): void {
    for (const pipe of this.#pipes) this.#turn.add(pipe);
  }

  #pipe(from: End, to: End): Pipe {
    return new Pipe(this.#turn, from.bounds, from.counters, to.held, (frame) => {
      to.counters.framesReceived += 1;
      to.counters.bytesReceived += 4 + frame.length;
      shielded(() => to.onFrame(frame));
    });
  }
}
