/** Each benchmark runs, meets its closed forms, and writes a report. No time is asserted: that is what the benchmarks are for. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compare } from "../src/compare.ts";
import { normal } from "../src/complexity/scenarios.ts";
import { field, fields } from "../src/load/grpc.ts";
import { writeReadme } from "../src/reference.ts";
import { Checks, type StoredResult } from "../src/result.ts";
import { normalCase, pathHashes, shapeOf } from "../src/theory.ts";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MARKERS = ["<!-- figures: written by `pnpm bench reference`, do not edit -->", "<!-- end of figures -->"] as const;
let directory = "";

/** What a user types, and the reports it leaves: every benchmark once, each in a few seconds. */
function bench(...args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, ["--import", "tsx", "--conditions=@narses/source", MAIN, ...args], { cwd: ROOT }, (error, _, stderr) => (error === null ? resolve() : reject(new RangeError(stderr))));
  });
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "narses-bench-smoke-"));
  await bench("all", "--tiny", "--out", directory);
  await bench("targets", "--tiny", "--out", join(directory, "targets"));
}, 240_000);
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const stored = (name: string): StoredResult => JSON.parse(readFileSync(join(directory, name, "result.json"), "utf8")) as StoredResult;
const report = (name: string): string => readFileSync(join(directory, name, "report.html"), "utf8") + readFileSync(join(directory, name, "report.md"), "utf8");

describe("benchmarks", () => {
  test("complexity meets every closed form, in memory and over sockets", () => {
    const result = stored("complexity");
    expect(result.checks.failed).toEqual([]);
    expect(result.checks.total).toBeGreaterThan(200);
    expect(result.metrics["sockets n=4 messages"]?.value).toBeCloseTo(24, 0);
    expect(report("complexity")).toContain("<svg");
    expect(statSync(join(directory, "complexity", "messages.png")).size).toBeGreaterThan(10_000);
  });

  test("throughput measures a cluster of processes, and says of etcd what it is or why it is not there", () => {
    const { metrics } = stored("throughput");
    expect(metrics["n=4 bundle=10 payload=128 throughput"]?.value).toBeGreaterThan(0);
    expect(metrics["n=4 bundle=10 payload=128 CPU"]?.value).toBeGreaterThan(0);
    expect(metrics["n=4 bundle=10 payload=128, one crashed, not durable throughput"]?.value).toBeGreaterThan(0);
    expect(report("throughput")).toMatch(/\| etcd, transactions of 10 puts, 48 in flight \| \d|`etcd` is not on PATH/);
  });

  test("latency measures one operation at a time", () => {
    expect(stored("latency").metrics["one at a time n=4 payload=128 p50"]?.value).toBeGreaterThan(0);
  });

  test("targets fills every row it can, and says what it cannot", () => {
    expect(stored("targets").targets.map(({ name, met }) => [name, met === undefined])).toEqual([
      ["every operation signed alone, many clients", false],
      ["bundles of 100", false],
      ["bundles of 100", false],
      ["one client, one operation at a time, p50", false],
      ["one client, one operation at a time, p99", false],
      ["kill -9 of the primary under load, longest pause of all runs", true],
      ["memory of the largest replica after 1,000,000 operations", false],
      ["four processes to the first committed operation, median", false],
    ]);
  });

  test("compare finds nothing between a run and itself, and refuses different benchmarks", () => {
    const a = join(directory, "complexity");
    expect(compare(a, a, 5)).not.toMatch(/better|Not of one kind/);
    const result = stored("complexity");
    const other = join(directory, "other.json");
    writeFileSync(other, JSON.stringify({ ...result, environment: { ...result.environment, command: "pnpm bench complexity", node: "v0" } }));
    expect(compare(a, other, 5)).toMatch(/\*\*Not of one kind: the commands .*, the versions of Node differ\.\*\*/);
    expect(() => compare(a, join(directory, "throughput"), 5)).toThrow(/of complexity/);
  });

  test("the tables of the README come from the results, between its markers, and nothing else changes", () => {
    const file = join(directory, "README.md");
    const around = (figures: string): string => `before\n${MARKERS[0]}${figures}${MARKERS[1]}\nafter\n`;
    writeFileSync(file, around("\nold figures\n"));
    writeReadme(directory, file);
    const text = readFileSync(file, "utf8");
    expect(text.startsWith(`before\n${MARKERS[0]}`) && text.endsWith(`${MARKERS[1]}\nafter\n`)).toBe(true);
    expect(text).not.toContain("old figures");
    expect(text).toMatch(/\| 4 \| .*bundles of 10 \|/);
    expect(text).toContain("closed forms are met");
    writeFileSync(file, "no markers");
    expect(() => writeReadme(directory, file)).toThrow(/lacks the lines/);
    for (const marker of MARKERS) expect(readFileSync(join(ROOT, "bench/README.md"), "utf8")).toContain(marker);
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

describe("protobuf", () => {
  test("fields are read as they are written, and a cut message is refused", () => {
    const inner = field(2, new Uint8Array(300).fill(7));
    const message = Buffer.concat([field(1, inner), Uint8Array.of(4 * 8, 0xac, 0x02)]);
    const read = fields(message);
    expect(read.get(4)).toBe(300n);
    expect(fields(read.get(1) as Uint8Array).get(2)).toEqual(inner.subarray(inner.length - 300));
    expect(() => fields(Uint8Array.of(4 * 8, 0xac))).toThrow(/ends in the middle/);
  });
});
