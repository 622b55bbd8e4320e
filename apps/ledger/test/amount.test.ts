import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatForPeople, formatMinor, MINOR_MAX, parseAmount } from "../src/amount.ts";

describe("parseAmount", () => {
  it.each([
    ["12.50", 2, 1250n],
    ["12.5", 2, 1250n],
    ["12", 2, 1200n],
    ["0.01", 2, 1n],
    [".80", 2, 80n],
    ["007", 0, 7n],
    ["0.00000001", 8, 1n],
    ["10000000000000000", 2, MINOR_MAX],
  ])("reads %s with %i decimals", (text, decimals, minor) => {
    expect(parseAmount(text, decimals)).toEqual({ ok: true, minor });
  });

  it.each([
    ["0", "is zero"],
    ["0.00", "is zero"],
    ["-5", "is negative"],
    ["NaN", "not a finite number"],
    ["Infinity", "not a finite number"],
    ["1e309", "exponent notation"],
    ["1E2", "exponent notation"],
    ["12.505", "has 3 decimals, the asset has 2"],
    ["", "is empty"],
    [" 5", "white space"],
    ["5.", "digits after the decimal point"],
    [".", "digits after the decimal point"],
    ["1.2.3", "is not a decimal number"],
    ["1,000.00", "separator"],
    ["12,50", "separator"],
    ["+5", "plus sign"],
    ["0x10", "hexadecimal"],
    ["five", "is not a decimal number"],
    ["١٢", "is not a decimal number"],
    ["10000000000000000.01", "larger than the limit of 10000000000000000.00"],
    ["9".repeat(41), "longer than 40"],
  ])("refuses %j: %s", (text, problem) => {
    const parsed = parseAmount(text, 2);
    expect(parsed.ok).toBe(false);
    if (!parsed.ok) expect(parsed.problem).toContain(problem);
  });

  it("says that an asset without decimals has none", () => {
    expect(parseAmount("1.5", 0)).toEqual({ ok: false, problem: "has 1 decimal, the asset has none" });
  });

  it("takes zero where a limit may be zero", () => {
    expect(parseAmount("0", 2, { zeroAllowed: true })).toEqual({ ok: true, minor: 0n });
  });

  it("is the inverse of formatMinor over the whole range", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: MINOR_MAX }), fc.integer({ min: 0, max: 8 }), (minor, decimals) => {
        expect(parseAmount(formatMinor(minor, decimals), decimals)).toEqual({ ok: true, minor });
      }),
    );
  });
});

describe("formatting", () => {
  it("keeps the sign and pads the fraction", () => {
    expect([formatMinor(-5n, 2), formatMinor(-12345n, 2), formatMinor(0n, 0), formatMinor(7n, 8)]).toEqual([
      "-0.05",
      "-123.45",
      "0",
      "0.00000007",
    ]);
  });
  it("groups digits for people", () => {
    expect([formatForPeople(123456789n, 2), formatForPeople(999n, 0), formatForPeople(-100000000n, 2)]).toEqual([
      "1,234,567.89",
      "999",
      "-1,000,000.00",
    ]);
  });
});
