/**
 * The only file that looks at the host: UTF-8 and hex, with Node's Buffer as a fast path where there is one.
 * TextEncoder and TextDecoder exist in every browser and in every Node we support.
 */
import { toHex } from "@narses/core";

interface HexView {
  toString(encoding: "hex", start: number, end: number): string;
}

interface Host {
  readonly TextEncoder: new () => { encode(text: string): Uint8Array };
  readonly TextDecoder: new (label: "utf-8", options: { readonly fatal: true; readonly ignoreBOM: true }) => { decode(bytes: Uint8Array): string };
}

/** A free name and not a property of globalThis, so that a bundler for browsers can drop what depends on it. */
declare const Buffer: { from(buffer: ArrayBufferLike, byteOffset: number, length: number): HexView } | undefined;

const host = globalThis as unknown as Host;
const encoder = new host.TextEncoder();
const decoder = new host.TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const LONE_SURROGATE = /\p{Cs}/u;

/** Lone surrogates become U+FFFD; see {@link isWellFormed}. */
export const utf8 = (text: string): Uint8Array => encoder.encode(text);

/** Undefined when `bytes` are not UTF-8 (overlong forms and surrogates are not). */
export function fromUtf8(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Whether UTF-8 can carry the text: no surrogate stands alone. */
export const isWellFormed = (text: string): boolean => !LONE_SURROGATE.test(text);

/** Hex of ranges of one byte string; about twice as fast as the portable loop where Buffer exists. */
export type HexOf = (start: number, end: number) => string;

export function hexOf(bytes: Uint8Array): HexOf {
  if (typeof Buffer === "undefined") return (start, end) => toHex(bytes.subarray(start, end));
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return (start, end) => view.toString("hex", start, end);
}

/** The same bytes as a plain Uint8Array: a Buffer's views would be Buffers, and differ from a browser's in every comparison. */
export function plain(bytes: Uint8Array): Uint8Array {
  return bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
