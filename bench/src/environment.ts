/** Where and how a run was made: without this its figures mean nothing. */
import { execFileSync } from "node:child_process";
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { backends } from "@narses/crypto";

export interface Environment {
  readonly startedAt: string;
  readonly seconds: number;
  readonly command: string;
  readonly commit: string;
  readonly node: string;
  readonly platform: string;
  readonly processor: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly signatures: string;
  /** One-minute load average before and after: what else the machine did, and we. */
  readonly loadBefore: number;
  readonly loadAfter: number;
}

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

function git(...args: readonly string[]): string {
  try {
    return execFileSync("git", ["-C", ROOT, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], env: { ...process.env, GIT_OPTIONAL_LOCKS: "0" } }).trim();
  } catch {
    return "";
  }
}

function commit(): string {
  const head = git("rev-parse", "--short=12", "HEAD");
  if (head === "") return "unknown";
  const changed = git("status", "--porcelain", "--untracked-files=no").split("\n").filter((line) => line !== "").length;
  return changed === 0 ? head : `${head} with ${changed} changed files`;
}

/** Call at the start; the function returned, at the end. */
export function observeEnvironment(command: string): () => Environment {
  const startedMs = Date.now();
  const loadBefore = loadavg()[0] ?? 0;
  const before = { commit: commit(), startedAt: new Date(startedMs).toISOString() };
  return () => ({
    startedAt: before.startedAt, seconds: Math.round((Date.now() - startedMs) / 100) / 10, command, commit: before.commit,
    node: process.version, platform: `${process.platform} ${process.arch} ${release()}`,
    processor: cpus()[0]?.model.trim() ?? "unknown", cores: availableParallelism(), memoryGiB: Math.round((totalmem() / 2 ** 30) * 10) / 10,
    signatures: backends()[0]?.name ?? "unknown",
    loadBefore: Math.round(loadBefore * 100) / 100, loadAfter: Math.round((loadavg()[0] ?? 0) * 100) / 100,
  });
}

export const describeEnvironment = (e: Environment): readonly (readonly [string, string])[] => [
  ["Command", `\`${e.command}\``],
  ["When", `${e.startedAt}, took ${e.seconds} s`],
  ["Commit", e.commit],
  ["Machine", `${e.processor}, ${e.cores} cores, ${e.memoryGiB} GiB, ${e.platform}`],
  ["Node", `${e.node}, Ed25519 by ${e.signatures}`],
  ["Load average (1 min)", `${e.loadBefore} before, ${e.loadAfter} after${e.loadBefore > 0.5 * e.cores ? ": **the machine was shared**; wall-clock figures are too high, CPU figures less so" : ""}`],
];
