/** Two results side by side: counts must agree, CPU should, wall-clock times only on the same quiet machine. */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describeEnvironment, type Environment } from "./environment.ts";
import { figure, type Metric, type StoredResult } from "./result.ts";

function load(path: string): StoredResult {
  const file = statSync(path).isDirectory() ? join(path, "result.json") : path;
  const result = JSON.parse(readFileSync(file, "utf8")) as StoredResult;
  if (result.version !== 1) throw new RangeError(`${file} is no result of version 1`);
  return result;
}

/** In percent of `a`; positive is more. Infinity when something came of nothing. */
const change = (a: number, b: number): number => (a === b ? 0 : a === 0 ? Number.POSITIVE_INFINITY : (100 * (b - a)) / a);

function line(name: string, a: Metric, b: Metric): string {
  const percent = change(a.value, b.value);
  const better = percent === 0 ? "" : percent < 0 === (b.better === "lower") ? "better" : "worse";
  return `| ${name} | ${figure(a.value)} | ${figure(b.value)} | ${b.unit} | ${percent > 0 ? "+" : ""}${Number.isFinite(percent) ? percent.toFixed(1) : "∞"} % | ${better} |`;
}

/** What makes two runs different before any figure is looked at; undefined when nothing does. */
function caution(a: Environment, b: Environment): string | undefined {
  const differing = [
    ...(a.command === b.command ? [] : ["the commands (a shorter run is less warm: its CPU per operation is higher)"]),
    ...(a.processor === b.processor && a.cores === b.cores && a.platform === b.platform ? [] : ["the machines"]),
    ...(a.node === b.node ? [] : ["the versions of Node"]), ...(a.signatures === b.signatures ? [] : ["the implementations of Ed25519"]),
  ];
  return differing.length === 0 ? undefined : `**Not of one kind: ${differing.join(", ")} differ.** Only counts can be compared then.`;
}

/** As Markdown. @throws RangeError when the files are no results, or of different benchmarks. */
export function compare(pathA: string, pathB: string, thresholdPercent: number): string {
  const [a, b] = [load(pathA), load(pathB)];
  if (a.benchmark !== b.benchmark) throw new RangeError(`${pathA} is of ${a.benchmark}, ${pathB} of ${b.benchmark}: nothing to compare`);
  const names = Object.keys(a.metrics).filter((name) => name in b.metrics);
  const out = [`# ${b.title}: A against B`, ""];
  const environments = [describeEnvironment(a.environment), describeEnvironment(b.environment)] as const;
  environments[0].forEach(([name, value], i) => out.push(`- ${name}: A ${value}; B ${environments[1][i]?.[1] ?? "–"}`));
  const warning = caution(a.environment, b.environment);
  if (warning !== undefined) out.push("", warning);
  for (const kind of ["count", "cpu", "memory", "time"] as const) {
    const rows = names.flatMap((name) => {
      const [metricA, metricB] = [a.metrics[name], b.metrics[name]];
      return metricA?.kind === kind && metricB !== undefined ? [{ name, metricA, metricB }] : [];
    });
    if (rows.length === 0) continue;
    const shown = rows.filter(({ metricA, metricB }) => Math.abs(change(metricA.value, metricB.value)) >= thresholdPercent);
    const travels = kind === "time" ? ": compare only runs on the same quiet machine" : "";
    out.push("", `## ${kind}${travels}`, "", `${rows.length - shown.length} of ${rows.length} figures differ by less than ${thresholdPercent} %.`);
    if (shown.length > 0) out.push("", "| figure | A | B | unit | change | |", "| --- | ---: | ---: | --- | ---: | --- |", ...shown.map(({ name, metricA, metricB }) => line(name, metricA, metricB)));
  }
  const missing = [...Object.keys(a.metrics).filter((name) => !(name in b.metrics)), ...Object.keys(b.metrics).filter((name) => !(name in a.metrics))];
  if (missing.length > 0) out.push("", `Only in one of them: ${missing.length} figures, ${missing.slice(0, 5).join("; ")}${missing.length > 5 ? " …" : ""}`);
  return `${out.join("\n")}\n`;
}
