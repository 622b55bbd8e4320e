/**
 * Frames waiting for one peer: bounded in bytes, taken out as contiguous chunks with as many frames as fit, each behind its
 * 4-byte length. A frame is not copied until its chunk is taken: callers must not change what they gave to `push`.
 */
import { HEADER_BYTES } from "./frame-reader.ts";
import type { Budget } from "./limits.ts";

/**
 * Largest chunk handed to a stream: with yamux's 12-byte header it just fills one noise message of 65 535 bytes
 * with its 16-byte tag. One byte more would cost a second, tiny one.
 */
export const WRITE_BYTES_MAX: number = 65_535 - 16 - 12;

/** Taken frames are cut off the array once there are this many. */
const COMPACT_AT = 1_024;

export class WriteQueue {
  readonly bytesMax: number;
  readonly #budget: Budget | undefined;
  #frames: Uint8Array[] = [];
  #head = 0;
  /** Bytes of the head frame already taken, its header included. */
  #taken = 0;
  #bytes = 0;

  constructor(bytesMax: number, budget?: Budget) {
    this.bytesMax = bytesMax;
    this.#budget = budget;
  }

  /** Waiting bytes, headers included. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Frames not yet taken completely. */
  get length(): number {
    return this.#frames.length - this.#head;
  }

  /** False, and the frame is not queued, when it would exceed the bound. */
  push(frame: Uint8Array): boolean {
    const bytes = HEADER_BYTES + frame.length;
    if (this.#bytes + bytes > this.bytesMax) return false;
    if (this.#budget?.take(bytes) === false) return false;
    this.#frames.push(frame);
    this.#bytes += bytes;
    return true;
  }

  /** The next chunk, at most WRITE_BYTES_MAX bytes; undefined when nothing waits. */
  take(): Uint8Array | undefined {
    if (this.#bytes === 0) return undefined;
    const chunk = new Uint8Array(Math.min(this.#bytes, WRITE_BYTES_MAX));
    let filled = 0;
    while (filled < chunk.length) {
      const frame = this.#frames[this.#head];
      if (frame === undefined) break;
      filled += this.#copy(frame, chunk, filled);
      if (this.#taken === HEADER_BYTES + frame.length) this.#next();
    }
    this.#bytes -= chunk.length;
    this.#budget?.give(chunk.length);
    return chunk;
  }

  /** Forgets everything that waits. */
  clear(): void {
    this.#budget?.give(this.#bytes);
    this.#frames = [];
    this.#head = 0;
    this.#taken = 0;
    this.#bytes = 0;
  }

  /** Copies what fits of the head frame to `chunk` at `at`; returns how much that was. */
  #copy(frame: Uint8Array, chunk: Uint8Array, at: number): number {
    let filled = at;
    for (; this.#taken < HEADER_BYTES && filled < chunk.length; this.#taken++) {
      chunk[filled++] = (frame.length >>> (8 * (HEADER_BYTES - 1 - this.#taken))) & 0xff;
    }
    if (this.#taken >= HEADER_BYTES) {
      const from = this.#taken - HEADER_BYTES;
      const part = frame.subarray(from, from + chunk.length - filled);
      chunk.set(part, filled);
      filled += part.length;
      this.#taken += part.length;
    }
    return filled - at;
  }

  #next(): void {
    this.#taken = 0;
    this.#head += 1;
    if (this.#head === this.#frames.length) {
      this.#frames = [];
      this.#head = 0;
    } else if (this.#head >= COMPACT_AT) {
      this.#frames.splice(0, this.#head);
      this.#head = 0;
    }
  }
}
