/**
 * Encodes small plain payloads without msgpackr: arrays and literals of numbers, booleans, ASCII strings and bytes, which is what
 * applications keep and answer. Checks and writes in one pass, byte for byte what msgpackr writes; whatever is not so plain (or wrong)
 * is left to the general encoder, which also says what is wrong with it.
 */

import { pieceOf } from "./slab.ts";

/** Larger ones are left to the general encoder. */
const SCRATCH_BYTES = 4 << 10;
const DEPTH_MAX = 8;
const KEYS_MAX = 15;
const STRING_LENGTH_MAX = 255;

const scratch = new Uint8Array(SCRATCH_BYTES);
const floats = new DataView(scratch.buffer);
/** Where the next byte goes; beyond the scratch when the value does not fit. */
let at = 0;
/** A getter of the value may come back here while its value is half written. */
let busy = false;

/** `head` bytes are left free before the encoding. Undefined for what the general encoder has to do. */
export function encodePlain(value: unknown, head = 0): Uint8Array | undefined {
  if (busy) return undefined;
  busy = true;
  at = head;
  try {
    return put(value, 0) && at <= SCRATCH_BYTES ? pieceOf(scratch, at) : undefined;
  } finally {
    busy = false;
  }
}

function put(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case "number":
      return putNumber(value);
    case "string":
      return putText(value);
    case "boolean":
      return putByte(value ? 0xc3 : 0xc2);
    case "object":
      if (value === null) return putByte(0xc0);
      if (value instanceof Uint8Array) return putBytes(value);
      if (depth >= DEPTH_MAX) return false;
      return value.constructor === Array ? putArray(value as unknown[], depth) : putLiteral(value, depth);
    default:
      return false;
  }
}

function putByte(byte: number): true {
  scratch[at++] = byte;
  return true;
}

/** `token`, then the low `width` bytes of an integer. */
function putInteger(token: number, value: number, width: number): true {
  scratch[at] = token;
  for (let i = width, rest = value; i > 0; i--, rest >>= 8) scratch[at + i] = rest;
  at += 1 + width;
  return true;
}

function putNumber(value: number): boolean {
  if (value >>> 0 === value) {
    if (value < 0x80) return putByte(value);
    if (value < 0x100) return putInteger(0xcc, value, 1);
    return value < 0x1_0000 ? putInteger(0xcd, value, 2) : putInteger(0xce, value, 4);
  }
  if (value >> 0 === value) {
    if (value >= -0x20) return putByte(value & 0xff);
    if (value >= -0x80) return putInteger(0xd0, value, 1);
    return value >= -0x8000 ? putInteger(0xd1, value, 2) : putInteger(0xd2, value, 4);
  }
  if (!Number.isFinite(value) || at + 9 > SCRATCH_BYTES) return false;
  scratch[at] = 0xcb;
  floats.setFloat64(at + 1, value);
  at += 9;
  return true;
}

function putText(text: string): boolean {
  const { length } = text;
  if (length > STRING_LENGTH_MAX) return false;
  if (length < 0x20) putByte(0xa0 | length);
  else putInteger(0xd9, length, 1);
  for (let i = 0; i < length; i++) {
    const unit = text.charCodeAt(i);
    if (unit >= 0x80) return false;
    scratch[at + i] = unit;
  }
  at += length;
  return true;
}

function putBytes(bytes: Uint8Array): boolean {
  const { length } = bytes;
  if (length > 0xff || at + 2 + length > SCRATCH_BYTES) return false;
  putInteger(0xc4, length, 1);
  scratch.set(bytes, at);
  at += length;
  return true;
}

function putArray(values: readonly unknown[], depth: number): boolean {
  const { length } = values;
  if (length < 0x10) putByte(0x90 | length);
  else if (length < SCRATCH_BYTES) putInteger(0xdc, length, 2);
  else return false;
  for (let i = 0; i < length; i++) if (at > SCRATCH_BYTES || !put(values[i], depth + 1)) return false;
  return true;
}

function putLiteral(value: object, depth: number): boolean {
  if (Object.getPrototypeOf(value) !== Object.prototype || value.constructor !== Object) return false;
  const keys = Object.keys(value);
  if (keys.length > KEYS_MAX) return false;
  putByte(0x80 | keys.length);
  for (const key of keys) if (key === "__proto__" || !putText(key) || !put((value as Record<string, unknown>)[key], depth + 1)) return false;
  return true;
}
