/**
 * A second msgpack, independent of the one under test: a plain decoder of the published format for what payloads may hold,
 * and a generator of bytes that look like msgpack.
 */
import type { Random } from "./mutate.ts";
import { join } from "./mutate.ts";

/** Decodes accepted payloads; anything else is a TypeError. */
export function reference(bytes: Uint8Array): unknown {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let at = 0;
  const take = (length: number): number => {
    const start = at;
    at += length;
    if (at > bytes.length) throw new TypeError("cut short");
    return start;
  };
  const uint = (width: number): number => {
    const start = take(width);
    return bytes.subarray(start, at).reduce((sum, byte) => sum * 256 + byte, 0);
  };
  const text = (length: number): string => {
    const start = take(length);
    return utf8.decode(bytes.subarray(start, at));
  };
  const binary = (length: number): Uint8Array => {
    const start = take(length);
    return Uint8Array.from(bytes.subarray(start, at));
  };
  const array = (length: number): unknown[] => Array.from({ length }, value);
  const map = (length: number): Record<string, unknown> => {
    const object: Record<string, unknown> = {};
    for (let i = 0; i < length; i++) object[String(value())] = value();
    return object;
  };
  function value(): unknown {
    const token = uint(1);
    if (token < 0x80) return token;
    if (token < 0x90) return map(token & 15);
    if (token < 0xa0) return array(token & 15);
    if (token < 0xc0) return text(token & 31);
    if (token >= 0xe0) return token - 256;
    const width = 2 ** (token & 3);
    if (token === 0xc0) return null;
    if (token === 0xc2 || token === 0xc3) return token === 0xc3;
    if (token >= 0xc4 && token <= 0xc6) return binary(uint(2 ** (token - 0xc4)));
    if (token === 0xca) return view.getFloat32(take(4));
    if (token === 0xcb) return view.getFloat64(take(8));
    if (token >= 0xcc && token <= 0xcf) return uint(width);
    if (token >= 0xd0 && token <= 0xd3) return Number(BigInt.asIntN(8 * width, width === 8 ? view.getBigInt64(take(8)) : BigInt(uint(width))));
    if (token >= 0xd9 && token <= 0xdb) return text(uint(2 ** (token - 0xd9)));
    if (token === 0xdc || token === 0xdd) return array(uint(token === 0xdc ? 2 : 4));
    if (token === 0xde || token === 0xdf) return map(uint(token === 0xde ? 2 : 4));
    throw new TypeError(`token ${token}`);
  }
  const result = value();
  if (at !== bytes.length) throw new TypeError("trailing bytes");
  return result;
}

const ASCII = Uint8Array.from({ length: 80 }, (_, i) => 97 + (i % 26));
const UTF8 = new TextEncoder();
const STRINGS = ["", "a", "id", "toJSON", "constructor", "__proto__", "ä€𝄞", "\uFEFFx"].map((s) => UTF8.encode(s));

function header(r: Random, base: number, bytesWide: readonly number[], length: number): Uint8Array {
  const width = r.pick(bytesWide);
  const bytes = new Uint8Array(1 + width);
  bytes[0] = base + bytesWide.indexOf(width);
  for (let i = width, rest = length; i > 0; i--, rest = Math.floor(rest / 256)) bytes[i] = rest % 256;
  return bytes;
}

function generateString(r: Random): Uint8Array {
  const content = r.next(4) > 0 ? r.pick(STRINGS) : r.next(2) === 0 ? ASCII.subarray(0, r.next(80)) : UTF8.encode("xä€𝄞".slice(r.next(3)).repeat(r.next(30)));
  if (content.length < 32 && r.next(4) > 0) return join(Uint8Array.of(0xa0 + content.length), content);
  return join(header(r, 0xd9, [1, 2, 4], content.length), content);
}

function generateNumber(r: Random): Uint8Array {
  const float = new Uint8Array(9);
  float[0] = 0xcb;
  new DataView(float.buffer).setFloat64(1, r.pick([0.1, -1.5, 1e300, 2 ** 32, NaN, Infinity, -0, 5]));
  return r.pick([
    Uint8Array.of(r.next(128)), Uint8Array.of(0xe0 + r.next(32)), Uint8Array.of(0xcc, r.next(256)), Uint8Array.of(0xd0, r.next(256)),
    join(Uint8Array.of(0xcd + r.next(2) * 4), r.bytes(2)), join(Uint8Array.of(0xce + r.next(2) * 4), r.bytes(4)),
    join(Uint8Array.of(0xcf, 0, r.next(40)), r.bytes(6)), join(Uint8Array.of(0xd3, 255, 224 + r.next(32)), r.bytes(6)), float,
  ]);
}

/** Mostly valid payloads, in all of the format's spellings, with forbidden values now and then. */
export function generate(r: Random, depth = 0): Uint8Array {
  switch (r.next(depth > 4 ? 6 : 10)) {
    case 0:
      return Uint8Array.of(r.pick([0xc0, 0xc2, 0xc3]));
    case 1:
    case 2:
      return generateNumber(r);
    case 3:
    case 4:
      return generateString(r);
    case 5: {
      const length = r.next(20);
      return join(header(r, 0xc4, [1, 2, 4], length), r.bytes(length));
    }
    case 6:
    case 7: {
      const count = r.next(5);
      const items = Array.from({ length: count }, () => generate(r, depth + 1));
      return join(r.next(3) > 0 ? Uint8Array.of(0x90 + count) : header(r, 0xdc, [2, 4], count), ...items);
    }
    default: {
      const count = r.next(4);
      const items = Array.from({ length: count }, () => join(generateString(r), generate(r, depth + 1)));
      return join(r.next(3) > 0 ? Uint8Array.of(0x80 + count) : header(r, 0xde, [2, 4], count), ...items);
    }
  }
}
