import { describe, expect, test } from "vitest";
import { faultsTolerated, primaryOf, quorums, view } from "../src/index.ts";

describe("quorum arithmetic (protocol 1.1)", () => {
  test.each([[1, 0, 1], [2, 0, 2], [3, 0, 2], [4, 1, 3], [5, 1, 4], [6, 1, 4], [7, 2, 5], [8, 2, 6], [9, 2, 6], [10, 3, 7], [13, 4, 9], [16, 5, 11], [31, 10, 21], [100, 33, 67]])(
    "n = %i tolerates f = %i with Q = %i", (n, f, q) => {
      expect(faultsTolerated(n)).toBe(f);
      expect(quorums(n)).toEqual({ n, f, strong: q, weak: f + 1 });
    });

  test("for every n ≤ 256 and every allowed f: two strong quorums share f+1 replicas, and the correct ones form one", () => {
    for (let n = 1; n <= 256; n++) {
      for (let f = 0; f <= faultsTolerated(n); f++) {
        const { strong } = quorums(n, f);
        expect(2 * strong - n).toBeGreaterThanOrEqual(f + 1);
        expect(strong).toBeLessThanOrEqual(n - f);
        // and no smaller quorum would do
        expect(2 * (strong - 1) - n).toBeLessThan(f + 1);
      }
    }
  });

  test.each([[3, 1], [6, 2], [0, 0], [4, -1], [4, 1.5], [Number.NaN, 0]])("n = %d, f = %d is refused", (n, f) => {
    expect(() => quorums(n, f)).toThrow(RangeError);
  });

  test("the primary rotates through the member list", () => {
    expect([0, 1, 2, 3, 4, 5].map((v) => primaryOf(view(v), 4))).toEqual([0, 1, 2, 3, 0, 1]);
  });
});
