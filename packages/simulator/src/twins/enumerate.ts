/**
 * Twins (Bano et al., 2020) for PBFT: every sequence of two-way partitions, one for each round, with the leaders taking turns from each
 * possible first one. States that are equal for what follows are visited once, so the sequences covered are far more than those run.
 */
import { type Disks, freshDisks, nodesOf, type Round, runRound, type TwinsShape } from "./cluster.ts";
import { textOf } from "./symmetry.ts";

export interface EnumerationOptions extends TwinsShape {
  readonly rounds: number;
  /** The replica that leads the first round; the others follow in order. */
  readonly firstLeader: number;
  /** Stop at the first violation. */
  readonly stopAtViolation: boolean;
  /** Called now and then with the rounds run so far. */
  readonly onProgress?: (runs: number) => void;
}

export interface Found {
  readonly scenario: readonly Round[];
  readonly kind: string;
  readonly oracle: string;
  readonly detail: string;
}

export interface Enumeration {
  /** Rounds run. */
  readonly runs: number;
  /** Distinct states after each round, but for the last, whose states are judged and not kept. */
  readonly states: readonly number[];
  readonly violations: readonly Found[];
  /** The most slots executed in any scenario. */
  readonly executedMax: number;
}

/** Violations kept, at most: with more than f twins there are many. */
const VIOLATIONS_MAX = 20;
const PROGRESS_EVERY_RUNS = 500;
/** Between checkpoints, in the enumerated cluster. */
const CHECKPOINT_INTERVAL = 2;

interface State {
  readonly disks: Disks;
  readonly scenario: readonly Round[];
}

class Search {
  runs = 0;
  executedMax = 0;
  readonly violations: Found[] = [];
  readonly states: number[] = [];
  private readonly options: EnumerationOptions;
  private readonly seen: Set<string>[];

  constructor(options: EnumerationOptions) {
    this.options = options;
    this.seen = Array.from({ length: options.rounds }, () => new Set<string>());
  }

  get over(): boolean {
    return this.options.stopAtViolation && this.violations.length > 0;
  }

  /** Every state that one more round can lead to and that no earlier one equals. */
  *expand({ disks, scenario }: State): Iterable<State> {
    const { rounds, firstLeader, n } = this.options;
    const round = scenario.length;
    const nodes = nodesOf(this.options).length;
    const leader = (firstLeader + round) % n;
    // Node 0 on the first side always: the sides have no names.
    for (let partition = 0; partition < 2 ** nodes; partition += 2) {
      if (this.over) return;
      const next = [...scenario, { partition, leader }];
      const result = runRound(this.options, disks, { partition, leader }, round + 1);
      if (++this.runs % PROGRESS_EVERY_RUNS === 0) this.options.onProgress?.(this.runs);
      this.executedMax = Math.max(this.executedMax, result.executed);
      if (result.violation !== undefined) {
        const { kind, oracle, message } = result.violation;
        if (this.violations.length < VIOLATIONS_MAX) this.violations.push({ scenario: next, kind, oracle, detail: message });
        continue;
      }
      if (round + 1 >= rounds) continue;
      const text = textOf(this.options, result.disks, CHECKPOINT_INTERVAL);
      const seen = this.seen[round] as Set<string>;
      if (seen.has(text)) continue;
      seen.add(text);
      this.states[round] = seen.size;
      yield { disks: result.disks, scenario: next };
    }
  }
}

/** Breadth first, but for the last two rounds, which are gone through state by state: their states need not be held at once. */
export function enumerateTwins(options: EnumerationOptions): Enumeration {
  const search = new Search(options);
  let level: State[] = [{ disks: freshDisks(options), scenario: [] }];
  for (let round = 1; round < options.rounds - 1 && !search.over; round++) {
    const next: State[] = [];
    for (const state of level) for (const child of search.expand(state)) next.push(child);
    level = next;
  }
  for (const state of level) {
    if (options.rounds < 2) drain(search.expand(state));
    else for (const child of search.expand(state)) drain(search.expand(child));
  }
  const { runs, states, violations, executedMax } = search;
  return { runs, states, violations, executedMax };
}

function drain(states: Iterable<State>): void {
  for (const _ of states) void _;
}
