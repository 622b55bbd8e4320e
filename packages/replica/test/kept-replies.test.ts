/** Results kept in the state for bundles that come again: bundles of a client that follow one another share a record. */
import { seqNum, type Batch, type Bundle, type CommitCertificate, type StateMachine, type StateStore } from "@narses/core";
import { hasher } from "@narses/crypto";
import { memoryStateStore } from "@narses/storage";
import { blockHash, decodeResult } from "@narses/wire";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createExecutor, type ExecutedSlot, type Head } from "../src/executor.ts";
import { genesisHeader } from "../src/genesis.ts";
import { apply, clientKey, testCluster } from "./support/cluster.ts";
import { FakeState, recordingLogger } from "./support/fakes.ts";

const tools = testCluster(4, { parameters: { sessionWindow: 256 } });
/** Tells how often it ran, so that no two executions answer alike; "x" fills the state where the test says so. */
const app: StateMachine = {
  apply(op, { store }) {
    if (op === "x") store.put("x", 1);
    const runs = ((store.get("runs") as number | undefined) ?? 0) + 1;
    store.put("runs", runs);
    return runs;
  },
};

function rig(state: StateStore): { run: (...bundles: readonly Bundle[]) => ExecutedSlot; restart: () => void; head: () => Head } {
  const header = genesisHeader(state.root());
  const make = (head: Head): ReturnType<typeof createExecutor> =>
    createExecutor({ state, app, hasher, logger: recordingLogger(), parameters: tools.cluster.parameters, head });
  let executor = make({ header, hash: blockHash(hasher, header) });
  return {
    run: (...bundles) => executor.execute(seqNum(executor.head.header.seq + 1), tools.batch(bundles) satisfies Batch, {} as CommitCertificate),
    restart: () => void (executor = make(executor.head)),
    head: () => executor.head,
  };
}

const answers = (slot: ExecutedSlot): readonly unknown[] => slot.bundles.map(({ results }) => results.map((bytes) => {
  const decoded = decodeResult(bytes);
  if (!decoded.ok) throw new TypeError(decoded.rejection.detail);
  return decoded.value.status === "ok" ? decoded.value.value : decoded.value.code;
}));

const bundle = (ridFirst: number, ackLow = 0, operation = "a"): Bundle => tools.bundle([apply(operation)], { ridFirst, ackLow });
const records = (state: FakeState): readonly string[] => [...state.entries.keys()].filter((key) => key.startsWith("r/")).map((key) => key.slice(key.lastIndexOf("/") + 1));

test("one record for bundles that follow one another, in any number of slots; each is answered with its own results", () => {
  const state = new FakeState();
  const { run } = rig(state);
  const [first, second, third, fourth] = [1, 2, 3, 4].map((ridFirst) => bundle(ridFirst)) as [Bundle, Bundle, Bundle, Bundle];
  run(first, second);
  run(third);
  expect(records(state)).toEqual(["1"]);
  const again = run(third, first, second, fourth);
  expect(answers(again)).toEqual([[3], [1], [2], [4]]);
  expect(again.bundles.map(({ repeated }) => repeated)).toEqual([true, true, true, false]);
  // As long as one of them is not acknowledged, all are answered.
  run(bundle(5, 3));
  expect(answers(run(first))).toEqual([[1]]);
  run(bundle(6, 5));
  expect(records(state)).toEqual(["6"]);
  expect(answers(run(first))).toEqual([["ALREADY_EXECUTED"]]);
});

test("a record is full at some size: the next bundle begins another", () => {
  const state = new FakeState();
  const { run } = rig(state);
  const bundles = Array.from({ length: 60 }, (_, i) => bundle(i + 1));
  run(...bundles);
  expect(records(state).length).toBeGreaterThan(1);
  expect(Math.max(...[...state.entries].filter(([key]) => key.startsWith("r/")).map(([, { length }]) => length))).toBeLessThanOrEqual(2_048);
  expect(answers(run(...bundles))).toEqual(bundles.map((_, i) => [i + 1]));
});

test("a bundle that is undone for want of room, behind others in their record, takes nothing from them", () => {
  const state = new FakeState();
  const { run } = rig(state);
  const [first, second, third] = [bundle(1), bundle(2, 0, "x"), bundle(3)] as const;
  state.full = "a/x";
  expect(answers(run(first, second, third))).toEqual([[1], ["STATE_FULL"], [2]]);
  state.full = undefined;
  expect(answers(run(second, third, first))).toEqual([["STATE_FULL"], [2], [1]]);
});

test("no room for the record: the bundle is executed all the same, and those before it are still answered", () => {
  const state = new FakeState();
  const { run } = rig(state);
  run(bundle(1));
  state.full = "r/";
  expect(answers(run(bundle(2)))).toEqual([[2]]);
  state.full = undefined;
  expect(answers(run(bundle(1), bundle(2), bundle(3)))).toEqual([[1], ["ALREADY_EXECUTED"], [3]]);
});

test("whatever comes in whatever order: nothing runs twice, what is kept is what was answered, and a replica that restarts has the same state", async () => {
  const step = fc.record({ ridFirst: fc.integer({ min: 1, max: 30 }), count: fc.integer({ min: 1, max: 3 }), ack: fc.integer({ min: 0, max: 8 }), client: fc.constantFrom("a", "b") });
  await fc.assert(fc.asyncProperty(fc.array(fc.array(step, { minLength: 1, maxLength: 8 }), { maxLength: 8 }), async (slots) => {
    const [one, other] = [rig(await memoryStateStore({ hasher, bucketBits: 5 })), rig(await memoryStateStore({ hasher, bucketBits: 5 }))];
    const first = new Map<string, unknown>();
    const seen = new Set<unknown>();
    for (const steps of slots) {
      const bundles = steps.map(({ ridFirst, count, ack, client }) =>
        tools.bundle(Array.from({ length: count }, () => apply("a")), { key: clientKey(client), ridFirst, ackLow: Math.max(0, ridFirst - 1 - ack) }));
      const slot = one.run(...bundles);
      other.restart();
      other.run(...bundles);
      expect(other.head()).toEqual(one.head());
      for (const [i, results] of answers(slot).entries()) {
        for (const [j, value] of (results as readonly unknown[]).entries()) {
          const id = `${bundles[i]?.digest ?? ""} ${j}`;
          if (typeof value !== "number") continue;
          if (first.has(id)) expect(value).toBe(first.get(id));
          else expect(seen.has(value)).toBe(false);
          first.set(id, value);
          seen.add(value);
        }
      }
    }
  }), { numRuns: 60 });
});
