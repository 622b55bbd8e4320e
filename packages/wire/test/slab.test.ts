/** Small encodings are cut from shared buffers: each is its holder's alone all the same. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeOwnPayload, encodePayload, encodeResult } from "../src/index.ts";

const arbValue = fc.oneof(
  fc.constantFrom<unknown>(null, true, 0, 300, 2 ** 32 - 1, -1, 1.5), fc.nat(), fc.string({ maxLength: 100 }), fc.uint8Array({ maxLength: 1_100 }), fc.array(fc.nat(), { maxLength: 40 }),
);

test("what is encoded later, or written into another piece, changes none of those handed out", () => {
  const made: { readonly bytes: Uint8Array; readonly copy: Uint8Array }[] = [];
  fc.assert(fc.property(arbValue, fc.boolean(), (value, result) => {
    const bytes = result ? encodeResult({ status: "ok", value }) : encodePayload(value);
    made.push({ bytes, copy: Uint8Array.from(bytes) });
  }), { numRuns: 1_000 });
  expect(new Set(made.map(({ bytes }) => bytes.buffer)).size).toBeLessThan(made.length / 4);
  for (const { bytes, copy } of made) {
    expect(bytes).toEqual(copy);
    bytes.fill(0xff); // were a byte of it another's too, that one would differ in its turn
  }
});

test("a value is decoded as its own bytes say, whatever was decoded before, and however that ended", () => {
  const value = { list: [1, "two", Uint8Array.of(3)] };
  const bytes = encodePayload(value);
  for (const other of [bytes.subarray(0, bytes.length - 1), Uint8Array.of(...bytes, 0), Uint8Array.of(0xc1), encodePayload([[[]]])]) {
    decodeOwnPayload(other);
    expect(decodeOwnPayload(bytes)).toEqual({ ok: true, value });
  }
  expect(decodeOwnPayload(Uint8Array.of(0xc1))).toEqual({ ok: false, rejection: expect.objectContaining({ detail: expect.stringContaining("at byte 0:") as unknown }) as unknown });
});
