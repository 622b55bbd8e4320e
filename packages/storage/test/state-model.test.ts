/** The state store against a map: any mix of writes, transactions, checkpoints and restarts. */
import { join } from "node:path";
import fc from "fast-check";
import { seqNum } from "@narses/core";
import { describe, expect, test } from "vitest";
import {
  differingBuckets, firstDifferingKey, memoryStateStore, openStateStore, verifyProof, type AuthenticatedState, type MemoryState,
} from "../src/index.ts";
import { hasher, hex, temporaryDirectory, utf8 } from "./helpers.ts";

const KEYS = ["a", "b", "a/1", "a/2", "ab", "é", "\uffff", "\u{1f600}", ...Array.from({ length: 20 }, (_, i) => `n/${i}`)];

const PLAIN = ["begin", "commit", "rollback", "root", "checkpoint", "await", "restart", "keys"] as const;

type Step =
  | { readonly type: "put"; readonly key: string; readonly value: Uint8Array }
  | { readonly type: "delete"; readonly key: string }
  | { readonly type: (typeof PLAIN)[number] };

const put = fc.record({ type: fc.constant("put" as const), key: fc.constantFrom(...KEYS), value: fc.uint8Array({ maxLength: 40 }) });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: put },
  { weight: 4, arbitrary: fc.record({ type: fc.constant("delete" as const), key: fc.constantFrom(...KEYS) }) },
  { weight: 8, arbitrary: fc.record({ type: fc.constantFrom(...PLAIN) }) },
);

type Content = ReadonlyMap<string, string>;

class Run {
  now = new Map<string, string>();
  before: Content | undefined;
  /** Content of each checkpoint by slot; 0 is the empty state. */
  readonly frozen = new Map<number, Content>([[0, new Map()]]);
  pending: Promise<unknown>[] = [];
  seq = 0;
  state: AuthenticatedState;
  readonly restart: (state: AuthenticatedState) => Promise<AuthenticatedState>;
  constructor(state: AuthenticatedState, restart: (state: AuthenticatedState) => Promise<AuthenticatedState>) {
    this.state = state;
    this.restart = restart;
  }

  async do(action: Step): Promise<void> {
    const { state } = this;
    if (action.type === "put") {
      state.put(action.key, action.value);
      this.now.set(action.key, hex(action.value));
    } else if (action.type === "delete") {
      state.delete(action.key);
      this.now.delete(action.key);
    } else if (action.type === "begin" && this.before === undefined) {
      state.begin();
      this.before = new Map(this.now);
    } else if (action.type === "commit" && this.before !== undefined) {
      state.commit();
      this.before = undefined;
    } else if (action.type === "rollback" && this.before !== undefined) {
      state.rollback();
      this.now = new Map(this.before);
      this.before = undefined;
    } else if (action.type === "keys") {
      const sorted = [...this.now.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      for (const prefix of ["", "a", "n/1", "\uffff"]) {
        const expected = sorted.filter((key) => key.startsWith(prefix));
        expect(await state.keys(prefix, 5)).toEqual(expected.slice(0, 5));
        expect(await state.keys(prefix, 1_000)).toEqual(expected);
      }
    } else if (action.type === "await") {
      await Promise.all(this.pending.splice(0));
    } else if (action.type === "restart") {
      await this.end();
    } else if (this.before === undefined) {
      await this.outside(action.type);
    }
  }

  private async outside(type: string): Promise<void> {
    if (type === "root") await this.check();
    if (type === "checkpoint" && this.pending.length < 5) {
      this.seq++;
      this.frozen.set(this.seq, new Map(this.now));
      this.pending.push(this.state.checkpoint(seqNum(this.seq)));
    }
  }

  /** Ends with whatever is under way, and begins with what was durable. */
  private async end(): Promise<void> {
    const atLeast = this.state.durableSeq;
    this.state = await this.restart(this.state);
    await Promise.all(this.pending.splice(0));
    const { durableSeq } = this.state;
    expect(durableSeq).toBeGreaterThanOrEqual(atLeast);
    this.now = new Map(this.frozen.get(durableSeq));
    this.seq = durableSeq;
    this.before = undefined;
    await this.check();
  }

  /** The same content put into an empty store, in order, has the same root; every key reads and proves as it should. */
  async check(): Promise<void> {
    const other = await memoryStateStore({ hasher, bucketBits: this.state.bucketBits });
    for (const [key, value] of [...this.now].sort()) other.put(key, Uint8Array.from(Buffer.from(value, "hex")));
    const root = this.state.root();
    expect(root).toBe(other.root());
    for (const key of KEYS) {
      const expected = this.now.get(key);
      const value = this.state.get(key);
      expect(value === undefined ? undefined : hex(value)).toBe(expected);
      expect(verifyProof(hasher, root, key, this.state.prove(key))).toEqual({ ok: true, value });
    }
  }
}

describe("state store against a model", () => {
  test("in memory", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), fc.constantFrom(4, 5, 8), async (steps, bucketBits) => {
        const run = new Run(await memoryStateStore({ hasher, bucketBits, cacheBytes: 1_500 }), (state) => (state as MemoryState).reopen());
        for (const action of steps) await run.do(action);
      }),
      { numRuns: 300, seed: 20_261_122 },
    );
  });

  test("in LevelDB, with hardly any cache", async () => {
    const root = temporaryDirectory();
    let stores = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const options = { directory: join(root, `${++stores}`), hasher, bucketBits: 5, cacheBytes: 0 };
        const run = new Run(await openStateStore(options), async (state) => {
          await state.close();
          return openStateStore(options);
        });
        for (const action of steps) await run.do(action);
        await run.state.close();
      }),
      { numRuns: 30, seed: 20_261_123 },
    );
  });

  test("where two states differ is found from their trees alone", async () => {
    const keys = Array.from({ length: 300 }, (_, i) => `key ${i}`);
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.constantFrom(...keys), { maxLength: 5 }), async (changed) => {
        const [a, b] = await Promise.all([0, 1].map(async (side) => {
          const state = await memoryStateStore({ hasher, bucketBits: 9 });
          for (const key of keys) state.put(key, utf8(side === 1 && changed.includes(key) ? "changed" : "same"));
          await state.checkpoint(seqNum(1));
          return state.checkpoints[0];
        }));
        if (a === undefined || b === undefined) throw new TypeError("no checkpoint");
        const buckets = differingBuckets(a.nodes, b.nodes, 100);
        const bucketOf = (key: string): number => Number.parseInt(hex(hasher.sha256(utf8(key)).slice(0, 2)), 16) >>> 8;
        expect(buckets).toEqual([...new Set(changed.map(bucketOf))].sort((x, y) => x - y));
        expect(differingBuckets(a.nodes, b.nodes, 1)).toEqual(buckets.slice(0, 1));
        for (const bucket of buckets) {
          const found = firstDifferingKey(bucket, await a.page(bucket), await b.page(bucket));
          expect(changed).toContain(found);
          expect(firstDifferingKey(bucket, await a.page(bucket), await a.page(bucket))).toBeUndefined();
        }
      }),
      { numRuns: 10, seed: 20_261_124 },
    );
  });
});
