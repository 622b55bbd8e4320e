/** A scenario file: everything that happened by chance in a failing run, as data. It replays without any generator, on any Node. */
import type { Depth } from "../cli/seeds.ts";
import { ToolError } from "../cli/tool-error.ts";
import type { RunPlan } from "../options.ts";
import { runPlan, type SimResult } from "../simulate.ts";
import { type Tapes, TapeRandom } from "./tape.ts";

export const SCENARIO_FORMAT = "narses-scenario-1";

/** Stretches of a tape that say something: the place of the first decision, then the decisions. */
type Stretch = readonly [number, ...number[]];

export interface Scenario {
  readonly format: typeof SCENARIO_FORMAT;
  /** What it shows, for a person. */
  readonly title: string;
  /** How the run ends: "ok" once the cause is fixed. */
  readonly expect: { readonly outcome: SimResult["outcome"]; readonly oracle?: string };
  readonly depth: Depth;
  readonly plan: Omit<RunPlan, "randomOf">;
  readonly decisions: Readonly<Record<string, readonly Stretch[]>>;
}

export function packTapes(tapes: Tapes): Scenario["decisions"] {
  const packed: Record<string, Stretch[]> = {};
  for (const [path, tape] of [...tapes].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const stretches: [number, ...number[]][] = [];
    let current: [number, ...number[]] | undefined;
    tape.forEach((value, at) => {
      if (value === null) return void (current = undefined);
      if (current === undefined) stretches.push((current = [at]));
      current.push(value);
    });
    if (stretches.length > 0) packed[path] = stretches;
  }
  return packed;
}

function unpackTapes(decisions: Scenario["decisions"]): Tapes {
  const tapes = new Map<string, (number | null)[]>();
  for (const [path, stretches] of Object.entries(decisions)) {
    const tape: (number | null)[] = [];
    for (const [at, ...values] of stretches) {
      while (tape.length < at) tape.push(null);
      tape.push(...values);
    }
    tapes.set(path, tape);
  }
  return tapes;
}

/** @throws ToolError when the text is no scenario. */
export function parseScenario(text: string, name: string): Scenario {
  let value: Partial<Scenario>;
  try {
    value = JSON.parse(text) as Partial<Scenario>;
  } catch (error) {
    throw new ToolError("SCENARIO_INVALID", `${name} is not JSON`, { cause: error });
  }
  if (value.format !== SCENARIO_FORMAT) throw new ToolError("SCENARIO_INVALID", `${name} is of format ${String(value.format)}, this version replays ${SCENARIO_FORMAT}`);
  if (value.plan === undefined || value.decisions === undefined || value.expect === undefined) throw new ToolError("SCENARIO_INVALID", `${name} lacks plan, decisions or expect`);
  return value as Scenario;
}

/** @param traceLines lines of trace to keep. */
export function replay(scenario: Scenario, traceLines: number): Promise<SimResult> {
  return replayTapes(scenario.plan, scenario.depth, unpackTapes(scenario.decisions), traceLines);
}

export const replayTapes = (plan: Scenario["plan"], depth: Depth, tapes: Tapes, traceLines: number): Promise<SimResult> =>
  runPlan({ ...plan, traceLines, randomOf: (path) => new TapeRandom(path, tapes) }, depth);
