/** Small plain values are encoded without msgpackr, to the very bytes that msgpackr writes: states and results of mixed versions must agree. */
import fc from "fast-check";
import { Packr } from "msgpackr/pack";
import { describe, expect, test } from "vitest";
import { decodePayload, encodePayload, encodeResult } from "../src/index.ts";

const packr = new Packr({ useRecords: false, variableMapSize: true, moreTypes: false, useToJSON: false, int64AsType: "number", copyBuffers: true });
const general = (value: unknown): Uint8Array => new Uint8Array(packr.pack(value) as Uint8Array);

const edges = [0, -0, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, -1, -32, -33, -128, -129, -32_768, -32_769, -(2 ** 31), -(2 ** 31) - 1, 1.5, 1e300];
const { value: arbValue } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 10, depthSize: "medium" },
    fc.constantFrom<unknown>(null, true, false, ...edges), fc.integer(), fc.maxSafeInteger(), fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.string({ maxLength: 300, size: "max" }), fc.string({ unit: "grapheme", maxLength: 40 }).filter((text) => !text.startsWith("\uFEFF")),
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie("value"), { maxLength: 20 }),
    fc.dictionary(fc.oneof(fc.string({ maxLength: 40 }), fc.constantFrom("toJSON", "length", "hasOwnProperty", "1")).filter((key) => !["__proto__", "constructor"].includes(key)), tie("value"), { maxKeys: 20, noNullPrototype: true }),
  ),
}));

describe("plain payloads", () => {
  test("are written as msgpackr writes them", () => {
    fc.assert(fc.property(arbValue, (value) => {
      expect(encodePayload(value)).toEqual(general(value));
    }), { numRuns: 1_000 });
  });

  test("so are results, after their status", () => {
    fc.assert(fc.property(arbValue, (value) => {
      expect(encodeResult({ status: "ok", value })).toEqual(Uint8Array.of(1, ...general(value)));
    }));
  });

  test("and those around the sizes at which another form, or the general encoder, takes over", () => {
    const text = (length: number): string => "x".repeat(length);
    const sizes = [15, 16, 17, 31, 32, 33, 255, 256, 257, 4_080, 4_090, 4_093, 4_094, 4_095, 4_096, 4_097, 70_000];
    for (const size of sizes) {
      for (const value of [text(size), [text(size)], new Array(size).fill(1), [new Uint8Array(size)], [new Array(size).fill([])], { [text(size)]: size }]) {
        expect(encodePayload(value)).toEqual(general(value));
      }
    }
  });

  test("a getter that encodes something itself does not disturb what is around it", () => {
    const value = [1, { get inner() {
      return encodePayload(["other", { thing: 1 }]).length;
    } }, "end"];
    expect(decodePayload(encodePayload(value))).toEqual({ ok: true, value: [1, { inner: 15 }, "end"] });
  });

  test("what has no encoding is refused as ever, and the next value is not affected", () => {
    const endless: unknown[] = [];
    for (let i = 0; i < 1_000; i++) endless.push(endless);
    const throws = { get bad(): number {
      throw new TypeError("getter");
    } };
    for (const value of [[undefined], [Number.NaN], { a: 1n }, [new Map()], { a: new Date(0) }, endless, JSON.parse('{"__proto__":1}') as unknown, [Symbol("s")]]) {
      expect(() => encodePayload(value)).toThrow(/^payload: /);
    }
    expect(() => encodePayload(throws)).toThrow("getter");
    expect(encodePayload([1, "two"])).toEqual(general([1, "two"]));
  });
});
