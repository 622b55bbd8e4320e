/**
 * The Twins enumeration leaves nothing out: against a search without any of its shortcuts (no state is met twice, whole rounds on
 * whole disks, a new request in each round), it visits the same set of outcomes, and finds the same seeded bugs.
 * `TWINS_ROUNDS=4` goes one round deeper, for every first leader (minutes).
 */
import process from "node:process";
import { describe, expect, test } from "vitest";
import type { Disk } from "../src/disk.ts";
import { runRound } from "../src/twins/cluster.ts";
import { type EnumerationOptions, Search } from "../src/twins/enumerate.ts";
import { type Disks, freshDisks, nodesOf, type SeededBug } from "../src/twins/nodes.ts";
import { compact } from "../src/twins/compact.ts";
import type { Symmetry } from "../src/twins/symmetry.ts";

const ROUNDS = Number(process.env["TWINS_ROUNDS"] ?? 3);
const N4 = { n: 4, twinned: 1, stopAtViolation: false } as const;

interface Everything {
  readonly keys: Set<string>;
  readonly sequences: number;
  /** Violations by the round they happened in. */
  readonly violations: ReadonlyMap<number, number>;
}

const keyOf = (symmetry: Symmetry, disks: Disks): string => symmetry.keyOf(disks.map((disk, index) => symmetry.intern(index, disk)));

/** Every sequence, one after the other. */
function everything(options: EnumerationOptions, symmetry: Symmetry): Everything {
  const keys = new Set<string>();
  const violations = new Map<number, number>();
  let sequences = 0;
  const walk = (disks: Disks, round: number): void => {
    if (round > options.rounds) {
      sequences++;
      keys.add(keyOf(symmetry, disks));
      return;
    }
    const inTurn = (options.firstLeader + round - 1) % options.n;
    for (let leader = 0; leader < options.n; leader++) {
      if (leader !== inTurn && (options.leaders === "in-turn" || round === 1)) continue;
      for (let partition = 0; partition < 2 ** disks.length; partition += 2) {
        const result = runRound(options, disks, { partition, leader }, round);
        if (result.violation === undefined) walk(result.disks, round + 1);
        else violations.set(round, (violations.get(round) ?? 0) + 1);
      }
    }
  };
  walk(freshDisks(options), 1);
  return { keys, sequences, violations };
}

describe("the pruned search against one that leaves nothing out", () => {
  test.each(ROUNDS > 3 ? [0, 1, 2, 3] : [2])(`${ROUNDS} rounds, leaders in turn from %i: the same outcomes`, (firstLeader) => {
    const options: EnumerationOptions = { ...N4, rounds: ROUNDS, firstLeader, leaders: "in-turn" };
    const search = new Search(options);
    const { steps } = search.run();
    const { keys, sequences } = everything(options, search.symmetry);
    expect(sequences).toBe(16 ** ROUNDS);
    expect(steps).toBeLessThanOrEqual(sequences / 2);
    expect([...keys].sort()).toEqual([...search.keys.keys()].sort());
  }, 1_800_000);

  test(`${ROUNDS - 1} rounds, any leader: the same outcomes`, () => {
    const options: EnumerationOptions = { ...N4, rounds: ROUNDS - 1, firstLeader: 0, leaders: "any" };
    const search = new Search(options);
    search.run();
    const { keys, sequences } = everything(options, search.symmetry);
    expect(sequences).toBe(16 * 64 ** (ROUNDS - 2));
    expect([...keys].sort()).toEqual([...search.keys.keys()].sort());
  }, 1_800_000);

  test.each<[string, SeededBug, number]>([
    ["a quorum of two", { quorum: 2 }, 1],
    ["what was voted and decided is forgotten at a restart", { forgets: ["pre-prepared", "prepared", "committed"] }, 2],
  ])("a seeded bug, %s: both notice it in the same round", (_, bug, round) => {
    const options: EnumerationOptions = { ...N4, rounds: round, firstLeader: 0, leaders: "in-turn", bug };
    const search = new Search(options);
    const { violations } = search.run();
    expect(Math.min(...violations.map(({ scenario }) => scenario.length))).toBe(round);
    expect([...everything(options, search.symmetry).violations.keys()]).toEqual([round]);
  });

  test("a violation that only shows between the sides of a partition is seen as well", () => {
    // {r0a r1 | r2 r3 r0b}: both sides decide, neither sees the other.
    const search = new Search({ ...N4, rounds: 1, firstLeader: 0, leaders: "in-turn", bug: { quorum: 2 } });
    expect(search.run().violations.some(({ oracle, scenario }) => oracle === "agreement" && scenario[0]?.partition === 0b11100)).toBe(true);
  });
});

describe("a compacted disk", () => {
  test("is one state with the disk it was made of, also a round later, in every partition", () => {
    const options: EnumerationOptions = { ...N4, rounds: 1, firstLeader: 0, leaders: "in-turn" };
    const { symmetry } = new Search(options);
    const round = (disks: readonly Disk[], partition: number, ordinal: number): Disks => runRound(options, disks, { partition, leader: (ordinal - 1) % 4 }, ordinal).disks;
    // Views change, slots are re-proposed and executed, checkpoints become stable: the long log has much that is superseded.
    let disks: Disks = freshDisks(options);
    let dropped = 0;
    for (const [i, partition] of [0b00000, 0b00110, 0b11000, 0b10010, 0b00100, 0b00000, 0b01000].entries()) {
      disks = round(disks, partition, i + 1);
      const short = disks.map(compact);
      dropped += disks.reduce((sum, disk, index) => sum + disk.records.length - (short[index] as Disk).records.length, 0);
      for (let next = 0; next < 2 ** nodesOf(options).length; next += 2) {
        expect(keyOf(symmetry, round(short, next, i + 2))).toBe(keyOf(symmetry, round(disks, next, i + 2)));
      }
    }
    expect(dropped).toBeGreaterThan(50);
  });
});
