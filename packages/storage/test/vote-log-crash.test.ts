/**
 * The vote log against a model, under crashes that keep any part of what was not synced, and under a disk that fails at
 * any operation: what was promised is there, in order, and nothing else ever stops the log from opening.
 */
import fc from "fast-check";
import { NarsesError, seqNum } from "@narses/core";
import { describe, expect, test } from "vitest";
import { MemoryFileSystem, openVoteLog, SEGMENT_BYTES_MIN, type SegmentedVoteLog } from "../src/index.ts";
import { hex, payload } from "./helpers.ts";

interface Entry {
  readonly id: string;
  readonly slot: number | undefined;
}

/** What the log may hold: `base`, then `entries`, of which the first `durable` are promised, the first `written` unless power fails. */
interface Version {
  readonly base: readonly string[];
  readonly entries: readonly Entry[];
  readonly durable: number;
  readonly written: number;
}

const EMPTY: Version = { base: [], entries: [], durable: 0, written: 0 };

type Step =
  | { readonly type: "append"; readonly bytes: number; readonly slot: number | undefined }
  | { readonly type: "flush" | "sync" | "close" | "kill" }
  | { readonly type: "truncate"; readonly slot: number; readonly base: readonly number[] }
  /** Power cut; the disk fails at the `fault`-th operation from here on, if not before. */
  | { readonly type: "crash"; readonly survivors: number; readonly fault: number };

const slot = fc.integer({ min: 0, max: 50 });
const bytes = fc.oneof(fc.integer({ min: 0, max: 6_000 }), fc.constant(40_000), fc.constant(600));
const append = fc.record({ type: fc.constant("append" as const), bytes, slot: fc.option(slot, { nil: undefined }) });
const plain = fc.record({ type: fc.constantFrom("flush" as const, "sync" as const, "sync" as const, "close" as const, "kill" as const) });
const base = fc.array(fc.integer({ min: 0, max: 9_000 }), { maxLength: 3 });
const truncate = fc.record({ type: fc.constant("truncate" as const), slot, base });
const survivors = fc.integer({ min: 1, max: 2 ** 31 });
const crash = fc.record({ type: fc.constant("crash" as const), survivors, fault: fc.integer({ min: 1, max: 40 }) });

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: append },
  { weight: 4, arbitrary: plain },
  { weight: 1, arbitrary: truncate },
  { weight: 2, arbitrary: crash },
);

/** A stream of coin flips from a seed. */
function coins(seed: number): () => boolean {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 16) % 2 === 0;
  };
}

const DIRECTORY = "/data/votes";

class Run {
  files = new MemoryFileSystem();
  log: SegmentedVoteLog | undefined;
  /** What the log may be found to be: the current version last; an earlier one while a truncation has not returned. */
  versions: Version[] = [EMPTY];
  ids = 0;

  get now(): Version {
    return this.versions.at(-1) ?? EMPTY;
  }

  set now(version: Version) {
    this.versions = [version];
  }

  async open(): Promise<SegmentedVoteLog> {
    this.log ??= await openVoteLog({ directory: DIRECTORY, segmentBytes: SEGMENT_BYTES_MIN, files: this.files });
    return this.log;
  }

  async do(action: Step): Promise<void> {
    if (action.type === "crash") {
      const alive = coins(action.survivors);
      let operations = 0;
      await this.reopen("durable", this.files.crash(alive, { fault: () => (++operations === action.fault ? "EIO" : undefined) }));
      return;
    }
    try {
      await this.use(action);
    } catch (error) {
      expect(error).toBeInstanceOf(NarsesError);
      expect((error as NarsesError).code).toBe("DISK_FAILED");
      await this.reopen("durable", this.files.crash(coins(++this.ids)));
    }
  }

  private async use(action: Exclude<Step, { type: "crash" }>): Promise<void> {
    const log = await this.open();
    const { base, entries } = this.now;
    if (action.type === "kill") return this.reopen("written", this.files);
    if (action.type === "append") {
      const record = payload(++this.ids, action.bytes);
      this.now = { ...this.now, entries: [...entries, { id: hex(record), slot: action.slot }] };
      log.append(record, action.slot === undefined ? undefined : seqNum(action.slot));
    } else if (action.type === "truncate") {
      const records = action.base.map((bytes) => payload(++this.ids, bytes));
      const kept = entries.filter(({ slot }) => slot !== undefined && slot > action.slot);
      this.versions = [this.now, { base: records.map(hex), entries: kept, durable: kept.length, written: kept.length }];
      log.truncate(seqNum(action.slot), records);
      this.versions = this.versions.slice(-1);
    } else if (action.type === "flush") {
      log.flush();
      this.now = { ...this.now, written: entries.length };
    } else {
      if (action.type === "sync") log.sync();
      else await log.close();
      this.now = { base, entries, durable: entries.length, written: entries.length };
      if (action.type === "close") this.log = undefined;
    }
  }

  /** After the crash the log is one of the versions, up to some record at or above what was promised. */
  private async reopen(promise: "durable" | "written", disk: MemoryFileSystem): Promise<void> {
    this.files = disk;
    this.log = undefined;
    const log = await this.open().catch(async (error: unknown) => {
      // The disk failed while recovering: a second crash, with the same promises.
      expect((error as NarsesError).code).toBe("DISK_FAILED");
      this.files = disk.crash(coins(++this.ids));
      promise = "durable";
      return this.open();
    });
    const found = log.recovered.map(hex);
    const matches = this.versions.flatMap((version) => {
      const { base, entries } = version;
      const count = found.length - base.length;
      const expected = [...base, ...entries.slice(0, count).map(({ id }) => id)];
      if (count < version[promise] || count > entries.length || expected.join() !== found.join()) return [];
      return [{ base, entries: entries.slice(0, count), durable: count, written: count }];
    });
    expect(matches.length, `recovered ${found.length} records, which is none of what the log may hold`).toBeGreaterThan(0);
    this.versions = matches.slice(-1);
  }
}

describe("vote log under crashes", () => {
  test("keeps every promise, and never mistakes a crash for damage", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
        const run = new Run();
        for (const action of steps) await run.do(action);
      }),
      { numRuns: 150, seed: 20_261_121 },
    );
  });
});
