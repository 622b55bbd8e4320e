/** faults.md 68: hostile msgpack is refused before anything is decoded, at once, and the process lives. */
import { describe, expect, test } from "vitest";
import { decodeOwnPayload, decodePayload, decodeResult, encodePayload, PAYLOAD_LIMITS } from "../../src/index.ts";
import { isUtf8 } from "../../src/payload-scan.ts";
import { join } from "../support/mutate.ts";

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"));
const repeat = (count: number, ...bytes: readonly number[]): Uint8Array => Uint8Array.from({ length: count * bytes.length }, (_, i) => bytes[i % bytes.length] ?? 0);

const HOSTILE: readonly (readonly [what: string, bytes: Uint8Array, detail: RegExp])[] = [
  ["nothing", new Uint8Array(), /payload at byte 0: needs 1 bytes, 0 left/],
  ["72 KB of nested array16 headers", repeat(24_000, 0xdc, 0xff, 0xff), /elements announced, .* bytes left|nested deeper/],
  ["72 KB of nested array16 headers of one", repeat(24_000, 0xdc, 0x00, 0x01), /nested deeper than 16/],
  ["200 000 nested arrays", repeat(200_000, 0x91), /nested deeper than 16/],
  ["200 000 nested maps", repeat(100_000, 0x81, 0xa0), /nested deeper than 16/],
  ["17 nested arrays", join(repeat(17, 0x91), hex("c0")), /nested deeper than 16/],
  ["an array of 2^32 − 1", hex("dd ffffffff"), /4294967295|more than 262144 elements/],
  ["a map of 2^32 − 1", hex("df ffffffff"), /more than 262144 elements/],
  ["an array16 of 65535 in 4 bytes", hex("dc ffff c0"), /65535 elements announced, 1 bytes left/],
  ["siblings that announce more than is there", hex("92 9f 9f c0 c0 c0"), /elements announced/],
  ["a string of 4 GiB", hex("db ffffffff"), /needs 4294967295 bytes/],
  ["bytes of 4 GiB", hex("c6 ffffffff"), /needs 4294967295 bytes/],
  ["a string cut short", hex("a5 6162"), /needs 5 bytes, 2 left/],
  ["fixext 1 (undefined)", hex("d4 00 00"), /type byte 212/],
  ["a record definition", hex("d4 72 40 92 a1 61 a1 62 01 02"), /type byte 212/],
  ["a record redefinition of two bytes", hex("d5 72 40 00 91 a1 61 01"), /type byte 213/],
  ["a record definition inside an array", hex("92 d4 72 40 91 a1 61 01 40 02"), /type byte 212/],
  ["a timestamp", hex("d6 ff 00000000"), /type byte 214/],
  ["fixext 8", hex("d7 ff 0000000000000000"), /type byte 215/],
  ["fixext 16", hex("d8 01 00000000000000000000000000000000"), /type byte 216/],
  ["a BigInt extension of 1 MB", join(hex("c9 00100000 42"), new Uint8Array(1 << 20)), /type byte 201/],
  ["ext 8", hex("c7 01 74 00"), /type byte 199/],
  ["ext 16 (bundled strings)", hex("c8 0004 62 00000000"), /type byte 200/],
  ["the reserved byte", hex("c1"), /type byte 193/],
  ["a duplicate key", hex("82 a161 01 a161 02"), /map key .*is there twice/],
  ["a duplicate key, spelled differently", hex("82 a161 01 d90161 02"), /is there twice/],
  ["__proto__", hex("81 a9 5f5f70726f746f5f5f 01"), /must not be __proto__/],
  ["__proto__ in a long spelling", hex("81 da0009 5f5f70726f746f5f5f 80"), /must not be __proto__/],
  ["an integer key", hex("81 01 01"), /map key .*is not a string/],
  ["a nil key", hex("81 c0 01"), /is not a string/],
  ["an array as key", hex("81 90 01"), /is not a string/],
  ["bytes as key", hex("81 c40161 01"), /is not a string/],
  ["a map without its last value", hex("81 a161"), /needs 1 bytes, 0 left|announced/],
  ["u64 2^53", hex("cf 0020000000000000"), /integer .*outside ±\(2\^53 − 1\)/],
  ["u64 max", hex("cf ffffffffffffffff"), /outside/],
  ["i64 −2^53", hex("d3 ffe0000000000000"), /outside/],
  ["i64 min", hex("d3 8000000000000000"), /outside/],
  ["NaN", hex("cb 7ff8000000000000"), /float .*not finite/],
  ["NaN as float 32", hex("ca 7fc00000"), /not finite/],
  ["Infinity", hex("cb 7ff0000000000000"), /not finite/],
  ["−Infinity as float 32", hex("ca ff800000"), /not finite/],
  ["−0", hex("cb 8000000000000000"), /−0 is written as 0/],
  ["−0 as float 32", hex("ca 80000000"), /−0/],
  ["a trailing byte", hex("c0 c0"), /1 bytes after its end/],
  ["a trailing byte after a map", hex("81 a161 01 00"), /1 bytes after its end/],
  ["a string that is not UTF-8", hex("a1 ff"), /is not UTF-8/],
  ["an overlong form", hex("a2 c080"), /is not UTF-8/],
  ["a surrogate in UTF-8", hex("a3 eda080"), /is not UTF-8/],
  ["a key that is not UTF-8", hex("81 a2 c3 28 01"), /is not UTF-8/],
  ["a byte order mark, on which msgpackr's decoders differ", join(hex("d9 44 efbbbf"), repeat(65, 0x61)), /byte order mark/],
  ["a payload above the cap", new Uint8Array(PAYLOAD_LIMITS.bytesMax + 1), /4194305 bytes, at most 4194304/],
];

describe("decodePayload refuses", () => {
  test.each(HOSTILE)("%s", (_what, bytes, detail) => {
    const copy = bytes.slice();
    expect(decodePayload(bytes)).toMatchObject({ ok: false, rejection: { code: "REQUEST_INVALID", detail: expect.stringMatching(detail) as string } });
    expect(Buffer.compare(bytes, copy)).toBe(0);
    if (bytes.length < 1_000) expect(decodeResult(join(Uint8Array.of(1), bytes))).toMatchObject({ ok: false });
  });

  test("every cut of a valid payload", () => {
    const bytes = encodePayload({ a: [1, 2.5, "text", new Uint8Array(3)], b: { c: null, d: -70_000, e: 2 ** 40 } });
    for (let length = 0; length < bytes.length; length++) expect(decodePayload(bytes.subarray(0, length)).ok).toBe(false);
    expect(decodePayload(bytes).ok).toBe(true);
  });

  test("and the prototype of objects is what it was", () => {
    for (const [, bytes] of HOSTILE) decodePayload(bytes);
    expect(Object.keys(Object.prototype)).toEqual([]);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });
});

test("a record definition in one payload does not change how the next one reads", () => {
  const value = [{ view: 1, seq: 2 }, 64, 65];
  const bytes = encodePayload(value);
  decodePayload(hex("d4 72 40 92 a3 736571 a4 76696577 01 02"));
  expect(decodePayload(bytes)).toStrictEqual({ ok: true, value });
});

test("time and memory of the scan are linear: 4 MB of the worst payloads take a fraction of a second each", () => {
  const size = PAYLOAD_LIMITS.bytesMax;
  const keys = Array.from({ length: 100_000 }, (_, i) => join(Uint8Array.of(0xa5), new TextEncoder().encode(i.toString(36).padStart(5, "0")), Uint8Array.of(0xc0)));
  const worst = [
    join(hex("dd 0003ffff"), repeat(262_143, 0x80)),
    join(hex("df 000186a0"), ...keys),
    join(hex("db 003ffffb"), repeat(size - 5, 0x61)),
    join(hex("db 003ffffb"), repeat((size - 5) / 3, 0xe2, 0x82, 0xac).subarray(0, size - 5)),
    repeat(size, 0x91),
  ];
  const heapBefore = process.memoryUsage().heapUsed;
  for (const bytes of worst) {
    const start = process.cpuUsage().user;
    decodePayload(bytes);
    expect(process.cpuUsage().user - start).toBeLessThan(2_000_000);
  }
  expect(process.memoryUsage().heapUsed - heapBefore).toBeLessThan(400 << 20);
});

test("isUtf8 agrees with the platform on every sequence of two bytes, and on the edges of longer ones", () => {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const platform = (bytes: Uint8Array): boolean => {
    try {
      decoder.decode(bytes);
      return true;
    } catch {
      return false;
    }
  };
  const edges = [0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff];
  const wrong: string[] = [];
  const check = (...bytes: number[]): void => {
    const array = Uint8Array.from(bytes);
    if (isUtf8(array) !== platform(array)) wrong.push(Buffer.from(array).toString("hex"));
  };
  for (let a = 0; a < 256; a++) {
    check(a);
    for (let b = 0; b < 256; b++) check(a, b);
  }
  for (let a = 0xe0; a < 0x100; a++) for (const b of edges) for (const c of edges) for (const d of edges) check(a, b, c, d);
  for (let a = 0xe0; a < 0xf0; a++) for (const b of edges) for (const c of edges) check(a, b, c);
  expect(wrong).toEqual([]);
});

/** What a damaged disk may give back as a value of the state; the encoder wrote none of it. */
const DAMAGED: readonly (readonly [what: string, bytes: Uint8Array, detail: RegExp])[] = [
  ["an extension", hex("d4 00 00"), /type byte 212/],
  ["200 000 nested arrays", repeat(200_000, 0x91), /nested deeper than 16/],
  ["200 000 nested maps", repeat(100_000, 0x81, 0xa0), /nested deeper than 16/],
  ["an array of 2^32 − 1", hex("dd ffffffff"), /4294967295 elements announced/],
  ["a map of 2^32 − 1", hex("df ffffffff"), /elements announced/],
  ["a key that would set a prototype", hex("81 a9 5f5f70726f746f5f5f 80"), /is __proto__/],
  ["an integer key", hex("81 01 01"), /is not a string/],
  ["a string that is not UTF-8", hex("a1 ff"), /is not UTF-8/],
  ["a string cut short", hex("a5 6162"), /needs 5 bytes, 2 left/],
  ["a trailing byte after an array", hex("91 01 00"), /1 bytes after its end/],
];

describe("an own payload that was damaged is refused", () => {
  test.each(DAMAGED)("%s", (_, bytes, detail) => {
    expect(decodeOwnPayload(bytes)).toMatchObject({ ok: false, rejection: { detail: expect.stringMatching(detail) as string } });
  });
});
