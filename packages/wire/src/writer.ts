/**
 * Writes big-endian fields into one growing buffer that is used again and again. A value its field cannot hold is a bug
 * of the caller: the message must not leave, so the writer throws {@link InvariantViolation}.
 */
import { InvariantViolation } from "@narses/core";

/** A buffer that grew beyond this is let go after use. */
const KEEP_BYTES_MAX = 1 << 20;

function unrepresentable(what: string, value: unknown): InvariantViolation {
  return new InvariantViolation(`cannot encode ${String(value)} as ${what}`);
}

export class Writer {
  private readonly initialBytes: number;
  private buffer: Uint8Array;
  private position = 0;

  constructor(initialBytes: number) {
    this.initialBytes = initialBytes;
    this.buffer = new Uint8Array(initialBytes);
  }

  /** Starts a new value. One value is written at a time. */
  begin(): this {
    this.position = 0;
    return this;
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    const bytes = this.buffer.slice(0, this.position);
    this.release();
    return bytes;
  }

  /** What was written is not needed any more: a buffer that grew large is let go. */
  release(): void {
    if (this.buffer.length > KEEP_BYTES_MAX) this.resize(this.initialBytes);
    this.position = 0;
  }

  /** What was written, as a view that the next value overwrites. */
  written(): Uint8Array {
    return this.buffer.subarray(0, this.position);
  }

  private resize(bytes: number): void {
    this.buffer = new Uint8Array(bytes);
  }

  /** Makes room, which may replace the buffer: call it before touching it. */
  private advance(length: number): number {
    const start = this.position;
    const end = start + length;
    if (end > this.buffer.length) {
      const old = this.buffer;
      this.resize(Math.max(end, 2 * old.length));
      this.buffer.set(old.subarray(0, start));
    }
    this.position = end;
    return start;
  }

  u8(value: number): void {
    if (value >>> 0 !== value || value > 0xff) throw unrepresentable("u8", value);
    const at = this.advance(1);
    this.buffer[at] = value;
  }

  u16(value: number): void {
    if (value >>> 0 !== value || value > 0xffff) throw unrepresentable("u16", value);
    const at = this.advance(2);
    this.buffer[at] = value >>> 8;
    this.buffer[at + 1] = value;
  }

  u32(value: number): void {
    if (value >>> 0 !== value) throw unrepresentable("u32", value);
    this.word(this.advance(4), value);
  }

  /** A u64 of at most 2^53 − 1. */
  u64(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) throw unrepresentable("u64", value);
    const high = Math.floor(value / 0x1_0000_0000);
    const at = this.advance(8);
    this.word(at, high);
    this.word(at + 4, value - high * 0x1_0000_0000);
  }

  private word(at: number, value: number): void {
    this.buffer[at] = value >>> 24;
    this.buffer[at + 1] = value >>> 16;
    this.buffer[at + 2] = value >>> 8;
    this.buffer[at + 3] = value;
  }

  flag(value: boolean): void {
    this.u8(value ? 1 : 0);
  }

  raw(bytes: Uint8Array): void {
    const at = this.advance(bytes.length);
    this.buffer.set(bytes, at);
  }

  /** Exactly `length` bytes. */
  fixed(what: string, bytes: Uint8Array, length: number): void {
    if (bytes.length !== length) throw unrepresentable(`${what} of ${length} bytes`, `${bytes.length} bytes`);
    this.raw(bytes);
  }

  /** 64 lower-case hex digits as 32 bytes. */
  digest(hex: string): void {
    const at = this.advance(32);
    let outside = 0;
    for (let i = 0; i < 32; i++) {
      const high = nibble(hex.charCodeAt(2 * i));
      const low = nibble(hex.charCodeAt(2 * i + 1));
      outside |= high | low;
      this.buffer[at + i] = (high << 4) | low;
    }
    if ((outside & ~15) !== 0 || hex.length !== 64) throw unrepresentable("a digest", JSON.stringify(hex));
  }
}

/** Value of a lower-case hex digit; outside 0 … 15 for any other character. */
const nibble = (code: number): number => (code <= 57 ? code - 48 : code - 87);
