/** Each benchmark runs, meets its closed forms, and writes a report. No time is asserted: that is what the benchmarks are for. */
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execFile } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compare } from "../src/compare.ts";
import { Checks, type BenchResult } from "../src/result.ts";
import { normal } from "../src/complexity/scenarios.ts";
import { normalCase, pathHashes, shapeOf } from "../src/theory.ts";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
let directory = "";

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "narses-bench-smoke-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

type Stored = Omit<BenchResult, "checks"> & { readonly checks: { readonly total: number; readonly failed: readonly unknown[] } };

async function run(name: string, inReport: readonly string[] = ["<svg", "| n |"]): Promise<Stored> {
  const out = join(directory, name);
  await new Promise<void>((resolve, reject) => {
    execFile(process.execPath, ["--import", "tsx", "--conditions=@narses/source", MAIN, name, "--tiny", "--out", out], { cwd: ROOT }, (error, _, stderr) =>
      error === null ? resolve() : reject(new RangeError(stderr)));
  });
  const report = readFileSync(join(out, "report.html"), "utf8") + readFileSync(join(out, "report.md"), "utf8");
  for (const text of inReport) expect(report).toContain(text);
  return JSON.parse(readFileSync(join(out, "result.json"), "utf8")) as Stored;
}

describe("benchmarks", () => {
  test("complexity meets every closed form, in memory and over sockets", async () => {
    const result = await run("complexity");
    expect(result.checks.failed).toEqual([]);
    expect(result.checks.total).toBeGreaterThan(200);
    expect(result.metrics["sockets n=4 messages"]?.value).toBeCloseTo(24, 0);
    expect(statSync(join(directory, "complexity", "messages.png")).size).toBeGreaterThan(10_000);
  });

  test("throughput measures a cluster of processes", async () => {
    const { metrics } = await run("throughput");
    expect(metrics["n=4 bundle=10 payload=128 throughput"]?.value).toBeGreaterThan(0);
    expect(metrics["n=4 bundle=10 payload=128 CPU"]?.value).toBeGreaterThan(0);
    expect(metrics["n=4 bundle=10 payload=128, one crashed, not durable throughput"]?.value).toBeGreaterThan(0);
  }, 120_000);

  test("targets fills every row it can, and says what it cannot", async () => {
    const { targets } = await run("targets", []);
    expect(targets.map(({ name, met }) => [name, met === undefined])).toEqual([
      ["every operation signed alone, many clients", false],
      ["bundles of 100", false],
      ["bundles of 100", false],
      ["memory of the largest replica after 1,000,000 operations", false],
      ["one client, one operation at a time, p50", false],
      ["one client, one operation at a time, p99", false],
      ["kill -9 of the primary under load, longest pause of all runs", true],
      ["four processes to the first committed operation, median", false],
    ]);
  }, 240_000);

  test("latency measures one operation at a time", async () => {
    const out = join(directory, "latency");
    await new Promise<void>((resolve, reject) => {
      execFile(process.execPath, ["--import", "tsx", "--conditions=@narses/source", MAIN, "latency", "--tiny", "--out", out], { cwd: ROOT }, (error, _, stderr) =>
        error === null ? resolve() : reject(new RangeError(stderr)));
    });
    const { metrics } = JSON.parse(readFileSync(join(out, "result.json"), "utf8")) as Stored;
    expect(metrics["one at a time n=4 payload=128 p50"]?.value).toBeGreaterThan(0);
  });

  test("compare finds nothing between a run and itself, and refuses different benchmarks", () => {
    const a = join(directory, "complexity");
    expect(compare(a, a, 5)).not.toContain("better");
    expect(() => compare(a, join(directory, "throughput"), 5)).toThrow(/of complexity/);
  });
});

describe("theory", () => {
  test("a wrong closed form is noticed", () => {
    const checks = new Checks();
    checks.equal("off by one message", normal(4, new Checks()).messages, normalCase(4, shapeOf(1, 1, { payloadBytes: 128, resultBytes: 2 })).replicas.messages + 1);
    expect(checks.failed).toHaveLength(1);
  });

  test("the published figures: 2n(n−1) messages, 2n signatures", () => {
    const of = (n: number): ReturnType<typeof normalCase> => normalCase(n, shapeOf(1, 1, { payloadBytes: 0, resultBytes: 0 }));
    expect([4, 7, 10, 31, 100].map((n) => of(n).replicas.messages)).toEqual([24, 84, 180, 1_860, 19_800]);
    expect([4, 7, 10].map((n) => of(n).replicas.made)).toEqual([8, 14, 20]);
    expect([1, 2, 3, 4, 5].map(pathHashes)).toEqual([0, 2, 5, 8, 13]);
  });
});
