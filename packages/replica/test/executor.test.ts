import {
  AppRejection, fromHex, InvariantViolation, NULL_DIGEST, seqNum, sessionNumber,
  type Batch, type CommitCertificate, type Operation, type StateMachine,
} from "@narses/core";
import { hasher, merkleRoot, merkleVerify } from "@narses/crypto";
import { blockHash, decodeResult, resultLeaf, type OperationResult } from "@narses/wire";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createExecutor, digestOf, type ExecutedSlot, type Executor, type Head } from "../src/executor.ts";
import { genesisHeader } from "../src/genesis.ts";
import { RESULT_BYTES_MAX } from "../src/limits.ts";
import { apply, clientKey, query, testCluster } from "./support/cluster.ts";
import { FakeState, recordingLogger } from "./support/fakes.ts";

const tools = testCluster(4, { parameters: { sessionWindow: 256 } });

interface Op {
  readonly add?: number;
  readonly do?: string;
}

/** Adds, and misbehaves on demand. */
const counter: StateMachine<Op, unknown, string, unknown> = {
  apply(op, { store, time, seq, rid, client, publicKey }) {
    const total = ((store.get("total") as number | undefined) ?? 0) + (op.add ?? 0);
    store.put("total", total);
    switch (op.do) {
      case "reject":
        throw new AppRejection("NO_FUNDS", "not enough", { total });
      case "throw":
        throw new TypeError(`at ${process.version}`);
      case "throw nothing":
        throw Object.create(null);
      case "promise":
        return Promise.resolve(1);
      case "keep":
        kept = store;
        return null;
      case "large":
        return "x".repeat(RESULT_BYTES_MAX + 1);
      case "bad value":
        return { when: new Date(0) };
      case "context":
        publicKey.fill(0);
        return { time, seq, rid, client };
      default:
        return total;
    }
  },
  query(question, { store }) {
    if (question === "write") (store as unknown as { put(key: string, value: unknown): void }).put("total", 0);
    return store.get(question) ?? "none";
  },
};
let kept: unknown;

const certificate = {} as CommitCertificate;

function setUp(app: StateMachine = counter as StateMachine): { state: FakeState; executor: Executor; logger: ReturnType<typeof recordingLogger>; run: (batch?: Batch) => ExecutedSlot } {
  const state = new FakeState();
  const logger = recordingLogger();
  const header = genesisHeader(state.root());
  const head: Head = { header, hash: blockHash(hasher, header) };
  const executor = createExecutor({ state, app, hasher, logger, parameters: tools.cluster.parameters, head });
  const run = (batch?: Batch): ExecutedSlot => executor.execute(seqNum(executor.head.header.seq + 1), batch, certificate);
  return { state, executor, logger, run };
}

const results = (slot: ExecutedSlot, bundle = 0): OperationResult[] =>
  (slot.bundles[bundle]?.results ?? []).map((bytes) => {
    const decoded = decodeResult(bytes);
    if (!decoded.ok) throw new TypeError(decoded.rejection.detail);
    return decoded.value;
  });

const values = (slot: ExecutedSlot, bundle = 0): unknown[] => results(slot, bundle).map((r) => (r.status === "ok" ? r.value : r.code));
const add = (...amounts: number[]): Operation[] => amounts.map((amount) => apply({ add: amount }));
const one = (...operations: Operation[]): Batch => tools.batch([tools.bundle(operations)]);

describe("exactly once", () => {
  test("a bundle ordered again gives the cached results and changes nothing", () => {
    const { run, state } = setUp();
    const batch = one(...add(1, 2, 3));
    expect(values(run(batch))).toEqual([1, 3, 6]);
    const before = state.root();
    state.puts = [];
    const again = run(tools.batch(batch.bundles, 2_000));
    expect(values(again)).toEqual([1, 3, 6]);
    expect(again.bundles[0]?.repeated).toBe(true);
    expect(state.puts).toEqual([]);
    expect(state.root()).toBe(before);
  });

  test("twice in one batch: executed in the first place, cached in the second", () => {
    const { run } = setUp();
    const bundle = tools.bundle(add(5));
    const slot = run(tools.batch([bundle, bundle]));
    expect([values(slot, 0), values(slot, 1)]).toEqual([[5], [5]]);
    expect(slot.bundles.map(({ repeated }) => repeated)).toEqual([false, true]);
  });

  test("a request id used for another operation is not executed, and does not show the first one's result", () => {
    const { run } = setUp();
    expect(values(run(one(...add(1))))).toEqual([1]);
    const slot = run(one(...add(1_000)));
    expect(values(slot)).toEqual(["ALREADY_EXECUTED"]);
    expect(slot.bundles[0]?.repeated).toBe(false);
    expect(values(run(tools.batch([tools.bundle(add(0), { ridFirst: 2 })])))).toEqual([1]);
  });

  test("a bundle that overlaps an executed one executes the rest", () => {
    const { run } = setUp();
    run(tools.batch([tools.bundle(add(1, 1), { ridFirst: 1 })]));
    expect(values(run(tools.batch([tools.bundle(add(10, 10, 10), { ridFirst: 2 })])))).toEqual(["ALREADY_EXECUTED", 12, 22]);
  });

  test("ids may come in any order within the window, and not beyond it", () => {
    const { run } = setUp();
    const at = (ridFirst: number): unknown[] => values(run(tools.batch([tools.bundle(add(1), { ridFirst })])));
    expect(at(256)).toEqual([1]);
    expect(at(257)).toEqual(["OUT_OF_WINDOW"]);
    expect(at(2)).toEqual([2]);
    expect(at(257)).toEqual(["OUT_OF_WINDOW"]);
    expect(at(1)).toEqual([3]);
    expect(at(257)).toEqual([4]);
  });

  test("what the client acknowledged is dropped, and still never executed again", () => {
    const { run, state } = setUp();
    const first = tools.bundle(add(1));
    run(tools.batch([first]));
    run(tools.batch([tools.bundle(add(1), { ridFirst: 2, ackLow: 1 })]));
    expect([...state.entries.keys()].filter((key) => key.startsWith("r/"))).toEqual([`r/${first.client}/0/2`]);
    expect(values(run(tools.batch([first])))).toEqual(["ALREADY_EXECUTED"]);
  });

  test("an acknowledgement above the low mark closes the gap of an earlier process", () => {
    const { run } = setUp();
    run(tools.batch([tools.bundle(add(1), { ridFirst: 1 })]));
    expect(values(run(tools.batch([tools.bundle(add(1), { ridFirst: 5_000, ackLow: 4_999 })])))).toEqual([2]);
    expect(values(run(tools.batch([tools.bundle(add(1), { ridFirst: 7 })])))).toEqual(["ALREADY_EXECUTED"]);
  });

  test("a session anchored at its own slot or later does not open", () => {
    const { run, state } = setUp();
    expect(values(run(tools.batch([tools.bundle(add(1, 1), { session: sessionNumber(seqNum(1), 0) })])))).toEqual(["SESSION_UNKNOWN", "SESSION_UNKNOWN"]);
    expect(state.entries.size).toBe(0);
  });

  test("clients do not see each other's ids", () => {
    const { run } = setUp();
    const slot = run(tools.batch([tools.bundle(add(1), { key: clientKey("a") }), tools.bundle(add(1), { key: clientKey("b") })]));
    expect([values(slot, 0), values(slot, 1)]).toEqual([[1], [2]]);
  });

  test("two state writes of the framework per bundle, however many operations", () => {
    const { run, state } = setUp();
    run(one(apply({ add: 1 })));
    state.puts = [];
    run(tools.batch([tools.bundle(Array.from({ length: 200 }, () => apply({ add: 1 })), { ridFirst: 2 })]));
    expect(state.puts.filter((key) => !key.startsWith("a/"))).toHaveLength(2);
  });

  test("as a whole: any order of any bundles executes each id at most once and leaves the same state as its first occurrences", () => {
    const arbitrary = fc.array(fc.record({ ridFirst: fc.integer({ min: 1, max: 12 }), count: fc.integer({ min: 1, max: 4 }), client: fc.constantFrom("a", "b") }), { maxLength: 25 });
    fc.assert(
      fc.property(arbitrary, (bundles) => {
        const { run } = setUp({ apply: (op) => op } as StateMachine);
        const executed = new Map<string, number>();
        bundles.forEach(({ ridFirst, count, client }, n) => {
          const operations = Array.from({ length: count }, (_, i) => apply([n, ridFirst + i]));
          const outcome = values(run(tools.batch([tools.bundle(operations, { key: clientKey(client), ridFirst })])));
          outcome.forEach((value, i) => {
            const id = `${client} ${ridFirst + i}`;
            if (Array.isArray(value) && value[0] === n) {
              expect(executed.has(id)).toBe(false);
              executed.set(id, n);
            } else expect([value, executed.has(id)]).toEqual(["ALREADY_EXECUTED", true]);
          });
        });
      }),
      { numRuns: 60 },
    );
  });
});

describe("in order of request ids (fifo)", () => {
  const fifo = (ridFirst: number, ...amounts: number[]): Batch => tools.batch([tools.bundle(add(...amounts), { ridFirst, fifo: true })]);

  test("before its predecessor it is refused whole and leaves no trace; ordered again after it, it is executed", () => {
    const { run, state } = setUp();
    const early = fifo(3, 10, 10);
    const before = state.root();
    expect(values(run(early))).toEqual(["OUT_OF_ORDER", "OUT_OF_ORDER"]);
    expect(state.root()).toBe(before);
    expect(values(run(fifo(1, 1, 1)))).toEqual([1, 2]);
    const slot = run(early);
    expect(values(slot)).toEqual([12, 22]);
    expect(slot.bundles[0]?.repeated).toBe(false);
    expect(values(run(early))).toEqual([12, 22]);
  });

  test("a predecessor that the client has acknowledged counts as executed", () => {
    const { run } = setUp();
    expect(values(run(tools.batch([tools.bundle(add(7), { ridFirst: 5, ackLow: 4, fifo: true })])))).toEqual([7]);
  });

  test("whatever order the bundles are ordered in, until none is refused they are executed in that of their ids, each once", () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([1, 3, 5, 7, 9, 11], { minLength: 6, maxLength: 6 }), fc.infiniteStream(fc.nat()), (order, choices) => {
        const seen: number[] = [];
        const { run } = setUp({ apply: (op: unknown) => void seen.push(op as number) } as StateMachine);
        const waiting = [...order];
        while (waiting.length > 0) {
          const ridFirst = waiting.splice(choices.next().value % waiting.length, 1)[0] ?? 0;
          const slot = run(tools.batch([tools.bundle([apply(ridFirst), apply(ridFirst + 1)], { ridFirst, fifo: true })]));
          if (values(slot)[0] === "OUT_OF_ORDER") waiting.push(ridFirst);
        }
        expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
      }),
      { numRuns: 40 },
    );
  });
});

describe("one operation", () => {
  test.each([
    ["reject", { status: "rejected", code: "NO_FUNDS", message: "not enough", data: { total: 7 } }],
    ["throw", { status: "rejected", code: "INTERNAL", message: "the state machine failed; the replicas' logs tell why", data: {} }],
    ["throw nothing", { status: "rejected", code: "INTERNAL" }],
    ["promise", { status: "rejected", code: "INTERNAL" }],
    ["bad value", { status: "rejected", code: "INTERNAL" }],
    ["large", { status: "rejected", code: "RESULT_TOO_LARGE" }],
  ])("%s: is undone, its id is used up, the next one goes on", (what, expected) => {
    const { run, state } = setUp();
    const slot = run(one(apply({ add: 1 }), apply({ add: 6, do: what }), apply({ add: 1 })));
    expect(results(slot)[1]).toMatchObject(expected);
    expect(values(slot)[2]).toBe(2);
    expect(values(run(one(apply({ add: 1 }), apply({ add: 6, do: what }), apply({ add: 1 }))))[2]).toBe(2);
    expect(state.entries.has("a/total")).toBe(true);
  });

  test("an unexpected error is logged with its stack, and its text stays out of the agreed result", () => {
    const { run, logger } = setUp();
    run(one(apply({ do: "throw" })));
    const line = logger.lines.find(({ level }) => level === "error");
    expect(line?.fields["stack"]).toContain(`at ${process.version}`);
    expect(line?.fields).toMatchObject({ seq: 1, rid: 1 });
  });

  test("a payload that is no msgpack, and a query to a machine that has none", () => {
    const { run } = setUp();
    expect(results(run(one({ kind: "apply", payload: Uint8Array.of(0xc1) })))[0]).toMatchObject({ status: "rejected", code: "BAD_OPERATION" });
    const mute = setUp({ apply: () => null });
    expect(results(mute.run(one(query("total"))))[0]).toMatchObject({ status: "rejected", code: "BAD_OPERATION" });
  });

  test("an ordered query reads what was written before it, and cannot write", () => {
    const { run, state } = setUp();
    const slot = run(one(apply({ add: 3 }), query("total"), query("write"), query("missing")));
    expect(values(slot)).toEqual([3, 3, "INTERNAL", "none"]);
    expect(state.get("a/total")).toEqual(Uint8Array.of(3));
  });

  test("a store kept beyond its operation is dead", () => {
    const { run } = setUp();
    run(one(apply({ do: "keep" })));
    expect(() => (kept as { put(key: string, value: unknown): void }).put("total", 0)).toThrow(TypeError);
  });

  test("keys: the application stays inside its prefix, keys the state cannot hold are refused", () => {
    const refused: string[] = [];
    const { run, state } = setUp({
      apply(_op, { store }) {
        store.put("s/x", 1);
        for (const key of ["", "x".repeat(511), "é".repeat(256), "\ud800"]) {
          try {
            store.put(key, 1);
          } catch (error) {
            refused.push((error as Error).name);
          }
        }
        return null;
      },
    });
    run(one(apply(null)));
    expect(refused).toEqual(["TypeError", "TypeError", "TypeError", "TypeError"]);
    expect(state.entries.has("a/s/x")).toBe(true);
    expect(state.entries.has("s/x")).toBe(false);
  });

  test("a failing disk is not an outcome of the application: it stops the replica", () => {
    const { run, state } = setUp({
      apply(_op, { store }) {
        try {
          store.get("total");
        } catch {
          return "swallowed";
        }
        return null;
      },
    });
    state.broken = "a/";
    expect(() => run(one(apply(null)))).toThrow("cannot read a/total");
  });

  test("where the state has no room, nothing of the bundle stays but its ids, used up: with room again nobody can have it executed any more", () => {
    const { run, state } = setUp({ apply: (op, { store }) => (store.put(op as string, 1), "done") });
    state.full = "a/full";
    const bundle = tools.bundle([apply("first"), apply("full")]);
    const slot = run(tools.batch([bundle, tools.bundle([apply("other")], { key: clientKey("b") })]));
    expect([values(slot, 0), values(slot, 1), [...state.entries.keys()].filter((key) => key.startsWith("a/"))]).toEqual([["STATE_FULL", "STATE_FULL"], ["done"], ["a/other"]]);
    state.full = undefined;
    expect(values(run(tools.batch([bundle])))).toEqual(["STATE_FULL", "STATE_FULL"]);
    // What it was answered before stays answered, and what follows in order is executed.
    state.full = "a/full";
    const at = (ridFirst: number, ...operations: string[]): unknown => values(run(tools.batch([tools.bundle(operations.map(apply), { ridFirst, fifo: true })])));
    expect([at(3, "three"), at(3, "three", "full"), at(5, "five")]).toEqual([["done"], ["ALREADY_EXECUTED", "STATE_FULL"], ["done"]]);
  });

  test("where the state has no room for the session itself, the bundle leaves no trace, and its ids are free", () => {
    const { run, state } = setUp({ apply: (op, { store }) => (store.put(op as string, 1), "done") });
    state.full = "s/";
    const bundle = tools.bundle([apply("first")]);
    expect([values(run(tools.batch([bundle]))), [...state.entries.keys()].filter((key) => key.includes(bundle.client) || key === "a/first")]).toEqual([["SESSION_FULL"], []]);
  });

  test("results too large to be kept are in the block only: a repetition in another block is refused", () => {
    const { run, state } = setUp({ apply: () => "x".repeat(40_000) });
    const batch = one(apply(null));
    expect(values(run(batch))).toEqual(["x".repeat(40_000)]);
    const again = run(batch);
    expect(values(again)).toEqual(["ALREADY_EXECUTED"]);
    expect(again.bundles[0]?.repeated).toBe(true);
    expect([...state.entries.values()].every(({ length }) => length < 1_000)).toBe(true);
  });

  test("the results of one bundle are bounded together", () => {
    const { run } = setUp({ apply: () => new Uint8Array(200 << 10) });
    const outcome = results(run(one(...Array.from({ length: 30 }, () => apply(null)))));
    const fitting = outcome.filter(({ status }) => status === "ok").length;
    expect(fitting).toBe(10);
    expect(outcome.slice(fitting).every((r) => r.status === "rejected" && r.code === "RESULT_TOO_LARGE")).toBe(true);
  });

  test("the context is the agreed one; the machine cannot change the bundle through it", () => {
    const { run } = setUp();
    const bundle = tools.bundle([apply({ do: "context" })], { ridFirst: 9, ackLow: 8 });
    const key = bundle.publicKey.slice();
    expect(values(run(tools.batch([bundle], 5_000)))).toEqual([{ time: 5_000, seq: 1, rid: 9, client: bundle.client }]);
    expect(bundle.publicKey).toEqual(key);
  });
});

describe("blocks", () => {
  test("headers chain, cover bundles, results and state, and time never goes back", () => {
    const { run, executor, state } = setUp();
    const genesis = executor.head;
    const bundles = [tools.bundle(add(1), { key: clientKey("a") }), tools.bundle(add(2), { key: clientKey("b") }), tools.bundle(add(3), { key: clientKey("c") })];
    const batch = tools.batch(bundles, 9_000);
    const first = run(batch);
    expect(first.block.header).toEqual({
      seq: 1, parent: genesis.hash, timestampMs: 9_000, batchDigest: batch.digest, stateRoot: state.root(),
      bundleRoot: digestOf(merkleRoot(bundles.map(({ digest }) => fromHex(digest)))), resultRoot: digestOf(first.resultTree.root),
    });
    expect(executor.head).toEqual({ header: first.block.header, hash: blockHash(hasher, first.block.header) });
    first.bundles.forEach(({ bundle, results: own }, i) => {
      expect(merkleVerify(resultLeaf(hasher, bundle.digest, own), i, 3, first.resultTree.path(i), fromHex(first.block.header.resultRoot))).toBe(true);
    });
    const empty = run(undefined);
    expect(empty.block).toMatchObject({ batch: undefined, results: [], header: { parent: first.hash, batchDigest: NULL_DIGEST, timestampMs: 9_000, stateRoot: state.root() } });
    expect(run(tools.batch([], 100)).block.header.timestampMs).toBe(9_000);
  });

  test("slots execute in order only", () => {
    const { executor } = setUp();
    expect(() => executor.execute(seqNum(2), undefined, certificate)).toThrow(InvariantViolation);
  });

  test("two replicas that execute the same batches come to the same blocks, also when one starts from a checkpoint of the state", () => {
    const arbitrary = fc.array(fc.array(fc.record({ client: fc.constantFrom("a", "b", "c"), ridFirst: fc.integer({ min: 1, max: 30 }), ops: fc.array(fc.constantFrom<Op>({ add: 1 }, { do: "reject" }, { do: "throw" }, { do: "context" }), { minLength: 1, maxLength: 3 }) }), { maxLength: 3 }), { minLength: 2, maxLength: 8 });
    fc.assert(
      fc.property(arbitrary, (batches) => {
        const made = batches.map((bundles, i) => tools.batch(bundles.map(({ client, ridFirst, ops }) => tools.bundle(ops.map(apply), { key: clientKey(client), ridFirst })), 1_000 + i));
        const one = setUp();
        const hashes = made.map((batch) => one.run(batch).hash);
        const other = setUp();
        const cut = Math.floor(made.length / 2);
        made.slice(0, cut).forEach((batch) => other.run(batch));
        const resumed = createExecutor({
          state: new FakeState(other.state.entries), app: counter as StateMachine, hasher, logger: recordingLogger(), parameters: tools.cluster.parameters, head: other.executor.head,
        });
        const rest = made.slice(cut).map((batch, i) => resumed.execute(seqNum(cut + i + 1), batch, certificate).hash);
        expect(rest).toEqual(hashes.slice(cut));
      }),
      { numRuns: 25 },
    );
  });
});
