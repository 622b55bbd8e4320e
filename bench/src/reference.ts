/** The tables of bench/README.md, out of the committed reference run: nobody types a measured figure. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { WHOLE, RESULTS } from "./benchmarks.ts";
import { describeEnvironment } from "./environment.ts";
import { sortTargets } from "./load/goals.ts";
import { markdownTable, targetTable } from "./report/render.ts";
import type { StoredResult } from "./result.ts";

export const REFERENCE: string = join(RESULTS, "reference");
const README = fileURLToPath(new URL("../README.md", import.meta.url));
const BEGIN = "<!-- figures: written by `pnpm bench reference`, do not edit -->";
const END = "<!-- end of figures -->";

/** @throws RangeError when a benchmark has no result there. */
function stored(directory: string): readonly StoredResult[] {
  return WHOLE.map(({ name }) => {
    const file = join(directory, name, "result.json");
    if (!existsSync(file)) throw new RangeError(`${file} is missing; run \`pnpm bench reference\`, or \`pnpm bench all\` and give its directory with --from`);
    return JSON.parse(readFileSync(file, "utf8")) as StoredResult;
  });
}

export function figuresOf(results: readonly StoredResult[]): string {
  const [first] = results;
  const environment = new Map(first === undefined ? [] : describeEnvironment(first.environment));
  const load = results.map(({ benchmark, environment: e }) => `${benchmark} ${e.loadBefore}`).join(", ");
  const total = Math.round(results.reduce((sum, { environment: { seconds } }) => sum + seconds, 0) / 60);
  const parts = [
    `Commit ${first?.environment.commit ?? "unknown"}; ${environment.get("Machine") ?? ""}; Node ${environment.get("Node") ?? ""}; ${first?.environment.startedAt.slice(0, 10) ?? ""}, ${total} minutes. Load average before each part: ${load}. ` +
      `Reports: ${results.map(({ benchmark }) => `[${benchmark}](results/reference/${benchmark}/report.md)`).join(", ")}.`,
  ];
  const targets = targetTable(sortTargets(results.flatMap((result) => result.targets)));
  if (targets !== undefined) parts.push(markdownTable(targets));
  for (const { checks, summary } of results) {
    if (checks.total > 0) parts.push(`${(checks.total - checks.failed.length).toLocaleString("en-US")} of ${checks.total.toLocaleString("en-US")} closed forms are met.`);
    parts.push(...summary.map(markdownTable));
  }
  return parts.join("\n\n");
}

/** Replaces what is between the markers. Returns the file written. */
export function writeReadme(directory: string = REFERENCE, file: string = README): string {
  const text = readFileSync(file, "utf8");
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new RangeError(`${file} lacks the lines "${BEGIN}" and "${END}", between which the tables go`);
  writeFileSync(file, `${text.slice(0, begin + BEGIN.length)}\n\n${figuresOf(stored(directory))}\n\n${text.slice(end)}`);
  return file;
}
