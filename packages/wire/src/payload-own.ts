/**
 * Decodes payloads that the encoder here made, for the state: nothing in them has to be judged, most are small, and setting up msgpackr's
 * decoder for each costs more than they do. Knows exactly what the encoder writes; throws Malformed for anything else.
 */
import { fromUtf8 } from "./host.ts";
import { FORBIDDEN_KEY, PAYLOAD_LIMITS } from "./payload-rules.ts";
import type { Reader } from "./reader.ts";

/** One value, whose arrays and maps lie `depth` deep. Byte strings are copies. */
export function readOwn(r: Reader, depth = 0): unknown {
  const token = r.u8("payload");
  if (token < 0x80) return token;
  if (token >= 0xe0) return token - 0x100;
  if (token < 0x90) return readMap(r, token - 0x80, depth);
  if (token < 0xa0) return readArray(r, token - 0x90, depth);
  if (token < 0xc0) return readText(r, token - 0xa0);
  switch (token) {
    case 0xc0:
      return null;
    case 0xc2:
      return false;
    case 0xc3:
      return true;
    case 0xc4:
      return r.take("payload bytes", r.u8("payload bytes")).slice();
    case 0xc5:
      return r.take("payload bytes", r.u16("payload bytes")).slice();
    case 0xc6:
      return r.take("payload bytes", r.u32("payload bytes")).slice();
    case 0xd9:
      return readText(r, r.u8("payload string"));
    case 0xda:
      return readText(r, r.u16("payload string"));
    case 0xdb:
      return readText(r, r.u32("payload string"));
    case 0xdc:
      return readArray(r, r.u16("payload array"), depth);
    case 0xdd:
      return readArray(r, r.u32("payload array"), depth);
    case 0xde:
      return readMap(r, r.u16("payload map"), depth);
    case 0xdf:
      return readMap(r, r.u32("payload map"), depth);
    default:
      return readNumber(r, token);
  }
}

function readNumber(r: Reader, token: number): number {
  switch (token) {
    case 0xca:
      return r.f32("payload float");
    case 0xcb:
      return r.f64("payload float");
    case 0xcc:
      return r.u8("payload integer");
    case 0xcd:
      return r.u16("payload integer");
    case 0xce:
      return r.u32("payload integer");
    case 0xcf:
      return r.u32("payload integer") * 0x1_0000_0000 + r.u32("payload integer");
    case 0xd0:
      return (r.u8("payload integer") << 24) >> 24;
    case 0xd1:
      return (r.u16("payload integer") << 16) >> 16;
    case 0xd2:
      return r.u32("payload integer") | 0;
    case 0xd3:
      return (r.u32("payload integer") | 0) * 0x1_0000_0000 + r.u32("payload integer");
    default:
      return r.fail("payload", `type byte ${token}`);
  }
}

function enter(r: Reader, elements: number, depth: number): void {
  if (depth >= PAYLOAD_LIMITS.depthMax) r.fail("payload", `nested deeper than ${PAYLOAD_LIMITS.depthMax}`);
  if (elements > r.remaining) r.fail("payload", `${elements} elements announced, ${r.remaining} bytes left`);
}

function readArray(r: Reader, length: number, depth: number): unknown[] {
  enter(r, length, depth);
  const values = new Array<unknown>(length);
  for (let i = 0; i < length; i++) values[i] = readOwn(r, depth + 1);
  return values;
}

function readMap(r: Reader, length: number, depth: number): Record<string, unknown> {
  enter(r, 2 * length, depth);
  const values: Record<string, unknown> = {};
  for (let i = 0; i < length; i++) {
    const key = readOwn(r, depth + 1);
    if (typeof key !== "string") return r.fail("payload map key", "is not a string");
    if (key === FORBIDDEN_KEY) return r.fail("payload map key", `is ${FORBIDDEN_KEY}`);
    values[key] = readOwn(r, depth + 1);
  }
  return values;
}

/** Up to here a loop is faster than a text decoder, when it is ASCII. */
const SHORT_TEXT = 24;

function readText(r: Reader, length: number): string {
  const start = r.position;
  r.skip("payload string", length);
  if (length <= SHORT_TEXT) {
    let text = "";
    for (let i = start; i < start + length; i++) {
      const byte = r.bytes[i] ?? 0x80;
      if (byte >= 0x80) break;
      text += String.fromCharCode(byte);
    }
    if (text.length === length) return text;
  }
  return fromUtf8(r.slice(start, start + length)) ?? r.fail("payload string", "is not UTF-8");
}
