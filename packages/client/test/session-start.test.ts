import { quorums } from "@narses/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nextRequestId, parseSessionAnswer } from "../src/session-start.ts";

const WINDOW = 64;
const answer = (highest: number): { low: number; highest: number } => ({ low: Math.max(0, highest - WINDOW), highest });

describe("first request id of a process", () => {
  const q4 = quorums(4);

  it("is 1 for a key that was never used", () => {
    expect(nextRequestId([answer(0), answer(0), answer(0)], q4, WINDOW)).toBe(1);
  });

  it("is above the highest answer, also when only one replica of Q has it", () => {
    expect(nextRequestId([answer(10), answer(40), answer(10)], q4, WINDOW)).toBe(41);
  });

  it("ignores an answer more than a window above the W-th highest", () => {
    expect(nextRequestId([answer(10), answer(10 + WINDOW + 1), answer(10)], q4, WINDOW)).toBe(11);
    expect(nextRequestId([answer(10), answer(10 + WINDOW), answer(10)], q4, WINDOW)).toBe(11 + WINDOW);
  });

  it("trusts the single answer of a crash-only cluster", () => {
    expect(nextRequestId([answer(1_000_000)], quorums(1, 0), WINDOW)).toBe(1_000_001);
  });

  it("whatever f answers say, is above every correct one within a window, and at most a window above the highest correct one", () => {
    const scenario = fc.integer({ min: 1, max: 4 }).chain((f) =>
      fc.record({
        f: fc.constant(f),
        base: fc.nat(1_000_000),
        // Q answers of n = 3f+1, of which f may be lies; correct ones differ by at most a window.
        lags: fc.array(fc.nat(WINDOW), { minLength: f + 1, maxLength: f + 1 }),
        lies: fc.array(fc.oneof(fc.nat(2_000_000), fc.constant(Number.MAX_SAFE_INTEGER - 1)), { minLength: f, maxLength: f }),
        order: fc.infiniteStream(fc.nat()),
      }),
    );
    fc.assert(
      fc.property(scenario, ({ f, base, lags, lies, order }) => {
        const correct = lags.map((lag) => base + lag);
        const shuffled = [...correct, ...lies]
          .map((value) => ({ value, key: order.next().value }))
          .sort((a, b) => a.key - b.key)
          .map(({ value }) => answer(value));
        const start = nextRequestId(shuffled, quorums(3 * f + 1, f), WINDOW);
        expect(start).toBeGreaterThan(Math.max(...correct));
        expect(start).toBeLessThanOrEqual(Math.max(...correct) + WINDOW + 1);
      }),
      { numRuns: 300 },
    );
  });
});

describe("parseSessionAnswer", () => {
  it("takes low ≤ highest ≤ low + window", () => {
    expect(parseSessionAnswer({ low: 3, highest: 3 + WINDOW }, WINDOW)).toEqual({ low: 3, highest: 3 + WINDOW });
  });

  const refused: Readonly<Record<string, unknown>> = {
    nothing: undefined,
    null: null,
    text: "1",
    "no fields": {},
    "no highest": { low: 0 },
    "a negative number": { low: -1, highest: 0 },
    "a fraction": { low: 0.5, highest: 1 },
    "highest below low": { low: 5, highest: 4 },
    "highest above the window": { low: 0, highest: WINDOW + 1 },
    "a bigint": { low: 0n, highest: 1 },
    "an inexact number": { low: Number.MAX_SAFE_INTEGER, highest: Number.MAX_SAFE_INTEGER + 1 },
  };
  it.each(Object.keys(refused))("refuses %s", (name) => {
    expect(parseSessionAnswer(refused[name], WINDOW)).toBeTypeOf("string");
  });
});
