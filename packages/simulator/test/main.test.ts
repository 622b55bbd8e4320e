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

  test("a bad seed: the failure, its trace with a legend, and an exit code that says safety", () => {
    const run = (seed: number): ReturnType<typeof sim> => sim(String(seed), "--n", "4", "--byzantine", "2", "--faults", "byzantine", "--policies", "equivocate");
    // The first of them that fails: a process each.
    let found: ReturnType<typeof sim> | undefined;
    for (let seed = 0; seed <= 5 && found?.status !== 2; seed++) found = run(seed);
    expect(found?.status).toBe(2);
    expect(found?.lines.some((line) => /^safety \(/.test(line))).toBe(true);
    expect(found?.lines.join("\n")).toContain("v view, n sequence number");
  });

  test("many seeds on workers: failures with their repeat commands, a summary, the worst exit code", () => {
    const { status, lines } = sim("1", "--seeds", "6", "--n", "4", "--byzantine", "2", "--faults", "byzantine", "--policies", "equivocate");
    expect([1, 2]).toContain(status);
    expect(lines.some((line) => /^seeds +6, [1-6] failed$/.test(line))).toBe(true);
    expect(lines.at(-1)).toMatch(/^6 seeds, [1-6] failed, \d+ events, [\d.]+ ms of CPU per 1,000 events, \d+ s$/);
  });

  test("wrong usage says what would be right; exit code 64", () => {
    const { status, lines } = sim("--faults", "gremlins");
    expect(status).toBe(64);
    expect(lines[0]).toContain("--faults must be one of none, crash, network, disk, clock, byzantine, all, got gremlins");
    expect(lines[1]).toBe("(pnpm sim --help says what there is)");
    expect(sim("replay", "not-there.json")).toEqual({ status: 64, lines: ["ENOENT: no such file or directory, open 'not-there.json': give another path"] });
  });

  test("help shows the options of a run, examples and the exit codes", () => {
    const { status, lines } = sim("--help");
    expect(status).toBe(0);
    const help = lines.join("\n");
    for (const part of ["--faults <kind>", "pnpm sim --app ./my-app.ts --seed 42 --faults byzantine", "   3  liveness", "  64  wrong usage"]) expect(help).toContain(part);
  });
});
