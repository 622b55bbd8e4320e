/** Twins, a part of the enumeration: every scenario of a few rounds. All seven rounds: `pnpm sim twins`. */
import { describe, expect, test } from "vitest";
import { CHECKPOINT_INTERVAL, runRound } from "../src/twins/cluster.ts";
import { essenceOf } from "../src/twins/compact.ts";
import { enumerateTwins, LEADERS } from "../src/twins/enumerate.ts";
import { type Disks, freshDisks } from "../src/twins/nodes.ts";
import { Symmetry } from "../src/twins/symmetry.ts";

const SHAPE = { n: 4, twinned: 1 } as const;
const symmetry = new Symmetry({ n: 4, twinned: 1, prepares: 2, checkpointInterval: CHECKPOINT_INTERVAL });
const keyOf = (disks: Disks): string => symmetry.keyOf(disks.map((disk, index) => symmetry.intern(index, disk)));

describe("twins", () => {
  test.each([0, 1, 2, 3])("n = 4 with one twin: every scenario of three rounds, replica %i leading the first, keeps agreement", (firstLeader) => {
    const { violations, runs, executedMax, states } = enumerateTwins({ n: 4, twinned: 1, rounds: 3, firstLeader, leaders: "in-turn", stopAtViolation: true });
    expect(violations).toEqual([]);
    // Not vacuous: slots are executed, and scenarios differ.
    expect(executedMax).toBeGreaterThanOrEqual(3);
    expect(states[1]).toBeGreaterThan(30);
    expect(runs).toBeGreaterThan(300);
  });

  test("a view that lasts for two rounds, and views that are skipped, add states and no violation", () => {
    const states = LEADERS.map((leaders) => {
      const { violations, states: [, after] } = enumerateTwins({ n: 4, twinned: 1, rounds: 2, firstLeader: 2, leaders, stopAtViolation: true, outcomes: true });
      expect(violations).toEqual([]);
      return after ?? 0;
    });
    expect(states).toEqual([...new Set(states)].sort((a, b) => a - b));
  });

  test.each([0, 1, 2, 3])("whoever leads the first round, it is in the view of replica %i that a whole cluster executes", (leader) => {
    const { disks, executed } = runRound({ n: 4, twinned: 0 }, freshDisks({ n: 4, twinned: 0 }), { partition: 0, leader }, 1);
    expect(executed).toBe(1);
    expect(disks.map(({ records }) => essenceOf(records).entered?.view ?? 0)).toEqual([leader, leader, leader, leader]);
  });

  test("a side without a quorum gets no further than the view after the one it was in, as the protocol has it", () => {
    const { disks, executed } = runRound({ n: 4, twinned: 0 }, freshDisks({ n: 4, twinned: 0 }), { partition: 0b1100, leader: 3 }, 1);
    expect(executed).toBe(0);
    expect(disks.map(({ records }) => essenceOf(records).left?.view)).toEqual([1, 1, 1, 1]);
  });

  test("negative control: f + 1 twins break agreement, in the first round already", () => {
    const { violations } = enumerateTwins({ n: 4, twinned: 2, rounds: 1, firstLeader: 0, leaders: "in-turn", stopAtViolation: false });
    expect(violations.length).toBeGreaterThan(0);
    expect(violations.every((v) => v.kind === "safety" && v.oracle === "agreement")).toBe(true);
  });

  test.each(LEADERS)("negative control: f + 1 twins break agreement with leaders %s", (leaders) => {
    const { violations } = enumerateTwins({ n: 4, twinned: 2, rounds: 2, firstLeader: 1, leaders, stopAtViolation: true });
    expect(violations[0]).toMatchObject({ kind: "safety", oracle: "agreement" });
  });

  test("negative control: f + 1 twins break agreement also when a correct replica leads first", () => {
    const { violations } = enumerateTwins({ n: 4, twinned: 2, rounds: 3, firstLeader: 2, leaders: "in-turn", stopAtViolation: true });
    expect(violations.length).toBeGreaterThan(0);
  });

  test("n = 1 and n = 7 go through the same code", () => {
    expect(enumerateTwins({ n: 1, twinned: 0, rounds: 3, firstLeader: 0, leaders: "in-turn", stopAtViolation: true })).toMatchObject({ violations: [], executedMax: 3 });
    expect(enumerateTwins({ n: 7, twinned: 2, rounds: 1, firstLeader: 0, leaders: "in-turn", stopAtViolation: true }).violations).toEqual([]);
  });

  test("a round is a function of the disks: the same twice, and it leaves the disks it was given alone", () => {
    const disks = freshDisks(SHAPE);
    const [first, second] = [1, 1].map((ordinal) => runRound(SHAPE, disks, { partition: 0b00110, leader: 0 }, ordinal));
    expect(keyOf(first?.disks ?? [])).toBe(keyOf(second?.disks ?? []));
    expect(keyOf(disks)).toBe(keyOf(freshDisks(SHAPE)));
  });

  test("states are told apart by what was prepared, not by who signed it or how its digest is called", () => {
    const after = (partition: number, ordinal = 1): string => keyOf(runRound(SHAPE, freshDisks(SHAPE), { partition, leader: 1 }, ordinal).disks);
    // Nodes: r0a r1 r2 r3 r0b. Another request is another digest, and no other state.
    expect(after(0b11000, 2)).toBe(after(0b11000));
    expect(after(0b11000)).not.toBe(after(0b10000));
    expect(after(0b11000)).not.toBe(after(0b01001));
  });
});
