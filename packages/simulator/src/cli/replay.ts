/** `replay FILE`: runs a scenario; `minimise SEED`: makes one of a failing seed. */
import { readFileSync, writeFileSync } from "node:fs";
import { drawChart } from "../chart/chart.ts";
import { LEGEND } from "../format.ts";
import { minimise } from "../minimise/minimise.ts";
import { parseScenario, replay } from "../minimise/scenario.ts";
import { describePlan, type SimOptions } from "../options.ts";
import type { SimResult } from "../simulate.ts";
import { loadApplication } from "./app-module.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import { PROGRAM } from "./program.ts";
import type { ChartFlags } from "./run.ts";
import type { Depth } from "./seeds.ts";

export interface ReplayFlags {
  readonly file: string;
  /** In place of the module that the scenario names. */
  readonly appPath: string | undefined;
  readonly lines: number;
  readonly chart: ChartFlags | undefined;
  readonly print: (line: string) => void;
}

const LINES_MAX = 1_000_000;

export async function replayFile({ file, appPath, lines, chart, print }: ReplayFlags): Promise<ExitCode> {
  const scenario = parseScenario(readFileSync(file, "utf8"), file);
  print(`scenario: ${scenario.title}`);
  for (const line of describePlan(scenario.plan)) print(line);
  const module = appPath ?? scenario.app;
  const result = await replay(scenario, LINES_MAX, module === undefined ? undefined : await loadApplication(module));
  if (result.cast.length > 0) print(`Byzantine: ${result.cast.join("; ")}`);
  if (lines > 0) {
    for (const line of LEGEND) print(`  ${line}`);
    for (const line of result.trace.slice(-lines)) print(line);
  }
  if (chart !== undefined) writeFileSync(chart.path, drawChart(result.trace, { fromMs: chart.fromMs, toMs: chart.toMs ?? result.virtualMs }));
  const met = result.outcome === scenario.expect.outcome && (scenario.expect.oracle === undefined || result.oracle === scenario.expect.oracle);
  print(`${result.outcome}${result.outcome === "ok" ? "" : ` (${result.oracle}): ${result.detail}`}; ${met ? "as expected" : `EXPECTED ${scenario.expect.outcome}`}`);
  return EXIT[result.outcome];
}

export interface MinimiseFlags {
  readonly options: SimOptions;
  readonly depth: Depth;
  readonly appPath: string | undefined;
  readonly out: string;
  readonly print: (line: string) => void;
}

export async function minimiseSeed({ options, depth, appPath, out, print }: MinimiseFlags): Promise<ExitCode> {
  const application = appPath === undefined ? undefined : { ...(await loadApplication(appPath)), name: appPath };
  const minimised = await minimise(options, application === undefined ? depth : "replica", print, application);
  if (minimised === undefined) {
    print("this seed does not fail: there is nothing to minimise");
    return EXIT.ok;
  }
  if ("again" in minimised) {
    const { failure, again } = minimised;
    const words = ({ outcome, oracle, detail }: SimResult): string => (outcome === "ok" ? "all went well" : `${outcome} (${oracle}): ${detail}`);
    print(`${words(failure)}\nThe same decisions again: ${words(again)}\nNo file was written: something that the seed does not govern decides as well. `
      + "Look for Math.random(), clocks, and state outside the store in the application");
    return EXIT[failure.outcome];
  }
  const { scenario, before, after, replays } = minimised;
  writeFileSync(out, `${JSON.stringify(scenario)}\n`);
  print(`${before} decisions before, ${after} after, ${replays} replays: ${out}`);
  print(`repeat: ${PROGRAM} replay ${out} --trace 60`);
  return EXIT[scenario.expect.outcome];
}
