/**
 * The Twins enumeration leaves nothing out: against a search without any of its shortcuts (no state is met twice, whole rounds on
 * whole disks, a new request in each round), it visits the same set of outcomes, and finds the same seeded bugs.
 * `TWINS_ROUNDS=4` goes one round deeper, for every first leader (minutes).
 */
import process from "node:process";
import { describe, expect, test } from "vitest";
import type { Disk } from "../src/disk.ts";
import { runRound } from "../src/twins/cluster.ts";
import { type EnumerationOptions, type Leaders, Search } from "../src/twins/enumerate.ts";
import { type Disks, freshDisks, nodesOf, type SeededBug } from "../src/twins/nodes.ts";
import { compact } from "../src/twins/compact.ts";
import { type LocalId, swapCopies, type Symmetry } from "../src/twins/symmetry.ts";

const ROUNDS = Number(process.env["TWINS_ROUNDS"] ?? 3);
const N4 = { n: 4, twinned: 1, stopAtViolation: false } as const;

interface Everything {
  readonly keys: Set<string>;
  readonly sequences: number;
  /** Violations by the round they happened in. */
  readonly violations: ReadonlyMap<number, number>;
}

const keyOf = (symmetry: Symmetry, disks: Disks): string => symmetry.keyOf(disks.map((disk, index) => symmetry.intern(index, disk)));

const canonicalKey = (symmetry: Symmetry, disks: Disks): string => symmetry.canonical(disks.map((disk, index) => symmetry.intern(index, disk))).key;

function runWith(options: EnumerationOptions): Search {
  const search = new Search(options);
  search.run();
  return search;
}

function leadersAfter({ leaders, n }: EnumerationOptions, before: number): readonly number[] {
  const next = (before + 1) % n;
  return { "in-turn": [next], "same-or-next": [before, next], any: Array.from({ length: n }, (_, leader) => leader) }[leaders];
}

/** Every sequence, one after the other, on disks that keep all their records. Copies are numbered as the search does it: that is the schedule. */
function everything(options: EnumerationOptions, symmetry: Symmetry): Everything {
  const keys = new Set<string>();
  const violations = new Map<number, number>();
  let sequences = 0;
  const walk = (before: Disks, round: number, leader: number): void => {
    for (let partition = 0; partition < 2 ** before.length; partition += 2) {
      const { disks, violation } = runRound(options, before, { partition, leader }, round);
      if (violation !== undefined) {
        violations.set(round, (violations.get(round) ?? 0) + 1);
        continue;
      }
      const { key, swapped } = symmetry.canonical(disks.map((disk, index) => symmetry.intern(index, disk)));
      if (round < options.rounds) for (const next of leadersAfter(options, leader)) walk(swapCopies(disks, swapped, options.n), round + 1, next);
      else {
        sequences++;
        keys.add(options.leaders === "same-or-next" ? `${leader}|${key}` : key);
      }
    }
  };
  walk(freshDisks(options), 1, options.firstLeader);
  return { keys, sequences, violations };
}

describe("the pruned search against one that leaves nothing out", () => {
  const deep = ROUNDS > 3 ? [0, 1, 2, 3] : [2];
  test.each<[Leaders, number, number]>([
    ...deep.map((first): [Leaders, number, number] => ["in-turn", first, ROUNDS]),
    ...(ROUNDS > 3 ? [0, 1, 2, 3] : [3]).map((first): [Leaders, number, number] => ["same-or-next", first, ROUNDS - 1]),
    ["any", 0, ROUNDS - 1],
  ])("leaders %s from %i, %i rounds: the same outcomes", (leaders, firstLeader, rounds) => {
    const options: EnumerationOptions = { ...N4, rounds, firstLeader, leaders, outcomes: true };
    const search = new Search(options);
    const { steps } = search.run();
    const { keys, sequences } = everything(options, search.symmetry);
    expect(sequences).toBe(16 * (16 * leadersAfter(options, 0).length) ** (rounds - 1));
    expect(steps).toBeLessThanOrEqual(sequences);
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

describe("states that count as one", () => {
  test.each<[Leaders, number, number, number]>([["in-turn", 1, 4, 10], ["same-or-next", 0, 3, 10], ["any", 3, 2, 5]])("leaders %s from %i, %i rounds: whatever comes next, they stay one", (leaders, firstLeader, rounds, samples) => {
    const pairs = new Map<string, readonly [readonly LocalId[], readonly LocalId[]]>();
    const onMerged = (kept: readonly LocalId[], other: readonly LocalId[]): void => {
      if (kept.join() !== other.join()) pairs.set(`${kept.join()}|${other.join()}`, [kept, other]);
    };
    const { symmetry, violations } = runWith({ ...N4, rounds, firstLeader, leaders, outcomes: true, onMerged });
    expect(pairs.size).toBeGreaterThanOrEqual(samples);
    const sample = [...pairs.values()].filter((_, i) => i % Math.floor(pairs.size / samples) === 0);
    for (const pair of sample) {
      const [kept, other] = pair.map((state) => state.map((id) => symmetry.local(id).disk));
      for (let partition = 0; partition < 32; partition += 2) {
        for (let leader = 0; leader < 4; leader++) {
          const [a, b] = [kept, other].map((disks) => canonicalKey(symmetry, runRound(N4, disks as Disks, { partition, leader }, rounds + 1).disks));
          expect(b).toBe(a);
        }
      }
    }
    expect(violations).toEqual([]);
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
