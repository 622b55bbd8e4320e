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

/** All of it is written before it is read: Node's pool need not clear it, nor make an object outside the heap for each. */
const allocate = (bytes: number): Uint8Array => (typeof Buffer === "undefined" ? new Uint8Array(bytes) : Buffer.allocUnsafe(bytes));

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

  /** The next chunk, at most WRITE_BYTES_MAX bytes, between `head` and `tail` bytes of room; undefined when nothing waits. */
  take(head = 0, tail = 0): Uint8Array | undefined {
    if (this.#bytes === 0) return undefined;
    const bytes = Math.min(this.#bytes, WRITE_BYTES_MAX);
    const room = allocate(head + bytes + tail);
    const end = head + bytes;
    for (let filled = head; filled < end; ) {
      const frame = this.#frames[this.#head];
      if (frame === undefined) break;
      filled = this.#copy(frame, room, filled, end);
      if (this.#taken === HEADER_BYTES + frame.length) this.#next();
    }
    this.#bytes -= bytes;
    this.#budget?.give(bytes);
    return room;
  }

  /** Forgets everything that waits. */
  clear(): void {
    this.#budget?.give(this.#bytes);
    this.#frames = [];
    this.#head = 0;
    this.#taken = 0;
    this.#bytes = 0;
  }

  /** Copies what fits of the head frame to `room` from `at` up to `end`; returns where it ends. */
  #copy(frame: Uint8Array, room: Uint8Array, at: number, end: number): number {
    let filled = at;
    for (; this.#taken < HEADER_BYTES && filled < end; this.#taken++) {
      room[filled++] = (frame.length >>> (8 * (HEADER_BYTES - 1 - this.#taken))) & 0xff;
    }
    if (this.#taken >= HEADER_BYTES) {
      const from = this.#taken - HEADER_BYTES;
      const part = frame.length - from <= end - filled && from === 0 ? frame : frame.subarray(from, from + end - filled);
      room.set(part, filled);
      filled += part.length;
      this.#taken += part.length;
    }
    return filled;
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
