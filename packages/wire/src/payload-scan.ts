/**
 * A pass over msgpack bytes that builds nothing: it accepts exactly the payloads whose decoding is harmless and means the
 * same everywhere. Iterative, one pass, linear time; memory is one key set per open map.
 *
 * Two checks bound what the decoder may allocate later: the elements that are announced and not yet seen never exceed
 * the bytes that are left (each takes one at least), and no array or map lies deeper than the limit.
 */
import { FORBIDDEN_KEY, type PayloadLimits } from "./payload-rules.ts";
import type { Reader } from "./reader.ts";

interface Level {
  /** Elements still to come; in a map, an even number means that a key is next. */
  left: number;
  /** Keys seen, as latin-1 text of their UTF-8; undefined for an array. */
  readonly keys: Set<string> | undefined;
}

interface Scan {
  readonly r: Reader;
  readonly limits: PayloadLimits;
  /** Innermost last. */
  readonly levels: Level[];
  /** Announced and not yet seen. */
  pending: number;
  elements: number;
}

function open(s: Scan, elements: number, keys: Set<string> | undefined): void {
  const { r, limits } = s;
  if (s.levels.length >= limits.depthMax) r.fail("payload", `nested deeper than ${limits.depthMax}`);
  s.elements += elements;
  if (s.elements > limits.elementsMax) r.fail("payload", `more than ${limits.elementsMax} elements`);
  s.pending += elements;
  if (s.pending > r.remaining) r.fail("payload", `${s.pending} elements announced, ${r.remaining} bytes left`);
  s.levels.push({ left: elements, keys });
}

/** Checks a number in either 64-bit encoding, which msgpackr would otherwise give back rounded or as BigInt. */
function checkInteger(r: Reader, high: number): void {
  const value = high * 0x1_0000_0000 + r.u32("payload integer");
  if (!Number.isSafeInteger(value)) r.fail("payload integer", "outside ±(2^53 − 1)");
}

function checkFloat(r: Reader, value: number): void {
  if (!Number.isFinite(value)) r.fail("payload float", `${value} is not finite`);
  if (Object.is(value, -0)) r.fail("payload float", "−0 is written as 0");
}

/** Length of the string that `token` starts; undefined when it starts none. */
function stringLength(r: Reader, token: number): number | undefined {
  if (token >= 0xa0 && token < 0xc0) return token - 0xa0;
  if (token === 0xd9) return r.u8("payload string");
  if (token === 0xda) return r.u16("payload string");
  return token === 0xdb ? r.u32("payload string") : undefined;
}

/** Takes a string and checks it; returns its bytes. */
function takeString(r: Reader, length: number): Uint8Array {
  const bytes = r.take("payload string", length);
  if (!isUtf8(bytes)) r.fail("payload string", "is not UTF-8");
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) r.fail("payload string", "starts with a byte order mark");
  return bytes;
}

function takeKey(r: Reader, token: number, keys: Set<string>): void {
  const length = stringLength(r, token);
  if (length === undefined) return r.fail("payload map key", "is not a string");
  let key = "";
  for (const byte of takeString(r, length)) key += String.fromCharCode(byte);
  if (key === FORBIDDEN_KEY) r.fail("payload map key", `must not be ${FORBIDDEN_KEY}`);
  if (keys.has(key)) r.fail("payload map key", "is there twice");
  keys.add(key);
}

function takeValue(s: Scan, token: number): void {
  const { r } = s;
  if (token < 0x80 || token >= 0xe0) return; // small integers
  if (token < 0x90) return open(s, 2 * (token - 0x80), new Set());
  if (token < 0xa0) return open(s, token - 0x90, undefined);
  const length = stringLength(r, token);
  if (length !== undefined) return void takeString(r, length);
  switch (token) {
    case 0xc0: // nil
    case 0xc2: // false
    case 0xc3: // true
      return;
    case 0xc4:
      return void r.take("payload bytes", r.u8("payload bytes"));
    case 0xc5:
      return void r.take("payload bytes", r.u16("payload bytes"));
    case 0xc6:
      return void r.take("payload bytes", r.u32("payload bytes"));
    case 0xca:
      return checkFloat(r, r.f32("payload float"));
    case 0xcb:
      return checkFloat(r, r.f64("payload float"));
    case 0xcc: // u8
    case 0xd0: // i8
      return void r.u8("payload integer");
    case 0xcd: // u16
    case 0xd1: // i16
      return void r.u16("payload integer");
    case 0xce: // u32
    case 0xd2: // i32
      return void r.u32("payload integer");
    case 0xcf:
      return checkInteger(r, r.u32("payload integer"));
    case 0xd3:
      return checkInteger(r, r.u32("payload integer") | 0);
    case 0xdc:
      return open(s, r.u16("payload array"), undefined);
    case 0xdd:
      return open(s, r.u32("payload array"), undefined);
    case 0xde:
      return open(s, 2 * r.u16("payload map"), new Set());
    case 0xdf:
      return open(s, 2 * r.u32("payload map"), new Set());
    default:
      return r.fail("payload", `type byte ${token}: extension and reserved types are not accepted`);
  }
}

/** Throws Malformed unless `r` holds exactly one acceptable value. */
export function scanPayload(r: Reader, limits: PayloadLimits): void {
  if (r.bytes.length > limits.bytesMax) r.fail("payload", `${r.bytes.length} bytes, at most ${limits.bytesMax}`);
  const s: Scan = { r, limits, levels: [], pending: 0, elements: 0 };
  takeValue(s, r.u8("payload"));
  for (let level = s.levels.at(-1); level !== undefined; level = s.levels.at(-1)) {
    if (level.left === 0) {
      s.levels.pop();
      continue;
    }
    const token = r.u8("payload");
    s.pending -= 1;
    if (level.keys !== undefined && level.left % 2 === 0) takeKey(r, token, level.keys);
    else takeValue(s, token);
    level.left -= 1;
  }
  r.finish("payload");
}

/** Lowest and highest second byte after each lead byte (Unicode, table 3-7): leaves out overlong forms, surrogates and what is above U+10FFFF. */
function secondByteRange(lead: number): readonly [min: number, max: number] {
  if (lead === 0xe0) return [0xa0, 0xbf];
  if (lead === 0xed) return [0x80, 0x9f];
  if (lead === 0xf0) return [0x90, 0xbf];
  if (lead === 0xf4) return [0x80, 0x8f];
  return [0x80, 0xbf];
}

export function isUtf8(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) {
    const lead = bytes[i] ?? 0;
    if (lead < 0x80) continue;
    if (lead < 0xc2 || lead > 0xf4) return false;
    const [min, max] = secondByteRange(lead);
    const second = bytes[++i] ?? 0;
    if (second < min || second > max) return false;
    for (let more = lead < 0xe0 ? 0 : lead < 0xf0 ? 1 : 2; more > 0; more--) {
      if (((bytes[++i] ?? 0) & 0xc0) !== 0x80) return false;
    }
  }
  return true;
}
