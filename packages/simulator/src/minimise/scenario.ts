/** A scenario file: everything that happened by chance in a failing run, as data. It replays without any generator, on any Node. */
import type { Application } from "../application.ts";
import type { Depth } from "../cli/seeds.ts";
import { ToolError } from "../cli/tool-error.ts";
import { planRun, type RunPlan } from "../options.ts";
import { runPlan, type SimResult } from "../simulate.ts";
import { ComponentTapeRandom, type Tapes, TapeRandom } from "./tape.ts";

export const SCENARIO_FORMAT = "narses-scenario-2";
/** Of files from before acts had tapes of their own: all decisions of a component are on one. They replay as they did. */
const FORMAT_BY_COMPONENT = "narses-scenario-1";

/** Stretches of a tape that say something: the place of the first decision, then the decisions. */
type Stretch = readonly [number, ...number[]];

export interface Scenario {
  readonly format: typeof SCENARIO_FORMAT | typeof FORMAT_BY_COMPONENT;
  /** What it shows, for a person. */
  readonly title: string;
  /** How the run ends: "ok" once the cause is fixed. */
  readonly expect: { readonly outcome: SimResult["outcome"]; readonly oracle?: string };
  readonly depth: Depth;
  /** The module of the application, as `--app` named it; absent: the simulator's own. */
  readonly app?: string;
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
  if (value.format !== SCENARIO_FORMAT && value.format !== FORMAT_BY_COMPONENT) {
    throw new ToolError("SCENARIO_INVALID", `${name} is of format ${String(value.format)}, this version replays ${SCENARIO_FORMAT}`);
  }
  if (value.plan === undefined || value.decisions === undefined || value.expect === undefined) throw new ToolError("SCENARIO_INVALID", `${name} lacks plan, decisions or expect`);
  const missing = firstMissing(planRun({ seed: 1 }), value.plan, "plan");
  if (missing !== undefined) {
    throw new ToolError("SCENARIO_INVALID", `${name} has no number, text or list at ${missing}, which this version of the simulator needs: minimise the failure anew`);
  }
  return value as Scenario;
}

/** Where `given` lacks what every plan has: a file of an earlier version would otherwise replay with holes in it. */
function firstMissing(needed: object, given: unknown, path: string): string | undefined {
  if (typeof given !== "object" || given === null) return path;
  for (const [key, value] of Object.entries(needed)) {
    const found = (given as Record<string, unknown>)[key];
    const at = `${path}.${key}`;
    if (Array.isArray(value) ? !Array.isArray(found) : typeof found !== typeof value) return at;
    const deeper = typeof value === "object" && value !== null && !Array.isArray(value) ? firstMissing(value as object, found, at) : undefined;
    if (deeper !== undefined) return deeper;
  }
  return undefined;
}

/**
 * @param traceLines lines of trace to keep.
 * @param application that of `scenario.app`, loaded.
 */
export function replay(scenario: Scenario, traceLines: number, application?: Application): Promise<SimResult> {
  const tapes = unpackTapes(scenario.decisions);
  if (scenario.format === SCENARIO_FORMAT) return replayTapes(scenario.plan, scenario.depth, tapes, traceLines, application);
  return runPlan({ ...scenario.plan, traceLines, randomOf: (path) => new ComponentTapeRandom(path, tapes) }, scenario.depth);
}

export const replayTapes = (plan: Scenario["plan"], depth: Depth, tapes: Tapes, traceLines: number, application?: Application): Promise<SimResult> =>
  runPlan({ ...plan, traceLines, randomOf: (path) => new TapeRandom(path, tapes) }, depth, application);
