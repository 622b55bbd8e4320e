/**
 * Cuts a byte stream into frames: a 4-byte big-endian length, then that many bytes. Holds memory in proportion to bytes
 * received, whatever length a peer announces, and hands every frame over in an array of its own.
 */
import { FRAME_RATE_MIN, type Budget } from "./limits.ts";

export const HEADER_BYTES = 4;

/** Capacity of the first piece of a frame that did not arrive whole; doubles from there, never above the frame's length. */
const PIECE_BYTES_MIN = 1 << 10;

export class FrameReader {
  /** Announced longer: a problem. May change between frames (the handshake frame has a small cap of its own). */
  frameBytesMax: number;
  readonly #budget: Budget | undefined;
  #header = 0;
  #headerBytes = 0;
  /** The frame being received: `#body.length` is its capacity so far, charged to the budget. */
  #body: Uint8Array = EMPTY;
  #received = 0;
  #startedMs = 0;
  #stopped = false;

  constructor(frameBytesMax: number, budget?: Budget) {
    this.frameBytesMax = frameBytesMax;
    this.#budget = budget;
  }

  /**
   * Takes bytes in, calls `onFrame` for each frame that is complete (length 0 included), in order.
   * @returns what is wrong with the peer's bytes, or undefined. After a problem, or {@link stop}, nothing is read any more.
   */
  push(chunk: Uint8Array, nowMs: number, onFrame: (frame: Uint8Array) => void): string | undefined {
    let at = 0;
    while (at < chunk.length && !this.#stopped) {
      if (this.#headerBytes < HEADER_BYTES) {
        if (this.#headerBytes === 0) this.#startedMs = nowMs;
        this.#header = ((this.#header << 8) | (chunk[at] ?? 0)) >>> 0;
        this.#headerBytes += 1;
        at += 1;
        if (this.#headerBytes < HEADER_BYTES) continue;
        if (this.#header > this.frameBytesMax) {
          const problem = `announced a frame of ${this.#header} bytes, the cap is ${this.frameBytesMax}`;
          this.stop();
          return problem;
        }
      }
      const part = chunk.subarray(at, at + this.#header - this.#received);
      at += part.length;
      if (this.#received + part.length === this.#header) {
        this.#complete(part, onFrame);
      } else if (part.length > 0 && !this.#append(part)) {
        const problem = `needs more memory for unfinished frames than the ${this.#budget?.max ?? 0} bytes all clients share`;
        this.stop();
        return problem;
      }
    }
    return undefined;
  }

  /** True while a frame has begun and is not complete. */
  get partial(): boolean {
    return this.#headerBytes > 0 && !this.#stopped;
  }

  /** When the unfinished frame must be complete, on the clock given to `push`. Infinity when there is none. */
  deadlineMs(frameMs: number): number {
    if (!this.partial) return Number.POSITIVE_INFINITY;
    const length = this.#headerBytes < HEADER_BYTES ? 0 : this.#header;
    return this.#startedMs + frameMs + Math.ceil((1_000 * length) / FRAME_RATE_MIN);
  }

  /** Reads no more and lets go of the unfinished frame. */
  stop(): void {
    this.#stopped = true;
    this.#reset();
  }

  #complete(part: Uint8Array, onFrame: (frame: Uint8Array) => void): void {
    let frame: Uint8Array;
    if (this.#received === 0) {
      frame = new Uint8Array(part.length);
      frame.set(part);
    } else {
      // The last piece: its bytes are here, so the full capacity is in proportion; it is handed over, not charged.
      frame = this.#body.length === this.#header ? this.#body : grown(this.#body, this.#received, this.#header);
      frame.set(part, this.#received);
    }
    this.#reset();
    onFrame(frame);
  }

  #append(part: Uint8Array): boolean {
    const needed = this.#received + part.length;
    if (needed > this.#body.length) {
      const capacity = Math.min(this.#header, Math.max(2 * needed, PIECE_BYTES_MIN));
      if (this.#budget?.take(capacity - this.#body.length) === false) return false;
      this.#body = grown(this.#body, this.#received, capacity);
    }
    this.#body.set(part, this.#received);
    this.#received = needed;
    return true;
  }

  #reset(): void {
    this.#budget?.give(this.#body.length);
    this.#body = EMPTY;
    this.#received = 0;
    this.#header = 0;
    this.#headerBytes = 0;
  }
}

const EMPTY: Uint8Array = new Uint8Array(0);

function grown(bytes: Uint8Array, used: number, capacity: number): Uint8Array {
  const larger = new Uint8Array(capacity);
  larger.set(bytes.subarray(0, used));
  return larger;
}
