/** The linearizability checkers, tested on histories whose verdict is known, and against each other on random ones. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { History, type HistoryEntry } from "../src/history/history.ts";
import { checkAgainstLog, type Replayed } from "../src/history/log-check.ts";
import { checkLinearizable, type Model, WGL_CONCURRENCY_MAX } from "../src/history/wgl.ts";

type Op = { readonly key: string; readonly type: "write"; readonly value: number } | { readonly key: string; readonly type: "read" };

/** A register per key: a write answers what it overwrote, a read what is there. */
const register: Model<Op, number, number> = {
  keyOf: (op) => op.key,
  initial: () => 0,
  step: (state, op) => ({ state: op.type === "write" ? op.value : state, output: state }),
  textOf: String,
  equal: (a, b) => a === b,
};

const write = (value: number, key = "x"): Op => ({ key, type: "write", value });
const read = (key = "x"): Op => ({ key, type: "read" });
let nextId = 0;
const op = (input: Op, from: number, to: number | undefined, output = 0): HistoryEntry<Op, number> =>
  ({ id: `op ${nextId++}`, input, invokedAt: from, returned: to === undefined ? undefined : { at: to, output } });
const verdict = (...entries: HistoryEntry<Op, number>[]): string => checkLinearizable(entries, register).verdict;

/** Adds one, answers the new count. */
const plainCounter: Model<null, number, number> = { keyOf: () => "c", initial: () => 0, step: (n) => ({ state: n + 1, output: n + 1 }), textOf: String, equal: (a, b) => a === b };
const grown: Model<null, number, number> = { ...plainCounter, alike: true, growth: { at: (n) => n, due: (n) => n } };

describe("the black-box checker", () => {
  test("knowing that a counter grows changes no verdict", () => {
    const some = fc.record({ from: fc.nat(12), took: fc.nat(6), answer: fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined }) });
    fc.assert(fc.property(fc.array(some, { maxLength: 6 }), (operations) => {
      const entries = operations.map(({ from, took, answer }, i): HistoryEntry<null, number> =>
        ({ id: String(i), input: null, invokedAt: from, returned: answer === undefined ? undefined : { at: from + took, output: answer } }));
      expect(checkLinearizable(entries, grown).verdict).toBe(checkLinearizable(entries, plainCounter).verdict);
    }), { numRuns: 2_000 });
  });

  test("of a thing that grows, any number of concurrent operations are put in order", () => {
    const entries = Array.from({ length: 4 * WGL_CONCURRENCY_MAX }, (_, i): HistoryEntry<null, number> =>
      ({ id: String(i), input: null, invokedAt: 0, returned: i % 3 === 0 ? undefined : { at: 1_000 - i, output: i + 1 } }));
    expect(checkLinearizable(entries, grown).verdict).toBe("linearizable");
    expect(checkLinearizable(entries.slice(1).concat({ id: "twice", input: null, invokedAt: 5, returned: { at: 6, output: 2 } }), grown).verdict).toBe("violation");
  });

  test("one after another", () => {
    expect(verdict(op(write(1), 0, 1, 0), op(read(), 2, 3, 1))).toBe("linearizable");
  });

  test("a stale read after a completed write is a violation", () => {
    expect(verdict(op(write(1), 0, 1, 0), op(read(), 2, 3, 0))).toBe("violation");
  });

  test("a read concurrent with a write may see either side of it", () => {
    expect(verdict(op(write(1), 0, 10, 0), op(read(), 2, 3, 0))).toBe("linearizable");
    expect(verdict(op(write(1), 0, 10, 0), op(read(), 2, 3, 1))).toBe("linearizable");
    expect(verdict(op(write(1), 0, 10, 0), op(read(), 2, 3, 7))).toBe("violation");
  });

  test("two reads may not see a write come and go", () => {
    expect(verdict(op(write(1), 0, 10, 0), op(read(), 1, 2, 1), op(read(), 3, 4, 0))).toBe("violation");
  });

  test("two clients are told the same old value: one write was lost", () => {
    expect(verdict(op(write(1), 0, 5, 0), op(write(2), 1, 6, 0))).toBe("violation");
  });

  test("an operation without an answer may take effect late, or never, but not before it was invoked", () => {
    expect(verdict(op(write(1), 0, undefined), op(read(), 5, 6, 0), op(read(), 7, 8, 1))).toBe("linearizable");
    expect(verdict(op(write(1), 0, undefined), op(read(), 5, 6, 0), op(read(), 7, 8, 0))).toBe("linearizable");
    expect(verdict(op(write(1), 0, undefined), op(read(), 5, 6, 1), op(read(), 7, 8, 0))).toBe("violation");
    expect(verdict(op(read(), 1, 2, 1), op(write(1), 5, undefined))).toBe("violation");
  });

  test("keys are judged apart", () => {
    expect(verdict(op(write(1, "a"), 0, 1, 0), op(read("b"), 2, 3, 0))).toBe("linearizable");
    expect(verdict(op(write(1, "a"), 0, 1, 0), op(read("b"), 2, 3, 0), op(read("a"), 4, 5, 0))).toBe("violation");
  });

  test("touching operations count as concurrent", () => {
    expect(verdict(op(write(1), 0, 2, 0), op(read(), 2, 3, 0))).toBe("linearizable");
  });

  test("too much concurrency is left out aloud", () => {
    const many = Array.from({ length: WGL_CONCURRENCY_MAX + 1 }, (_, i) => op(read(), i, 1_000, 0));
    expect(checkLinearizable(many, register)).toMatchObject({ verdict: "undecided", detail: expect.stringContaining("concurrent") as string });
  });

  test("a violation names the key and an operation that fits nowhere", () => {
    expect(checkLinearizable([op(write(1), 0, 1, 0), op(read(), 2, 3, 9)], register).detail).toMatch(/operations on x explains.*op \d+/);
  });

  test("hundreds of operations with unanswered ones among them end quickly", () => {
    const entries: HistoryEntry<Op, number>[] = [];
    for (let i = 0; i < 600; i++) entries.push(op(write(i + 1), 10 * i, i % 50 === 49 ? undefined : 10 * i + 15, i));
    expect(checkLinearizable(entries, register).verdict).toBe("linearizable");
  });
});

/** Executions that are linearizable by construction: each operation takes effect at one instant between its ends. */
const execution = fc.array(fc.record({
  key: fc.constantFrom("x", "y"), isWrite: fc.boolean(), at: fc.integer({ min: 0, max: 400 }), before: fc.integer({ min: 1, max: 60 }), after: fc.integer({ min: 1, max: 60 }),
  lost: fc.integer({ min: 0, max: 9 }).map((x) => x === 0),
}), { maxLength: 24 }).map((steps) => {
  const store = new Map<string, number>();
  const log = new Map<string, Replayed<number>>();
  const entries = steps.map((step, i) => ({ step, i })).sort((a, b) => a.step.at - b.step.at || a.i - b.i).map(({ step, i }, position): HistoryEntry<Op, number> => {
    const output = store.get(step.key) ?? 0;
    if (step.isWrite) store.set(step.key, position + 1);
    const id = `op ${i}`;
    log.set(id, { position, output });
    const input: Op = step.isWrite ? { key: step.key, type: "write", value: position + 1 } : { key: step.key, type: "read" };
    return { id, input, invokedAt: step.at - step.before, returned: step.lost ? undefined : { at: step.at + step.after, output } };
  });
  return { entries, log };
});
const same = (a: number, b: number): boolean => a === b;

describe("both checkers", () => {
  test("accept what is linearizable by construction", () => {
    fc.assert(fc.property(execution, ({ entries, log }) => {
      expect(checkAgainstLog(entries, log, same)).toBeUndefined();
      expect(checkLinearizable(entries, register).verdict).toBe("linearizable");
    }));
  });

  test("what the log checker accepts with a consistent log, the black box accepts too; an altered answer is seen by both or explained by neither", () => {
    fc.assert(fc.property(execution, fc.nat(), ({ entries, log }, pick) => {
      const victim = entries[pick % Math.max(1, entries.length)];
      if (victim?.returned === undefined) return;
      // 99 is written by nobody.
      const altered = entries.map((e) => (e === victim ? { ...e, returned: { at: victim.returned?.at ?? 0, output: 99 } } : e));
      expect(checkAgainstLog(altered, log, same)).toMatch(/replaying the log gives/);
      expect(checkLinearizable(altered, register).verdict).toBe("violation");
    }));
  });
});

describe("the log checker", () => {
  const log = (...ids: readonly (readonly [string, number])[]): Map<string, Replayed<number>> => new Map(ids.map(([id, output], position) => [id, { position, output }]));

  test("an acknowledged operation that the log does not hold", () => {
    expect(checkAgainstLog([{ id: "a", input: read(), invokedAt: 0, returned: { at: 1, output: 0 } }], log(), same)).toMatch(/a was acknowledged, but the agreed log does not hold it/);
  });

  test("an order against real time, but not one between concurrent operations", () => {
    const a = { id: "a", input: read(), invokedAt: 0, returned: { at: 10, output: 0 } };
    const b = { id: "b", input: read(), invokedAt: 11, returned: { at: 12, output: 0 } };
    expect(checkAgainstLog([a, b], log(["b", 0], ["a", 0]), same)).toMatch(/a returned before b was invoked.*contradicts real time/);
    expect(checkAgainstLog([a, b], log(["a", 0], ["b", 0]), same)).toBeUndefined();
    expect(checkAgainstLog([a, { ...b, invokedAt: 9 }], log(["b", 0], ["a", 0]), same)).toBeUndefined();
  });

  test("an unanswered operation is owed nothing", () => {
    expect(checkAgainstLog([{ id: "a", input: read(), invokedAt: 0, returned: undefined }], log(), same)).toBeUndefined();
  });

  test("history keeps the first submission and the first answer", () => {
    const history = new History<string, number>();
    history.invoke("a", "in", 1);
    history.invoke("a", "in", 5);
    history.accept("a", 7, 9);
    history.accept("a", 8, 10);
    history.accept("unknown", 1, 1);
    expect(history.entries).toEqual([{ id: "a", input: "in", invokedAt: 1, returned: { at: 9, output: 7 } }]);
  });
});
