/** msgpack payloads: what goes in comes out, one encoding per value, and both directions refuse the same things. */
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodePayload, decodeResult, encodePayload, encodeResult, PAYLOAD_LIMITS, type OperationResult } from "../src/index.ts";
import { generate, reference } from "./support/msgpack.ts";
import { mutate, Random } from "./support/mutate.ts";

function decoded(bytes: Uint8Array): unknown {
  const result = decodePayload(bytes);
  if (!result.ok) throw new TypeError(result.rejection.detail);
  return result.value;
}

const arbText = fc.oneof(fc.string({ unit: "grapheme", maxLength: 80 }), fc.string({ unit: "binary", maxLength: 80 })).filter((s) => !s.startsWith("\uFEFF"));
const arbNumber = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((x) => (x === 0 ? 0 : x)),
  fc.maxSafeInteger(),
  fc.integer({ min: -200, max: 70_000 }),
  fc.constantFrom(2 ** 31, 2 ** 32 - 1, 2 ** 32, -(2 ** 31), -(2 ** 31) - 1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER),
);
const arbKey = arbText.filter((key) => key !== "__proto__");
const { value: arbValue } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.constantFrom(null, true, false),
    arbNumber,
    arbText,
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie("value"), { maxLength: 20 }),
    fc.dictionary(arbKey, tie("value"), { maxKeys: 18, noNullPrototype: true }),
  ),
}));

describe("payloads", () => {
  test("round trip, encode again to the same bytes, and agree with another decoder", () => {
    fc.assert(
      fc.property(arbValue, (value) => {
        const bytes = encodePayload(value);
        expect(bytes.constructor).toBe(Uint8Array);
        expect(decoded(bytes)).toStrictEqual(value);
        expect(encodePayload(decoded(bytes))).toStrictEqual(bytes);
        expect(reference(bytes)).toStrictEqual(value);
      }),
      { numRuns: 300 },
    );
  });

  test.each<readonly [unknown, string]>([
    [0, "00"], [127, "7f"], [128, "cc80"], [255, "ccff"], [256, "cd0100"], [65_535, "cdffff"], [65_536, "ce00010000"], [2 ** 32 - 1, "ceffffffff"],
    [2 ** 32, "cb41f0000000000000"], [Number.MAX_SAFE_INTEGER, "cb433fffffffffffff"],
    [-1, "ff"], [-32, "e0"], [-33, "d0df"], [-129, "d1ff7f"], [-32_769, "d2ffff7fff"], [-(2 ** 31) - 1, "cbc1e0000000200000"],
    [-0, "00"], [0.5, "cb3fe0000000000000"], ["", "a0"], ["x".repeat(31), `bf${"78".repeat(31)}`], ["x".repeat(32), `d920${"78".repeat(32)}`],
    [new Uint8Array(2), "c4020000"], [Buffer.from([7]), "c40107"], [[], "90"], [{}, "80"], [{ b: 1, a: null }, "82a16201a161c0"], [Object.create(null), "80"],
  ])("%o is %s", (value, hex) => {
    expect(Buffer.from(encodePayload(value)).toString("hex")).toBe(hex);
  });

  test("a decoded byte string is a plain copy, and the input is left as it was", () => {
    const bytes = encodePayload({ data: new Uint8Array([1, 2, 3]) });
    const { data } = decoded(bytes) as { data: Uint8Array };
    expect(data.constructor).toBe(Uint8Array);
    expect(data.buffer).not.toBe(bytes.buffer);
    expect(Object.keys(bytes)).toHaveLength(bytes.length);
  });

  test("keys that objects have anyway are data", () => {
    const value = { constructor: 1, toJSON: 2, hasOwnProperty: 3, prototype: { toString: "x" }, "": 0, "1": 1 };
    expect(decoded(encodePayload(value))).toStrictEqual(value);
  });

  test("numbers in any spelling of the format are numbers", () => {
    const five = ["05", "cc05", "cd0005", "ce00000005", "cf0000000000000005", "d005", "d10005", "d200000005", "d30000000000000005", "ca40a00000", "cb4014000000000000"];
    for (const hex of five) expect(decoded(Buffer.from(hex, "hex"))).toBe(5);
    expect(decoded(Buffer.from("cf001fffffffffffff", "hex"))).toBe(Number.MAX_SAFE_INTEGER);
    expect(decoded(Buffer.from("d3ffe0000000000001", "hex"))).toBe(Number.MIN_SAFE_INTEGER);
  });
});

class Account {
  readonly id = 1;
}
const nest = (depth: number): unknown => Array.from({ length: depth }).reduce<unknown>((inner) => [inner], 0);
const cyclic: unknown[] = [];
cyclic.push(cyclic);

describe("encodePayload refuses", () => {
  test.each<readonly [string, unknown, RegExp]>([
    ["undefined", undefined, /payload: value is undefined/],
    ["an undefined property", { memo: undefined }, /value\.memo is undefined: leave the property out/],
    ["a hole", [1, , 2], /value\[1\] is undefined/],
    ["NaN", { a: [NaN] }, /value\.a\[0\] is NaN/],
    ["Infinity", -Infinity, /is -Infinity/],
    ["a BigInt", 5n, /is a bigint/],
    ["a symbol", Symbol("x"), /is a symbol/],
    ["a function", { f: () => 1 }, /value\.f is a function/],
    ["a Date", new Date(0), /is a Date/],
    ["a Map", new Map(), /is a Map/],
    ["a class instance", new Account(), /is a Account/],
    ["a typed array of another kind", new Uint16Array(1), /is a Uint16Array/],
    ["an ArrayBuffer", new ArrayBuffer(1), /is a ArrayBuffer/],
    ["a lone surrogate", "a\ud800b", /lone surrogate/],
    ["a lone surrogate in a key", { "\udc00": 1 }, /lone surrogate/],
    ["a byte order mark", "\uFEFFa", /byte order mark/],
    ["__proto__", JSON.parse('{"a":{"__proto__":1}}'), /value\.a\.__proto__ is a key that is not allowed/],
    ["17 levels", nest(17), /is nested deeper than 16/],
    ["a cycle", cyclic, /is nested deeper than 16/],
  ])("%s", (_what, value, message) => {
    expect(() => encodePayload(value)).toThrow(message);
    expect(() => encodePayload(value)).toThrow(TypeError);
  });

  test("what exceeds bytes or elements, and accepts what reaches them", () => {
    expect(() => encodePayload(new Uint8Array(PAYLOAD_LIMITS.bytesMax))).toThrow(RangeError);
    expect(() => encodePayload(new Array(PAYLOAD_LIMITS.elementsMax + 1).fill(0))).toThrow(RangeError);
    const full = encodePayload(new Array(PAYLOAD_LIMITS.elementsMax).fill(0));
    expect(decodePayload(full)).toMatchObject({ ok: true });
    expect(decodePayload(full, { ...PAYLOAD_LIMITS, elementsMax: PAYLOAD_LIMITS.elementsMax - 1 })).toMatchObject({ ok: false });
    expect(decodePayload(full, { ...PAYLOAD_LIMITS, bytesMax: full.length - 1 })).toMatchObject({ ok: false });
    expect(decodePayload(encodePayload(nest(16)))).toMatchObject({ ok: true });
  });
});

describe("results", () => {
  test.each<readonly [OperationResult, string]>([
    [{ status: "ok", value: { balance: 5 } }, "0181a762616c616e636505"],
    [{ status: "rejected", code: "NO_FUNDS", message: "has 3", data: { has: 3 } }, "0293a84e4f5f46554e4453a5686173203381a368617303"],
    [{ status: "not-executed", code: "DUPLICATE", message: "" }, "0392a94455504c4943415445a0"],
  ])("%o round trips", (result, hex) => {
    const bytes = encodeResult(result);
    expect(Buffer.from(bytes).toString("hex")).toBe(hex);
    expect(decodeResult(bytes)).toStrictEqual({ ok: true, value: result });
  });

  test("an apply that returns nothing gives null", () => {
    expect(decodeResult(encodeResult({ status: "ok", value: undefined }))).toStrictEqual({ ok: true, value: { status: "ok", value: null } });
  });

  test("an application's bad value or data is a TypeError for the replica to catch", () => {
    expect(() => encodeResult({ status: "ok", value: 5n })).toThrow(TypeError);
    expect(() => encodeResult({ status: "rejected", code: "X", message: "", data: { at: new Date(0) } })).toThrow(TypeError);
    expect(() => encodeResult({ status: "ok", value: new Uint8Array(1 << 20) })).toThrow(RangeError);
  });
});

describe("every replica reads the same", () => {
  const r = new Random(68);
  const corpus = Array.from({ length: 6_000 }, (_, i) => {
    const bytes = generate(r);
    return i % 2 === 0 ? bytes : mutate(r, bytes, generate(r));
  });
  const verdicts = (): unknown[] => corpus.map((bytes) => decodePayload(bytes));

  test("whatever is accepted means what the format says, and encodes to one canonical form", () => {
    let acceptedCount = 0;
    for (const bytes of corpus) {
      const result = decodePayload(bytes);
      if (!result.ok) continue;
      acceptedCount += 1;
      // isDeepStrictEqual, since toStrictEqual compares `constructor`, which is data in some of these
      expect(isDeepStrictEqual(result.value, reference(bytes)), Buffer.from(bytes).toString("hex")).toBe(true);
      const canonical = encodePayload(result.value);
      expect(encodePayload(decoded(canonical))).toStrictEqual(canonical);
    }
    expect(acceptedCount).toBeGreaterThan(1_000);
    expect(acceptedCount).toBeLessThan(corpus.length - 1_000);
  });

  test("with and without msgpackr's native string decoder", async () => {
    const before = verdicts();
    const msgpackr = await import("msgpackr"); // its Node entry loads the native decoder into the shared module, if there is one
    expect(new msgpackr.Unpackr({ useRecords: false }).unpack(encodePayload("x".repeat(100)))).toHaveLength(100);
    const after = verdicts();
    expect(after.findIndex((verdict, i) => !isDeepStrictEqual(verdict, before[i]))).toBe(-1);
  });
});
