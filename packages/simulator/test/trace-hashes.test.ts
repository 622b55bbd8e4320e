/**
 * One seed, one trace: on every Node. What the seeds below gave is written down beside this test; whoever runs it on another version of
 * Node, another machine or another day must get the same bytes. The record is of one state of the sources: when they change, so may the
 * traces, and the record is stale until it is made anew (`TRACE_HASHES_REWRITE=1 vitest run packages/simulator/test/trace-hashes.test.ts`).
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { describe, expect, test } from "vitest";
import { simulate, simulateEngine, type SimResult } from "../src/index.ts";

const RECORD = new URL("trace-hashes.json", import.meta.url);
const REWRITE = process.env["TRACE_HASHES_REWRITE"] === "1";
/** Everything that runs in a simulation. */
const PACKAGES = ["core", "crypto", "wire", "pbft", "storage", "network", "replica", "simulator"];

interface TraceRecord {
  /** Hash of the sources that the traces are of. */
  readonly sources: string;
  /** Where they were made: for the reader. */
  readonly node: string;
  /** By depth and seed: hash of the trace, and its events. */
  readonly traces: Readonly<Record<string, string>>;
}

function sourcesHash(): string {
  const hash = createHash("sha256");
  for (const name of PACKAGES) {
    const dir = new URL(`../../${name}/src/`, import.meta.url);
    const files = readdirSync(dir, { recursive: true, encoding: "utf8" }).map((file) => file.replaceAll("\\", "/")).filter((file) => file.endsWith(".ts"));
    for (const file of files.sort()) hash.update(`${name}/${file}\0${readFileSync(new URL(file, dir), "utf8").replaceAll("\r\n", "\n")}\0`);
  }
  return hash.digest("hex");
}

const entry = ({ traceHash, events, outcome }: SimResult): string => `${traceHash} ${events} events ${outcome}`;
const RUNS: readonly (readonly [string, () => Promise<string>])[] = [
  ...[1, 2, 3, 4, 5, 6, 7, 8].map((seed) => [`engine ${seed}`, async () => entry(await Promise.resolve(simulateEngine({ seed, chaosMs: 600 })))] as const),
  ...[1, 2, 3, 4].map((seed) => [`replica ${seed}`, async () => entry(await simulate({ seed, chaosMs: 300 }))] as const),
];

const sources = sourcesHash();
const held: TraceRecord | undefined = existsSync(RECORD) ? (JSON.parse(readFileSync(RECORD, "utf8")) as TraceRecord) : undefined;

describe("traces on record", () => {
  if (REWRITE) {
    test("are written down", async () => {
      const traces: Record<string, string> = {};
      for (const [name, run] of RUNS) traces[name] = await run();
      writeFileSync(RECORD, `${JSON.stringify({ sources, node: process.version, traces } satisfies TraceRecord, undefined, 2)}\n`);
      expect(new Set(Object.values(traces)).size).toBe(RUNS.length);
    });
    return;
  }

  test("are of the seeds that this test runs", () => {
    expect(Object.keys(held?.traces ?? {})).toEqual(RUNS.map(([name]) => name));
  });

  test.each(RUNS)("%s: the same bytes here", async (name, run) => {
    const here = await run();
    // Of other sources the record says nothing; then the same run again, in this process, must at least give the same.
    const expected = held?.sources === sources ? held.traces[name] : await run();
    if (held?.sources !== sources && name === RUNS[0]?.[0]) process.stderr.write(`trace-hashes.json is stale: sources changed. TRACE_HASHES_REWRITE=1 makes it anew\n`);
    expect(here).toBe(expected);
  });
});
