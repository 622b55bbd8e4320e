/**
 * Twins (Bano et al., 2020) for PBFT: every sequence of two-way partitions, one for each round, with the leaders taking turns or any
 * leader in any round. Breadth first over states that are different for what follows (`symmetry.ts`), so that the sequences covered are
 * far more than those run. Besides that:
 *  - the two sides of a partition never meet, so a side is run by itself, and what came of it is kept: another state with the same
 *    nodes in the same local states on one side has the same outcome there, whatever the other nodes are;
 *  - agreement between nodes of different sides is judged when the sides are put together again, from what is on the disks.
 * The test `twins-pruning` holds all this against a search that leaves nothing out.
 */
import type { Disk } from "../disk.ts";
import { CHECKPOINT_INTERVAL, type Round, type RoundResult, runRound } from "./cluster.ts";
import { freshDisks, type Node, nodesOf, type TwinsShape } from "./nodes.ts";
import { conflictOf, requestsOn, type Verdict } from "./on-disk.ts";
import { type LocalId, Symmetry } from "./symmetry.ts";

export interface EnumerationOptions extends TwinsShape {
  readonly rounds: number;
  /** The replica that leads the first round. */
  readonly firstLeader: number;
  /** Who leads the later ones: the next in order, or everybody is tried. */
  readonly leaders: "in-turn" | "any";
  /** Stop at the first violation. */
  readonly stopAtViolation: boolean;
  /** Called now and then with the part of the work that is done, as estimated from how the rounds grew so far. */
  readonly onProgress?: (progress: TwinsProgress) => void;
}

export interface TwinsProgress {
  readonly round: number;
  /** Rounds run so far. */
  readonly runs: number;
  /** 0 … 1. */
  readonly share: number;
}

export interface Found extends Verdict {
  readonly scenario: readonly Round[];
}

export interface Enumeration {
  /** Pairs of a state and a round, judged. */
  readonly steps: number;
  /** Sides of rounds that were run. */
  readonly runs: number;
  /** Distinct states after each round. */
  readonly states: readonly number[];
  readonly violations: readonly Found[];
  /** The most slots executed in any scenario. */
  readonly executedMax: number;
}

/** Violations kept, at most: with more than f twins there are many. */
const VIOLATIONS_MAX = 20;
const PROGRESS_EVERY_STEPS = 500;

interface State {
  readonly locals: readonly LocalId[];
  readonly before: State | undefined;
  /** How it came about from the one before. */
  readonly round: Round | undefined;
}

type Outcome = { readonly locals: readonly LocalId[] } | { readonly verdict: Verdict };

export class Search {
  runs = 0;
  steps = 0;
  executedMax = 0;
  readonly violations: Found[] = [];
  readonly states: number[] = [];
  /** The distinct states after the last round, by their keys. */
  readonly keys: Map<string, State> = new Map();
  readonly symmetry: Symmetry;
  private readonly options: EnumerationOptions;
  private readonly nodes: readonly Node[];
  private readonly sides = new Map<string, Outcome>();
  private readonly conflicts = new Map<string, Verdict | undefined>();
  private readonly requests = new Map<LocalId, ReadonlySet<number>>();

  constructor(options: EnumerationOptions) {
    this.options = options;
    this.symmetry = new Symmetry(options.n, CHECKPOINT_INTERVAL);
    this.nodes = nodesOf(options);
  }

  run(): Enumeration {
    let level: readonly State[] = [{ locals: freshDisks(this.options).map((disk, index) => this.symmetry.intern(index, disk)), before: undefined, round: undefined }];
    const cost: number[] = [];
    for (let round = 1; round <= this.options.rounds && !this.over; round++) {
      const before = this.steps;
      this.keys.clear();
      // Views grow from round to round: nothing of the last one comes again.
      this.sides.clear();
      level.forEach((state, i) => this.expand(state, round, () => this.progress(round, i / level.length, cost)));
      level = [...this.keys.values()];
      this.states.push(level.length);
      cost.push(this.steps - before);
    }
    const { steps, runs, states, violations, executedMax } = this;
    return { steps, runs, states, violations, executedMax };
  }

  private get over(): boolean {
    return this.options.stopAtViolation && this.violations.length > 0;
  }

  private leadersOf(round: number): readonly number[] {
    const { n, firstLeader, leaders } = this.options;
    return leaders === "any" && round > 1 ? Array.from({ length: n }, (_, leader) => leader) : [(firstLeader + round - 1) % n];
  }

  private expand(state: State, number: number, onStep: () => void): void {
    const ordinal = this.freshRequest(state.locals);
    for (const leader of this.leadersOf(number)) {
      // Node 0 on the first side always: the sides have no names.
      for (let partition = 0; partition < 2 ** this.nodes.length; partition += 2) {
        if (this.over) return;
        const round: Round = { partition, leader };
        const outcome = this.step(state.locals, round, ordinal);
        if (++this.steps % PROGRESS_EVERY_STEPS === 0) onStep();
        const next: State = { locals: "locals" in outcome ? outcome.locals : state.locals, before: state, round };
        if ("verdict" in outcome) {
          if (this.violations.length < VIOLATIONS_MAX) this.violations.push({ scenario: scenarioOf(next), ...outcome.verdict });
          continue;
        }
        const key = this.symmetry.keyOf(next.locals);
        if (!this.keys.has(key)) this.keys.set(key, next);
      }
    }
  }

  /** One round: each side by itself, then what one decided against what the other did. */
  private step(locals: readonly LocalId[], { partition, leader }: Round, ordinal: number): Outcome {
    const after = [...locals];
    for (const side of [0, 1]) {
      const members = this.nodes.filter(({ index }) => ((partition >> index) & 1) === side);
      if (members.length === 0) continue;
      const key = `${leader}|${ordinal}|${members.map(({ index }) => locals[index]).join(",")}`;
      let outcome = this.sides.get(key);
      if (outcome === undefined) this.sides.set(key, (outcome = this.runSide(locals, { partition: 0, leader }, ordinal, members)));
      if ("verdict" in outcome) return outcome;
      for (const [i, { index }] of members.entries()) after[index] = outcome.locals[i] as LocalId;
    }
    const verdict = this.conflict(after);
    return verdict === undefined ? { locals: after } : { verdict };
  }

  private runSide(locals: readonly LocalId[], round: Round, ordinal: number, members: readonly Node[]): Outcome {
    this.runs++;
    const result: RoundResult = runRound(this.options, locals.map((id) => this.symmetry.local(id).disk), round, ordinal, members);
    this.executedMax = Math.max(this.executedMax, result.executed);
    const { violation } = result;
    if (violation !== undefined) return { verdict: { kind: violation.kind, oracle: violation.oracle, detail: violation.message } };
    return { locals: members.map(({ index }) => this.symmetry.intern(index, result.disks[index] as Disk)) };
  }

  private conflict(locals: readonly LocalId[]): Verdict | undefined {
    const correct = this.nodes.filter(({ twin }) => !twin);
    for (const [i, a] of correct.entries()) {
      for (const b of correct.slice(i + 1)) {
        const [idA, idB] = [locals[a.index] as LocalId, locals[b.index] as LocalId];
        const key = `${idA}|${idB}`;
        if (!this.conflicts.has(key)) this.conflicts.set(key, conflictOf(a.name, this.symmetry.local(idA).disk, b.name, this.symmetry.local(idB).disk));
        const verdict = this.conflicts.get(key);
        if (verdict !== undefined) return verdict;
      }
    }
    return undefined;
  }

  /** The lowest request id that no disk knows: a request that was lost with nobody the wiser is as good as none. */
  private freshRequest(locals: readonly LocalId[]): number {
    let ordinal = 1;
    while (locals.some((id) => this.requestsOf(id).has(ordinal))) ordinal++;
    return ordinal;
  }

  private requestsOf(id: LocalId): ReadonlySet<number> {
    let known = this.requests.get(id);
    if (known === undefined) this.requests.set(id, (known = requestsOn(this.symmetry.local(id).disk)));
    return known;
  }

  private progress(round: number, part: number, cost: readonly number[]): void {
    if (this.options.onProgress === undefined) return;
    const [last = 1, beforeLast = 1] = [cost.at(-1), cost.at(-2)];
    const growth = Math.max(1, last / beforeLast);
    const done = cost.reduce((a, b) => a + b, 0);
    let total = done;
    let expected = last;
    for (let later = round; later <= this.options.rounds; later++) total += expected *= growth;
    this.options.onProgress({ round, runs: this.runs, share: Math.min(1, (done + part * last * growth) / total) });
  }
}

function scenarioOf(state: State): readonly Round[] {
  const rounds: Round[] = [];
  for (let at: State | undefined = state; at?.round !== undefined; at = at.before) rounds.unshift(at.round);
  return rounds;
}

export const enumerateTwins = (options: EnumerationOptions): Enumeration => new Search(options).run();
