/**
 * Reads big-endian fields from untrusted bytes. Every method checks what it needs against the bytes that are left before
 * it takes (or anybody allocates) anything, and throws {@link Malformed} naming the field.
 */
import type { Digest, RejectionCode, SeqNum, Signed, View, Votes } from "@narses/core";
import { hexOf, plain, type HexOf } from "./host.ts";
import { Malformed } from "./malformed.ts";

/** High half of 2^53 − 1: above it, a u64 has no exact JavaScript number. */
const U53_HIGH_MAX = 0x1f_ffff;

export class Reader {
  bytes: Uint8Array;
  /** What a failure is called; bundles and batches have codes of their own. */
  readonly code: RejectionCode;
  /** What a foreign epoch is called: harmless in the outermost header, malformed in a part. */
  epochCode: RejectionCode;
  position = 0;
  private framesMet: Map<string, Signed<Votes>> | undefined;
  /** Where `bytes` starts in the value that is being decoded; for messages only. */
  private readonly base: number;
  private fieldStart = 0;
  private hexSource: HexOf | undefined;

  constructor(bytes: Uint8Array, code: RejectionCode = "FRAME_MALFORMED", epochCode: RejectionCode = "EPOCH_FOREIGN", base = 0) {
    this.bytes = plain(bytes);
    this.code = code;
    this.epochCode = epochCode;
    this.base = base;
  }

  /** Starts over with other bytes: for readers of many small values that nobody keeps. */
  begin(bytes: Uint8Array): void {
    this.bytes = plain(bytes);
    this.position = 0;
    this.fieldStart = 0;
    this.framesMet = undefined;
    this.hexSource = undefined;
  }

  /** Vote frames met so far, by content: a frame that many certificates share is decoded once. */
  get frames(): Map<string, Signed<Votes>> {
    this.framesMet ??= new Map();
    return this.framesMet;
  }

  get remaining(): number {
    return this.bytes.length - this.position;
  }

  /** Gives up at the field read last. */
  fail(field: string, problem: string, code: RejectionCode = this.code): never {
    const offset = this.base + this.fieldStart;
    throw new Malformed(code, `${field} at byte ${offset}: ${problem}`, offset);
  }

  /** The code for "above a named limit". */
  get tooLarge(): RejectionCode {
    return this.code === "FRAME_MALFORMED" ? "FRAME_TOO_LARGE" : this.code;
  }

  private advance(field: string, length: number): number {
    const start = this.position;
    this.fieldStart = start;
    if (length > this.bytes.length - start) this.fail(field, `needs ${length} bytes, ${this.bytes.length - start} left`);
    this.position = start + length;
    return start;
  }

  /** The byte at `at`, which has been checked to be there. */
  private byte(at: number): number {
    return this.bytes[at] ?? 0;
  }

  private word(at: number): number {
    return ((this.byte(at) << 24) | (this.byte(at + 1) << 16) | (this.byte(at + 2) << 8) | this.byte(at + 3)) >>> 0;
  }

  u8(field: string): number {
    return this.byte(this.advance(field, 1));
  }

  u16(field: string): number {
    const at = this.advance(field, 2);
    return (this.byte(at) << 8) | this.byte(at + 1);
  }

  u32(field: string): number {
    return this.word(this.advance(field, 4));
  }

  /** Again, from bytes already read. */
  u32At(at: number): number {
    return this.word(at);
  }

  /** A u64 of at most 2^53 − 1. */
  u64(field: string): number {
    const at = this.advance(field, 8);
    const high = this.word(at);
    if (high > U53_HIGH_MAX) this.fail(field, `${this.hex(at, at + 8)} hex, at most 2^53 − 1`);
    return high * 0x1_0000_0000 + this.word(at + 4);
  }

  f32(field: string): number {
    return this.viewOf(field, 4).getFloat32(0);
  }

  f64(field: string): number {
    return this.viewOf(field, 8).getFloat64(0);
  }

  private viewOf(field: string, length: number): DataView {
    const at = this.advance(field, length);
    return new DataView(this.bytes.buffer, this.bytes.byteOffset + at, length);
  }

  /** A flag: 0 or 1. */
  flag(field: string): boolean {
    const value = this.u8(field);
    if (value > 1) this.fail(field, `${value}, must be 0 or 1`);
    return value === 1;
  }

  view64(field: string, min: number): View {
    return this.atLeast(field, this.u64(field), min) as View;
  }

  seq64(field: string, min: number): SeqNum {
    return this.atLeast(field, this.u64(field), min) as SeqNum;
  }

  private atLeast(field: string, value: number, min: number): number {
    if (value < min) this.fail(field, `${value}, at least ${min}`);
    return value;
  }

  digest(field: string): Digest {
    const at = this.advance(field, 32);
    return this.hex(at, at + 32) as Digest;
  }

  hex(start: number, end: number): string {
    this.hexSource ??= hexOf(this.bytes);
    return this.hexSource(start, end);
  }

  /** The next `length` bytes as a view of the input. */
  take(field: string, length: number): Uint8Array {
    const start = this.advance(field, length);
    return this.slice(start, start + length);
  }

  /** Past the next `length` bytes. */
  skip(field: string, length: number): void {
    this.advance(field, length);
  }

  /** The next `length` bytes without taking them; undefined when fewer are left. */
  peek(length: number): Uint8Array | undefined {
    return length <= this.remaining ? this.slice(this.position, this.position + length) : undefined;
  }

  /** A reader of the next `length` bytes alone, whose failures (a foreign epoch too) have the code given. */
  part(field: string, length: number, code: RejectionCode): Reader {
    const start = this.base + this.position;
    return new Reader(this.take(field, length), code, code, start);
  }

  /** A view of bytes already read. */
  slice(start: number, end: number): Uint8Array {
    return start === 0 && end === this.bytes.length ? this.bytes : this.bytes.subarray(start, end);
  }

  /** Checks a count just read: at most `max`, and that many elements of at least `bytesEach` fit into what is left. */
  count(field: string, value: number, max: number, bytesEach: number): number {
    if (value > max) this.fail(field, `${value}, at most ${max}`, this.tooLarge);
    if (value * bytesEach > this.remaining) this.fail(field, `${value} need ${value * bytesEach} bytes, ${this.remaining} left`);
    return value;
  }

  /** Nothing may follow. */
  finish(what: string): void {
    this.fieldStart = this.position;
    if (this.remaining !== 0) this.fail(what, `${this.remaining} bytes after its end`);
  }
}
