/**
 * The payloads that are one scalar (null, a boolean, a number from 0 to 2^32 − 1, a byte string), without msgpackr: they are
 * most of what applications submit, keep and answer, and setting up a general encoder costs more than they do. Byte for byte
 * what msgpackr writes, and exactly what `payload-scan.ts` lets through.
 */

import { plain } from "./host.ts";
import { piece } from "./slab.ts";

const NIL = 0xc0;
const FALSE = 0xc2;
const TRUE = 0xc3;

/** A copy-free start: `head` bytes are left free before the encoding. Undefined for any other value. */
export function encodeScalar(value: unknown, head = 0): Uint8Array | undefined {
  if (typeof value === "number") return value >>> 0 === value ? encodeUnsigned(value, head) : undefined;
  if (value === null) return single(NIL, head);
  if (typeof value === "boolean") return single(value ? TRUE : FALSE, head);
  return value instanceof Uint8Array ? encodeBytes(value, head) : undefined;
}

function single(byte: number, head: number): Uint8Array {
  const bytes = piece(head + 1);
  bytes[head] = byte;
  return bytes;
}

/** `token`, then `value` in `width` bytes, then `room` bytes more. */
function number(token: number, value: number, width: number, head: number, room = 0): Uint8Array {
  const bytes = piece(head + 1 + width + room);
  bytes[head] = token;
  for (let i = width, rest = value; i > 0; i--, rest >>>= 8) bytes[head + i] = rest;
  return bytes;
}

function encodeUnsigned(value: number, head: number): Uint8Array {
  if (value < 0x80) return single(value, head);
  if (value < 0x100) return number(0xcc, value, 1, head);
  return value < 0x1_0000 ? number(0xcd, value, 2, head) : number(0xce, value, 4, head);
}

function encodeBytes(value: Uint8Array, head: number): Uint8Array {
  const { length } = value;
  const bytes = length < 0x100 ? number(0xc4, length, 1, head, length) : length < 0x1_0000 ? number(0xc5, length, 2, head, length) : number(0xc6, length, 4, head, length);
  bytes.set(value, bytes.length - length);
  return bytes;
}

/** Undefined for anything but one well-formed scalar that fills the bytes from `start` to `end`. Byte strings are copies, or `owned` views. */
export function decodeScalar(bytes: Uint8Array, start = 0, end: number = bytes.length, owned = false): { readonly value: unknown } | undefined {
  const token = start < end ? bytes[start] : undefined;
  if (token === undefined) return undefined;
  const left = end - start - 1;
  if (left === 0) {
    if (token < 0x80) return { value: token };
    return token === NIL ? { value: null } : token === TRUE ? { value: true } : token === FALSE ? { value: false } : undefined;
  }
  const width = widthOf(token);
  if (width === 0 || left < width) return undefined;
  let value = 0;
  for (let i = 1; i <= width; i++) value = value * 256 + (bytes[start + i] ?? 0);
  if (token >= 0xcc) return left === width ? { value } : undefined;
  if (left !== width + value) return undefined;
  return { value: owned ? plain(bytes).subarray(start + 1 + width, end) : plain(bytes).slice(start + 1 + width, end) };
}

/** Bytes of the length or number behind a token; 0 for a token without. */
function widthOf(token: number): number {
  switch (token) {
    case 0xc4:
    case 0xcc:
      return 1;
    case 0xc5:
    case 0xcd:
      return 2;
    case 0xc6:
    case 0xce:
      return 4;
    default:
      return 0;
  }
}
