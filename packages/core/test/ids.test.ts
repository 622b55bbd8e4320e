import { describe, expect, test } from "vitest";
import { bytesEqual, clientId, digest, epoch, fromHex, replicaId, requestId, seqNum, toHex, view } from "../src/index.ts";

describe("identifiers", () => {
  test.each([replicaId, view, seqNum, epoch, requestId])("%o refuses what is no non-negative safe integer", (make: (value: number) => unknown) => {
    for (const bad of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) expect(() => make(bad)).toThrow(RangeError);
    expect(make(0)).toBe(0);
  });

  test("a digest is 64 lower-case hex digits", () => {
    expect(digest("ab".repeat(32))).toBe("ab".repeat(32));
    for (const bad of ["", "AB".repeat(32), "ab".repeat(31), `${"ab".repeat(32)}\n`]) {
      expect(() => digest(bad)).toThrow(RangeError);
      expect(() => clientId(bad)).toThrow(RangeError);
    }
  });

  test("hex goes both ways and refuses the rest", () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    expect(bytesEqual(fromHex(toHex(bytes)), bytes)).toBe(true);
    for (const bad of ["a", "zz", "0x"]) expect(() => fromHex(bad)).toThrow(RangeError);
  });
});
