/** From a failing seed to a scenario: record it, replay it from the record, then take out faults, lies, clients, messages and times. */
import type { Application } from "../application.ts";
import type { Depth } from "../cli/seeds.ts";
import { planRun, type SimOptions } from "../options.ts";
import { runPlan, type SimResult } from "../simulate.ts";
import { ddmin } from "./ddmin.ts";
import { packTapes, replayTapes, type Scenario, SCENARIO_FORMAT } from "./scenario.ts";
import { ACT_MARK, RecordingRandom, type Tapes } from "./tape.ts";

/** Replays, at most: minimising must end. What is left then is not minimal, but fails all the same. */
const REPLAYS_MAX = 600;
/** Replays of the whole record, until one fails as the run did. */
const FIRST_REPLAYS_MAX = 5;
/** A long tape is taken apart into so many parts. */
const PARTS_PER_TAPE = 12;

export interface Minimised {
  readonly scenario: Scenario;
  readonly replays: number;
  /** Decisions in the record, and in the scenario. */
  readonly before: number;
  readonly after: number;
}

/** A stretch of one component's decisions. */
interface Part {
  readonly path: string;
  readonly from: number;
  readonly to: number;
}

/** What is taken out first is what a reader would ask for first. */
const STAGES: readonly (readonly [string, (path: string) => boolean])[] = [
  ["faults", (path) => /\/nemesis\b/.test(path)],
  ["lies", (path) => /\/policy /.test(path)],
  ["clients", (path) => /\/(load|client|operations) ?\d/.test(path)],
  ["messages", (path) => /\/network\b/.test(path)],
  ["times", () => true],
];

function partsOf(tapes: Tapes, wanted: (path: string) => boolean): readonly Part[] {
  const speaking = [...tapes].filter(([path, tape]) => wanted(path) && tape.some((value) => value !== null));
  return speaking.flatMap(([path, tape]) => {
    // An act is left out as a whole, or kept.
    const isAct = path.includes(ACT_MARK) && !/\/network#/.test(path);
    const size = isAct ? tape.length : Math.max(1, Math.ceil(tape.length / PARTS_PER_TAPE));
    return Array.from({ length: Math.ceil(tape.length / size) }, (_, i): Part => ({ path, from: i * size, to: Math.min(tape.length, (i + 1) * size) }));
  });
}

/** The tapes, with everything in `wanted` quiet but for `kept`. */
function withOnly(tapes: Tapes, wanted: (path: string) => boolean, kept: readonly Part[]): Tapes {
  const changed = new Map<string, (number | null)[]>();
  for (const [path, tape] of tapes) changed.set(path, wanted(path) ? tape.map(() => null) : [...tape]);
  for (const { path, from, to } of kept) {
    const tape = changed.get(path);
    const original = tapes.get(path);
    for (let at = from; at < to && tape !== undefined; at++) tape[at] = original?.[at] ?? null;
  }
  return changed;
}

const decisions = (tapes: Tapes): number => [...tapes.values()].reduce((sum, tape) => sum + tape.filter((value) => value !== null).length, 0);
const same = (a: SimResult, b: SimResult): boolean => a.outcome === b.outcome && a.oracle === b.oracle;

/** The same decisions end in another way: something else than they decides, which only an application can do. */
export interface Unrepeatable {
  readonly failure: SimResult;
  readonly again: SimResult;
}

/** An application, and the name of its module for the scenario. */
export interface NamedApplication extends Application {
  readonly name: string;
}

/** @returns undefined when the seed does not fail. `say` hears how it goes. */
export async function minimise(
  options: SimOptions, depth: Depth, say: (line: string) => void, application?: NamedApplication,
): Promise<Minimised | Unrepeatable | undefined> {
  const recorded = new Map<string, number[]>();
  const plan = planRun({ ...options, traceLines: 0 });
  const failure = await runPlan({ ...plan, randomOf: (path) => new RecordingRandom(path, recorded) }, depth, application);
  if (failure.outcome === "ok") return undefined;
  // Where chance of the application's own has a part, one replay may go well by luck.
  let again = await replayTapes(plan, depth, recorded, 0, application);
  for (let tries = 1; tries < FIRST_REPLAYS_MAX && !same(failure, again); tries++) again = await replayTapes(plan, depth, recorded, 0, application);
  if (!same(failure, again)) return { failure, again };
  let tapes: Tapes = recorded;
  let shorter = plan;
  let replays = 0;
  const fails = async (candidate: Tapes, chaosMs: number): Promise<boolean> => {
    if (replays >= REPLAYS_MAX) return false;
    replays++;
    return same(failure, await replayTapes({ ...shorter, chaosMs }, depth, candidate, 0, application));
  };
  const before = decisions(tapes);
  say(`seed ${plan.seed}: ${failure.outcome} (${failure.oracle}), ${before} decisions`);
  const endedMs = Math.ceil(failure.virtualMs) + 1;
  if (endedMs < shorter.chaosMs && (await fails(tapes, endedMs))) shorter = { ...shorter, chaosMs: endedMs };
  for (const [name, wanted] of STAGES) {
    const earlier = STAGES.slice(0, STAGES.findIndex(([other]) => other === name)).map(([, match]) => match);
    const mine = (path: string): boolean => wanted(path) && !earlier.some((match) => match(path));
    const kept = await ddmin(partsOf(tapes, mine), (parts) => fails(withOnly(tapes, mine, parts), shorter.chaosMs));
    tapes = withOnly(tapes, mine, kept);
    say(`without needless ${name}: ${decisions(tapes)} decisions, ${replays} replays`);
  }
  const { randomOf: _, ...kept } = shorter;
  const title = `${failure.outcome} (${failure.oracle}): ${failure.detail}`;
  const expect = { outcome: failure.outcome, ...(failure.oracle !== undefined && { oracle: failure.oracle }) };
  return {
    scenario: { format: SCENARIO_FORMAT, title, expect, depth, ...(application && { app: application.name }), plan: kept, decisions: packTapes(tapes) },
    replays, before, after: decisions(tapes),
  };
}
