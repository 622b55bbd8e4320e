/** Twins, a part of the enumeration: every scenario of a few rounds. All seven rounds: `pnpm sim twins`. */
import { describe, expect, test } from "vitest";
import { freshDisks, runRound } from "../src/twins/cluster.ts";
import { enumerateTwins } from "../src/twins/enumerate.ts";
import { textOf } from "../src/twins/symmetry.ts";

describe("twins", () => {
  test.each([0, 1, 2, 3])("n = 4 with one twin: every scenario of three rounds, replica %i leading the first, keeps agreement", (firstLeader) => {
    const { violations, runs, executedMax, states } = enumerateTwins({ n: 4, twinned: 1, rounds: 3, firstLeader, stopAtViolation: true });
    expect(violations).toEqual([]);
    // Not vacuous: slots are executed, and scenarios differ.
    expect(executedMax).toBeGreaterThanOrEqual(3);
    expect(states[1]).toBeGreaterThan(50);
    expect(runs).toBeGreaterThan(1_000);
  });

  test("negative control: f + 1 twins break agreement, in the first round already", () => {
    const { violations } = enumerateTwins({ n: 4, twinned: 2, rounds: 1, firstLeader: 0, stopAtViolation: false });
    expect(violations.length).toBeGreaterThan(0);
    expect(violations.every((v) => v.kind === "safety" && v.oracle === "agreement")).toBe(true);
  });

  test("negative control: f + 1 twins break agreement also when a correct replica leads first", () => {
    const { violations } = enumerateTwins({ n: 4, twinned: 2, rounds: 3, firstLeader: 2, stopAtViolation: true });
    expect(violations.length).toBeGreaterThan(0);
  });

  test("n = 1 and n = 7 go through the same code", () => {
    expect(enumerateTwins({ n: 1, twinned: 0, rounds: 3, firstLeader: 0, stopAtViolation: true })).toMatchObject({ violations: [], executedMax: 3 });
    expect(enumerateTwins({ n: 7, twinned: 2, rounds: 1, firstLeader: 0, stopAtViolation: true }).violations).toEqual([]);
  });

  test("a round is a function of the disks: the same twice, and it leaves the disks it was given alone", () => {
    const shape = { n: 4, twinned: 1 };
    const disks = freshDisks(shape);
    const [first, second] = [1, 1].map((ordinal) => runRound(shape, disks, { partition: 0b00110, leader: 0 }, ordinal));
    expect(textOf(shape, first?.disks ?? [], 2)).toBe(textOf(shape, second?.disks ?? [], 2));
    expect(textOf(shape, disks, 2)).toBe(textOf(shape, freshDisks(shape), 2));
  });

  test("swapping the twins is no difference, another partition is one", () => {
    const shape = { n: 4, twinned: 1 };
    const after = (partition: number): string => textOf(shape, runRound(shape, freshDisks(shape), { partition, leader: 1 }, 1).disks, 2);
    // Nodes: r0a r1 r2 r3 r0b. {r0a r1 r2 | r3 r0b} and {r0b r1 r2 | r3 r0a}.
    expect(after(0b11000)).toBe(after(0b01001));
    expect(after(0b11000)).not.toBe(after(0b10000));
  });
});
