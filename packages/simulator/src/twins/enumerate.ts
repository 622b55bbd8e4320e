/**
 * Twins (Bano et al., 2020) for PBFT: every sequence of two-way partitions, one for each round, with the leaders taking turns, each
 * leading one round or several in a row, or any leader in any round. Breadth first over states that are different for what follows
 * (`symmetry.ts`), so that the sequences covered are far more than those run. Besides that:
 *  - the two sides of a partition never meet, so a side is run by itself, and what came of it is kept: another state with the same
 *    nodes in the same local states on one side has the same outcome there, whatever the other nodes are;
 *  - agreement between nodes of different sides is judged when the sides are put together again, from what is on the disks;
 *  - after the last round only agreement is judged.
 * The test `twins-pruning` holds all this against a search that leaves nothing out.
 */
import { quorums } from "@narses/core";
import type { Disk } from "../disk.ts";
import { CHECKPOINT_INTERVAL, type Round, runRound } from "./cluster.ts";
import { type Disks, freshDisks, type Node, nodesOf, type TwinsShape } from "./nodes.ts";
import { Decisions, type DecisionsId, requestsOn, type Verdict } from "./on-disk.ts";
import { type LocalId, swapCopies, Symmetry } from "./symmetry.ts";

/** Who leads a round: the next in order; the one of the round before or the next; everybody is tried. */
export const LEADERS = ["in-turn", "same-or-next", "any"] as const;
export type Leaders = (typeof LEADERS)[number];

export interface EnumerationOptions extends TwinsShape {
  readonly rounds: number;
  /** The replica that leads the first round. */
  readonly firstLeader: number;
  /** Who leads the later ones. */
  readonly leaders: Leaders;
  /** Stop at the first violation. */
  readonly stopAtViolation: boolean;
  /** The states after the last round are wanted too: for comparisons. */
  readonly outcomes?: boolean;
  /** Called when a state is met that counts as one with an earlier one: to see whether they are. */
  readonly onMerged?: (kept: readonly LocalId[], other: readonly LocalId[]) => void;
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
  /** Distinct states after each round but the last one. */
  readonly states: readonly number[];
  readonly violations: readonly Found[];
  /** The most slots executed in any scenario. */
  readonly executedMax: number;
}

/** Violations kept, at most: with more than f twins there are many. */
const VIOLATIONS_MAX = 20;
/** Outcomes of sides kept within a round: beyond, all are forgotten, and made again. */
const OUTCOMES_KEPT_MAX = 4_000_000;
const PROGRESS_EVERY_STEPS = 500;

interface State {
  readonly locals: readonly LocalId[];
  readonly before: State | undefined;
  /** How it came about from the one before, with the copies as they were called then. */
  readonly round: Round | undefined;
  /** Copies that are called otherwise than in the beginning, by replica. */
  readonly swapped: number;
}

/** The nodes of one side, as bits and as a list. */
interface Side {
  readonly bits: number;
  readonly members: readonly Node[];
  /** Whether there are enough of them to decide anything. */
  readonly decides: boolean;
}

/** What became of nodes, and what their disks say is decided; or what went wrong. */
type Outcome = { readonly after: readonly LocalId[]; readonly decided: readonly DecisionsId[] } | { readonly verdict: Verdict };

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
  private readonly correct: readonly Node[];
  /** By the bits of their members. */
  private readonly sidesOf: readonly Side[];
  private readonly sides = new Map<string, Outcome>();
  private readonly decisions: Decisions = new Decisions();
  private readonly decided: DecisionsId[] = [];
  private readonly requests = new Map<LocalId, ReadonlySet<number>>();

  constructor(options: EnumerationOptions) {
    this.options = options;
    const { n, twinned, bug } = options;
    const quorum = bug?.quorum ?? quorums(n).strong;
    this.symmetry = new Symmetry({ n, twinned, prepares: quorum - 1, checkpointInterval: CHECKPOINT_INTERVAL });
    this.nodes = nodesOf(options);
    this.correct = this.nodes.filter(({ twin }) => !twin);
    this.sidesOf = Array.from({ length: 2 ** this.nodes.length }, (_, bits): Side => {
      const members = this.nodes.filter(({ index }) => ((bits >> index) & 1) === 1);
      return { bits, members, decides: new Set(members.map(({ id }) => id)).size >= quorum };
    });
  }

  run(): Enumeration {
    const start = freshDisks(this.options).map((disk, index) => this.symmetry.intern(index, disk));
    let level: readonly State[] = [{ locals: start, before: undefined, round: undefined, swapped: 0 }];
    const cost: number[] = [];
    for (let round = 1; round <= this.options.rounds && !this.over; round++) {
      const before = this.steps;
      this.keys.clear();
      // Views grow from round to round: nothing of the last one comes again.
      this.sides.clear();
      this.symmetry.forget();
      level.forEach((state, i) => this.expand(state, round, () => this.progress(round, i / level.length, cost)));
      level = [...this.keys.values()];
      if (this.keepsAfter(round)) this.states.push(level.length);
      cost.push(this.steps - before);
    }
    const { steps, runs, states, violations, executedMax } = this;
    return { steps, runs, states, violations, executedMax };
  }

  private get over(): boolean {
    return this.options.stopAtViolation && this.violations.length > 0;
  }

  /** After the last round nothing is asked but whether agreement held, unless somebody wants to see the states. */
  private keepsAfter(round: number): boolean {
    return round < this.options.rounds || this.options.outcomes === true;
  }

  private leadersOf(before: number | undefined): readonly number[] {
    const { n, firstLeader, leaders } = this.options;
    if (before === undefined) return [firstLeader];
    if (leaders === "any") return Array.from({ length: n }, (_, leader) => leader);
    const next = (before + 1) % n;
    return leaders === "in-turn" || n === 1 ? [next] : [before, next];
  }

  private expand(state: State, number: number, onStep: () => void): void {
    const { locals, swapped } = state;
    const ordinal = this.freshRequest(locals);
    const last = !this.keepsAfter(number);
    const atOdds = last && this.decisions.conflict(this.nodes, locals.map((id) => this.decidedBy(id))) !== undefined;
    for (const leader of this.leadersOf(state.round?.leader)) {
      // Node 0 on the first side always: the sides have no names.
      for (let partition = 0; partition < 2 ** this.nodes.length; partition += 2) {
        if (this.over) return;
        const run = (side: Side): Outcome => (last ? this.judgeSide(side, locals, atOdds, leader, ordinal) : this.runSide(side, locals, leader, ordinal));
        const outcome = this.step(locals, { partition, leader }, ordinal, run);
        if (++this.steps % PROGRESS_EVERY_STEPS === 0) onStep();
        const round: Round = { partition: this.asNamedAtFirst(partition, swapped), leader };
        if ("verdict" in outcome) {
          if (this.violations.length < VIOLATIONS_MAX) this.violations.push({ scenario: scenarioOf({ locals, before: state, round, swapped }), ...outcome.verdict });
          continue;
        }
        if (last) continue;
        const canonical = this.symmetry.canonical(outcome.after);
        const key = this.options.leaders === "same-or-next" ? `${leader}|${canonical.key}` : canonical.key;
        const kept = this.keys.get(key);
        if (kept !== undefined) this.options.onMerged?.(kept.locals, canonical.locals);
        else this.keys.set(key, { locals: canonical.locals, before: state, round, swapped: swapped ^ canonical.swapped });
      }
    }
  }

  private asNamedAtFirst(partition: number, swapped: number): number {
    const sides = swapCopies(this.nodes.map(({ index }) => (partition >> index) & 1), swapped, this.options.n);
    return sides.reduce((bits, side, index) => bits | (side << index), 0);
  }

  /** One round: each side by itself, then what one decided against what the other did. */
  private step(locals: readonly LocalId[], { partition, leader }: Round, ordinal: number, run: (side: Side) => Outcome): Outcome {
    const after: number[] = [];
    const decided: number[] = [];
    const all = this.sidesOf.length - 1;
    for (const bits of [all & ~partition, partition]) {
      const side = this.sidesOf[bits] as Side;
      const key = `${bits}|${leader}|${ordinal}|${side.members.map(({ index }) => locals[index]).join(",")}`;
      let outcome = this.sides.get(key);
      if (outcome === undefined) {
        if (this.sides.size >= OUTCOMES_KEPT_MAX) this.sides.clear();
        this.sides.set(key, (outcome = run(side)));
      }
      if ("verdict" in outcome) return outcome;
      for (const [i, { index }] of side.members.entries()) {
        after[index] = outcome.after[i] as LocalId;
        decided[index] = outcome.decided[i] as DecisionsId;
      }
    }
    const verdict = this.decisions.conflict(this.correct, decided);
    return verdict === undefined ? { after, decided } : { verdict };
  }

  private runSide({ members }: Side, locals: readonly LocalId[], leader: number, ordinal: number): Outcome {
    const { disks, verdict } = this.runRound(members, locals, leader, ordinal);
    if (verdict !== undefined) return { verdict };
    const after = members.map(({ index }) => this.symmetry.intern(index, disks[index] as Disk));
    return { after, decided: after.map((id) => this.decidedBy(id)) };
  }

  /**
   * In the last round a side is run for what it decides. One without a quorum decides nothing: COMMITs count in memory only (`decidedBy` in
   * the engine's vote.ts), so Q of them would have to be said now. It can only take over what is on the disks of its members, and that
   * was compared after the round before; unless copies of a twin, which nobody judges, have something else to give.
   */
  private judgeSide({ members, decides }: Side, locals: readonly LocalId[], atOdds: boolean, leader: number, ordinal: number): Outcome {
    if (!decides && !atOdds) return { after: [], decided: members.map(({ index }) => this.decidedBy(locals[index] as LocalId)) };
    const { disks, verdict } = this.runRound(members, locals, leader, ordinal);
    return verdict === undefined ? { after: [], decided: members.map(({ index }) => this.decisions.intern(disks[index] as Disk)) } : { verdict };
  }

  private runRound(members: readonly Node[], locals: readonly LocalId[], leader: number, ordinal: number): { readonly disks: Disks; readonly verdict: Verdict | undefined } {
    this.runs++;
    const { disks, violation, executed } = runRound(this.options, locals.map((id) => this.symmetry.local(id).disk), { partition: 0, leader }, ordinal, members);
    this.executedMax = Math.max(this.executedMax, executed);
    return { disks, verdict: violation && { kind: violation.kind, oracle: violation.oracle, detail: violation.message } };
  }

  private decidedBy(id: LocalId): DecisionsId {
    let decided = this.decided[id];
    if (decided === undefined) this.decided[id] = decided = this.decisions.intern(this.symmetry.local(id).disk);
    return decided;
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
    this.options.onProgress?.({ round, runs: this.runs, share: shareDone(this.options.rounds, round, part, cost) });
  }
}

/** Estimated from how the rounds grew so far. @param cost of the rounds that are done. */
function shareDone(rounds: number, round: number, part: number, cost: readonly number[]): number {
  const [last = 1, beforeLast = 1] = [cost.at(-1), cost.at(-2)];
  const growth = Math.max(1, last / beforeLast);
  const done = cost.reduce((a, b) => a + b, 0);
  let total = done;
  let expected = last;
  for (let later = round; later <= rounds; later++) total += expected *= growth;
  return Math.min(1, (done + part * last * growth) / total);
}

function scenarioOf(state: State): readonly Round[] {
  const rounds: Round[] = [];
  for (let at: State | undefined = state; at?.round !== undefined; at = at.before) rounds.unshift(at.round);
  return rounds;
}

export const enumerateTwins = (options: EnumerationOptions): Enumeration => new Search(options).run();
