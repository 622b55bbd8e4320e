/** The command line: options first, the repeat command last, the exit code names the class of failure. */
import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";

const root = new URL("../../..", import.meta.url).pathname;
const sim = (...args: readonly string[]): { readonly status: number | null; readonly lines: readonly string[] } => {
  const { status, stdout } = spawnSync(process.execPath, ["--import", "tsx", "--conditions=@narses/source", "packages/simulator/src/main.ts", ...args], { cwd: root, encoding: "utf8" });
  return { status, lines: stdout.trim().split("\n") };
};

describe("pnpm sim", () => {
  test("a good seed: what it ran, what happened, how to repeat it; exit code 0", () => {
    const { status, lines } = sim("5", "--faults", "crash", "--n", "4", "--chaos", "300");
    expect(status).toBe(0);
    expect(lines[0]).toMatch(/^seed 5: n = 4, f = 1, faults crash/);
    expect(lines.some((line) => line.startsWith("ok "))).toBe(true);
    expect(lines.at(-1)).toBe("repeat: pnpm sim 5 --faults crash --n 4 --chaos 300 --trace 60");
  });

  test("more than f liars: the failure, its trace with a legend, and an exit code that is not 0", () => {
    const { status, lines } = sim("1", "--seeds", "6", "--n", "4", "--byzantine", "2", "--faults", "byzantine", "--policies", "equivocate");
    expect([1, 2]).toContain(status);
    expect(lines.some((line) => /^safety \(agreement\)/.test(line))).toBe(true);
    expect(lines.join("\n")).toContain("v view, n sequence number");
    expect(lines.at(-1)).toMatch(/^6 seeds, [1-6] failed, \d+ events, [\d.]+ ms per 1,000 events$/);
  });

  test("wrong usage says what would be right; exit code 64", () => {
    const { status, lines } = sim("--faults", "gremlins");
    expect(status).toBe(64);
    expect(lines[0]).toBe("--faults must be one of none, crash, network, byzantine, all, got gremlins");
    expect(lines[1]).toContain("usage: pnpm sim");
  });
});
