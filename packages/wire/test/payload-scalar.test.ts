/** The short cut for scalars says byte for byte what the general codec says: a value inside an array takes the general way. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeOwnPayload, decodePart, decodePayload, decodeResult, encodePayload, encodeResult, PAYLOAD_LIMITS } from "../src/index.ts";

const ARRAY_OF_ONE = 0x91;
const wrapped = (bytes: Uint8Array): Uint8Array => Uint8Array.of(ARRAY_OF_ONE, ...bytes);

const edges = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, -1, -0, 1.5, -32, -33];
const arbScalar = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, ...edges),
  fc.nat(),
  fc.integer(),
  fc.uint8Array({ maxLength: 600 }),
);
/** Biased to the tokens that matter. */
const arbBytes = fc.oneof(
  fc.uint8Array({ maxLength: 12 }),
  fc.tuple(fc.constantFrom(0, 0x7f, 0x80, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xca, 0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xe0), fc.uint8Array({ maxLength: 8 }), fc.nat(20)).map(([token, rest, length]) =>
    Uint8Array.of(token, ...(token === 0xc4 ? [length] : token === 0xc5 ? [0, length] : token === 0xc6 ? [0, 0, 0, length] : []), ...rest)),
);

describe("scalar payloads", () => {
  test("are written as the general encoder writes them", () => {
    fc.assert(fc.property(arbScalar, (value) => {
      expect(wrapped(encodePayload(value))).toEqual(encodePayload([value]));
    }));
  });

  test("byte strings of every length class too", () => {
    for (const length of [0, 255, 256, 65_535, 65_536]) {
      const value = new Uint8Array(length).fill(7);
      const bytes = encodePayload(value);
      expect(encodePayload([value]).subarray(1)).toEqual(bytes);
      expect(decodePayload(bytes)).toEqual({ ok: true, value });
    }
  });

  test("any bytes: the same verdict and the same value as the general decoder", () => {
    fc.assert(fc.property(arbBytes, (bytes) => {
      const short = decodePayload(bytes);
      const general = decodePayload(wrapped(bytes));
      expect(short.ok).toBe(general.ok);
      if (short.ok && general.ok) expect([short.value]).toEqual(general.value);
    }), { numRuns: 1_000 });
  });

  test("a part among others is judged and read as if it were alone, and its byte string ends where it ends", () => {
    fc.assert(fc.property(arbBytes, arbBytes, arbBytes, (before, bytes, after) => {
      const all = Uint8Array.of(...before, ...bytes, ...after);
      const to = before.length + bytes.length;
      const alone = decodePayload(bytes);
      const part = decodePart(all, before.length, to);
      expect(part).toEqual(alone);
      if (part.ok && part.value instanceof Uint8Array) part.value.fill(0xff);
      expect([all.subarray(0, before.length), all.subarray(to)]).toEqual([before, after]);
    }), { numRuns: 1_000 });
  });

  test("what was encoded here is read without the scan, to the same value", () => {
    fc.assert(fc.property(fc.oneof(arbScalar, fc.array(arbScalar, { maxLength: 5 }), fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), arbScalar)), (value) => {
      const bytes = encodePayload(value);
      expect(decodeOwnPayload(bytes)).toEqual(decodePayload(bytes));
    }));
  });

  test("so is everything else that has an encoding", () => {
    const { value: arbValue } = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 }, arbScalar, fc.integer(), fc.maxSafeInteger(), fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.string({ unit: "grapheme", maxLength: 80 }).filter((text) => !text.startsWith("\uFEFF")),
        fc.array(tie("value"), { maxLength: 20 }),
        fc.dictionary(fc.string({ maxLength: 40 }).filter((key) => key !== "__proto__"), tie("value"), { maxKeys: 20, noNullPrototype: true }),
      ),
    }));
    fc.assert(fc.property(arbValue, (value) => {
      const bytes = encodePayload(value);
      expect(decodeOwnPayload(bytes)).toEqual(decodePayload(bytes));
    }), { numRuns: 500 });
  });

  test("results: status, then the same", () => {
    fc.assert(fc.property(arbScalar, (value) => {
      const bytes = encodeResult({ status: "ok", value });
      expect(bytes).toEqual(Uint8Array.of(1, ...encodePayload(value)));
      expect(decodeResult(bytes)).toEqual({ ok: true, value: { status: "ok", value: Object.is(value, -0) ? 0 : value } });
    }));
  });

  test("byte strings are copies, plain ones, and keep within the limit", () => {
    const source = Buffer.from([0xc4, 2, 8, 9]);
    const decoded = decodePayload(source);
    source[2] = 0;
    expect(decoded).toEqual({ ok: true, value: Uint8Array.of(8, 9) });
    expect(decoded.ok && (decoded.value as Uint8Array).constructor).toBe(Uint8Array);
    expect(() => encodePayload(new Uint8Array(20), { ...PAYLOAD_LIMITS, bytesMax: 21 })).toThrow("payload has 22 bytes, at most 21");
    expect(decodePayload(encodePayload(new Uint8Array(20)), { ...PAYLOAD_LIMITS, bytesMax: 21 }).ok).toBe(false);
  });
});
