/**
 * Which program the child processes run: compiled JavaScript, as a user installs it, or the sources through tsx. The sources cost more
 * CPU (tsx wraps every closure to keep its name), so what is measured is compiled first.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

export type Program = "compiled" | "sources";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const COMPILER = `${ROOT}node_modules/typescript/bin/tsc`;
const COMPILED = fileURLToPath(new URL("../../dist/load/", import.meta.url));

/** Brings the compiled packages up to date. False when they do not compile, or there is no compiler: then sources are measured. */
export function compile(progress: (text: string) => void): boolean {
  if (!existsSync(COMPILER)) return false;
  progress("compiling");
  const { status, stdout } = spawnSync(process.execPath, [COMPILER, "-b", "bench"], { cwd: ROOT, encoding: "utf8" });
  if (status !== 0) progress(`the packages do not compile, sources are measured instead: ${stdout.slice(0, 500)}`);
  return status === 0;
}

/** Arguments for Node. `name` is a file of this directory, without extension. */
export function argumentsOf(program: Program, name: "replica-process" | "load-process", ...args: readonly string[]): readonly string[] {
  if (program === "compiled") return [...profiling(), `${COMPILED}${name}.js`, ...args];
  return [...process.execArgv, ...profiling(), fileURLToPath(new URL(`./${name}.ts`, import.meta.url)), ...args];
}

/** With NARSES_BENCH_PROFILE=<directory> every child writes a CPU profile there when it ends. */
function profiling(): readonly string[] {
  const directory = process.env["NARSES_BENCH_PROFILE"];
  return directory === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${directory}`];
}
