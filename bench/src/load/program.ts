/**
 * Which program the child processes run: one bundled file each, as a daemon is shipped; the compiled packages, as a library is installed;
 * or the sources through tsx. What is measured is bundled; the start of the others is shown beside it.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

export type Program = "bundled" | "compiled" | "sources";

const NAMES = ["replica-process", "load-process"] as const;

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const COMPILER = `${ROOT}node_modules/typescript/bin/tsc`;
const BUNDLED = fileURLToPath(new URL("../../dist/bundle/", import.meta.url));
const COMPILED = fileURLToPath(new URL("../../dist/load/", import.meta.url));

/** Bundled; the sources through tsx when there is no bundler, which costs more CPU (tsx wraps every closure to keep its name). */
export async function prepare(progress: (text: string) => void): Promise<Program> {
  try {
    const { bundle } = await import("./bundle.ts");
    await bundle(NAMES);
    return "bundled";
  } catch (error) {
    progress(`there is no bundle, the sources are measured through tsx instead: ${error instanceof Error ? error.message.slice(0, 500) : String(error)}`);
    return "sources";
  }
}

/** The programs whose start can be compared, the one that is measured first. */
export function startable(measured: Program, progress: (text: string) => void): readonly Program[] {
  if (measured === "sources") return ["sources"];
  return compile(progress) ? ["bundled", "compiled", "sources"] : ["bundled", "sources"];
}

function compile(progress: (text: string) => void): boolean {
  if (!existsSync(COMPILER)) return false;
  progress("compiling the packages, to start them as they are installed");
  const { status, stdout } = spawnSync(process.execPath, [COMPILER, "-b", "bench"], { cwd: ROOT, encoding: "utf8" });
  if (status !== 0) progress(`  the packages do not compile: ${stdout.slice(0, 500)}`);
  return status === 0;
}

/** Arguments for Node. `name` is a file of this directory, without extension. */
export function argumentsOf(program: Program, name: (typeof NAMES)[number], ...args: readonly string[]): readonly string[] {
  if (program === "bundled") return [...profiling(), `${BUNDLED}${name}.mjs`, ...args];
  if (program === "compiled") return [...profiling(), `${COMPILED}${name}.js`, ...args];
  return [...process.execArgv, ...profiling(), fileURLToPath(new URL(`./${name}.ts`, import.meta.url)), ...args];
}

/** With NARSES_BENCH_PROFILE=<directory> every child writes a CPU profile there when it ends. */
function profiling(): readonly string[] {
  const directory = process.env["NARSES_BENCH_PROFILE"];
  return directory === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${directory}`];
}
