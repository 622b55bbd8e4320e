import { AppRejection, requestId, seqNum, type AppStore, type ApplyContext, type Batch, type ClientId, type CommitCertificate, type StateMachine } from "@narses/core";
import { hasher } from "@narses/crypto";
import { blockHash, decodePayload, decodeResult, encodePayload } from "@narses/wire";
import { describe, expect, test } from "vitest";
import { createExecutor, type ExecutedSlot } from "../src/executor.ts";
import { genesisHeader } from "../src/genesis.ts";
import { guardDeterminism, type GuardOptions } from "../src/guard/guard.ts";
import { DeterminismViolation } from "../src/guard/violation.ts";
import { apply, clientKey, testCluster } from "./support/cluster.ts";
import { FakeState, recordingLogger } from "./support/fakes.ts";

class MapStore implements AppStore {
  readonly entries = new Map<string, Uint8Array>();
  get(key: string): unknown {
    const bytes = this.entries.get(key);
    const decoded = bytes === undefined ? undefined : decodePayload(bytes);
    return decoded?.ok === true ? decoded.value : undefined;
  }
  put(key: string, value: unknown): void {
    this.entries.set(key, encodePayload(value));
  }
  delete(key: string): void {
    this.entries.delete(key);
  }
}

let draws = 0;
const context = (store: AppStore): ApplyContext =>
  ({ store, time: 5, seq: seqNum(7), client: "ab".repeat(32) as ClientId, publicKey: new Uint8Array(32), rid: requestId(1), random: () => ++draws / 1_000 });

/** What the guard says about one operation. */
function judge(body: (op: unknown, context: ApplyContext) => unknown, options?: GuardOptions): string {
  const machine = guardDeterminism({ apply: body }, options);
  try {
    machine.apply({ add: 1 }, context(new MapStore()));
  } catch (error) {
    if (error instanceof DeterminismViolation) return error.message;
    throw error;
  }
  return "deterministic";
}

describe("the guard traps, and names, every API whose answer differs", () => {
  const hazards: Readonly<Record<string, (op: unknown) => unknown>> = {
    "Date.now": () => Date.now(),
    "new Date()": () => new Date().getTime(),
    "Date()": () => Date(),
    "new Date(year, month, …)": () => new Date(2020, 1).getTime(),
    'new Date("1 May 2020")': () => new Date("1 May 2020").getTime(),
    'new Date("2020-01-01T00:00")': () => new Date("2020-01-01T00:00").getTime(),
    'Date.parse("2020-01-01T00:00")': () => Date.parse("2020-01-01T00:00"),
    "date.getHours": () => new Date(0).getHours(),
    "date.getTimezoneOffset": () => new Date(0).getTimezoneOffset(),
    "date.toString": () => `${new Date(0).toString()}`,
    "performance.now": () => performance.now(),
    "process.hrtime": () => process.hrtime(),
    "Math.random": () => Math.random(),
    "Math.sin": () => Math.sin(1),
    "Math.pow": () => Math.pow(2, 0.5),
    "crypto.getRandomValues": () => crypto.getRandomValues(new Uint8Array(4)),
    "crypto.randomUUID": () => crypto.randomUUID(),
    "globalThis.setTimeout": () => void setTimeout(() => undefined, 0),
    "globalThis.queueMicrotask": () => queueMicrotask(() => undefined),
    "process.nextTick": () => process.nextTick(() => undefined),
    "process.env": () => process.env["HOME"] ?? null,
    "process.pid": () => process.pid,
    "process.memoryUsage": () => process.memoryUsage().rss,
    "string.localeCompare": () => "a".localeCompare("b"),
    "number.toLocaleString": () => (1_234).toLocaleString(),
    "string.toLocaleUpperCase": () => "i".toLocaleUpperCase(),
    "date.toLocaleDateString": () => new Date(0).toLocaleDateString(),
    "Intl.Collator": () => new Intl.Collator().compare("a", "b"),
    "globalThis.WeakRef": () => typeof new WeakRef({}),
    "a promise": () => Promise.resolve(1),
    "a promise (async)": async () => await Promise.resolve(null),
    "swallowed: Math.random": () => {
      try {
        return Math.random();
      } catch {
        return 4;
      }
    },
  };

  test.each(Object.keys(hazards))("%s", (name) => {
    const api = name.replace("swallowed: ", "").replace(" (async)", "");
    const text = judge(hazards[name] as (op: unknown) => unknown);
    expect(text).toContain(`apply({"add":1}) in slot 7: it used ${api}, `);
  });

  test("and nothing afterwards: everything is put back, also when the state machine throws", () => {
    const before = [Date, Math.random, String.prototype.localeCompare, setTimeout, process.env, crypto.subtle];
    expect(judge(() => Math.random())).toContain("Math.random");
    expect(() => judge(() => { throw new TypeError("bug"); })).toThrow("bug");
    expect([Date, Math.random, String.prototype.localeCompare, setTimeout, process.env, crypto.subtle]).toEqual(before);
    expect(Date.now()).toBeGreaterThan(1_600_000_000_000);
    expect(new Date(0) instanceof Date).toBe(true);
  });

  test("and none of what is a function of its arguments, nor what the framework does below the store", () => {
    const store = new MapStore();
    const machine = guardDeterminism({
      apply: (_op, { store: own, random }) => {
        own.put("when", { iso: new Date(86_400_000).toISOString(), day: new Date("1970-01-02").getUTCDate(), at: new Date("1970-01-02T00:00:00Z") instanceof Date });
        return [Math.floor(1.5), Math.sqrt(2), Math.max(1, 2), "b" < "a", [3, 1].sort(), own.get("clock") ?? null, random() < 1];
      },
    });
    const reading: AppStore = { get: (key) => (key === "clock" ? Date.now() > Math.random() : store.get(key)), put: (key, value) => store.put(key, value), delete: (key) => store.delete(key) };
    expect(machine.apply({}, context(reading))).toEqual([1, Math.SQRT2, 2, false, [1, 3], true, true]);
    expect(store.get("when")).toEqual({ iso: "1970-01-02T00:00:00.000Z", day: 2, at: true });
  });
});

describe("the guard runs everything twice, and tells what differed", () => {
  test("a result that depends on what the instance remembers", () => {
    let calls = 0;
    expect(judge(() => ({ calls: ++calls }))).toContain('it returned {"calls":1} the first time, and returned {"calls":2} the second');
  });

  test("a write: its key and both values", () => {
    let calls = 0;
    expect(judge((_op, { store }) => store.put("a/b", { n: ++calls }))).toContain('key "a/b": was set to {"n":1}, then to {"n":2}');
  });

  test("a write of one run only, and a deletion", () => {
    let calls = 0;
    expect(judge((_op, { store }) => (++calls === 1 ? store.put("x", 1) : store.delete("y")))).toMatch(/key "x": was written in the first run only; key "y": was written in the second run only/);
  });

  test("fields in another order: the same value for people, other bytes for the state root", () => {
    let calls = 0;
    expect(judge((_op, { store }) => store.put("k", ++calls === 1 ? { a: 1, b: 2 } : { b: 2, a: 1 }))).toContain("its fields were put in another order");
  });

  test("keys in another order", () => {
    let order = ["a", "b"];
    const text = judge((_op, { store }) => {
      for (const key of order) store.put(key, 1);
      order = order.reverse();
    });
    expect(text).toContain('keys were written in another order: "a" came where the second run wrote "b"');
  });

  test("a refusal whose data differs, and a text that tells of the stack", () => {
    let calls = 0;
    expect(judge(() => { throw new AppRejection("NO", "no", { n: ++calls }); })).toContain('refused with NO: no {"n":1} the first time');
    expect(judge(() => new Error("x").stack ?? "")).toContain("the first time, and");
  });

  test("memory that a fresh instance does not have: found with a factory, not without", () => {
    const make = (): StateMachine => {
      let last: unknown = null;
      return { apply: (op) => { const before = last; last = op; return before; } };
    };
    const app = make();
    const run = (machine: StateMachine): unknown => machine.apply("same", context(new MapStore()));
    const guarded = guardDeterminism(app, { fresh: make });
    expect(run(guarded)).toBeNull();
    expect(() => run(guarded)).toThrow('it returned "same" the first time, and returned null the second');
  });

  test("queries and genesis too", () => {
    let calls = 0;
    const machine = guardDeterminism({
      genesis: (_data, store) => store.put("seed", Math.random()), apply: () => null, query: () => ++calls,
    } satisfies StateMachine);
    expect(() => machine.genesis?.({}, new MapStore())).toThrow("genesis: it used Math.random");
    expect(() => machine.query?.("q", { store: new MapStore(), time: 0, seq: seqNum(3) })).toThrow('query("q") in slot 3: it returned 1 the first time, and returned 2 the second');
  });

  test("a deterministic machine does not notice: the same results, refusals and state as without the guard", () => {
    const machine: StateMachine = {
      apply(op, { store, random }) {
        const n = (store.get("n") as number | undefined) ?? 0;
        store.put("n", n + 1);
        store.put("luck", random());
        if (n === 1) store.delete("gone");
        else store.put("gone", [n]);
        if (op === "refuse") throw new AppRejection("NO", "no", { n });
        (op as { n?: number }).n = 5; // its own copy
        return [n, store.get("n"), store.get("gone") ?? null];
      },
    };
    const outcomes = (own: StateMachine): unknown => {
      draws = 0;
      const store = new MapStore();
      return [{}, {}, "refuse", {}].map((op) => {
        try {
          return own.apply(op, context(store));
        } catch (error) {
          return (error as AppRejection).data;
        }
      }).concat([...store.entries]);
    };
    // A refused operation is undone by the shell, and not written at all under the guard.
    const [plain, guarded] = [outcomes(machine), outcomes(guardDeterminism(machine))] as [unknown[], unknown[]];
    expect(guarded.slice(0, 3)).toEqual(plain.slice(0, 3));
  });
});

const tools = testCluster(4);

function executor(app: StateMachine): (batch: Batch) => ExecutedSlot {
  const state = new FakeState();
  const header = genesisHeader(state.root());
  const own = createExecutor({ state, app, hasher, logger: recordingLogger(), parameters: tools.cluster.parameters, head: { header, hash: blockHash(hasher, header) } });
  return (batch) => own.execute(seqNum(own.head.header.seq + 1), batch, {} as CommitCertificate);
}

const values = (slot: ExecutedSlot): unknown[] =>
  slot.bundles.flatMap(({ results }) => results.map((bytes) => {
    const decoded = decodeResult(bytes);
    return decoded.ok && decoded.value.status === "ok" ? decoded.value.value : decoded;
  }));

describe("in the executor", () => {
  test("a violation is no result: it stops the replica, while any other error of the machine stays INTERNAL", () => {
    const guilty = executor(guardDeterminism({ apply: () => Math.random() }));
    expect(() => guilty(tools.batch([tools.bundle([apply(1)])]))).toThrow(DeterminismViolation);
    const clumsy = executor(guardDeterminism({ apply: () => { throw new TypeError("bug"); } }));
    expect(values(clumsy(tools.batch([tools.bundle([apply(1)])])))).toMatchObject([{ value: { code: "INTERNAL" } }]);
  });

  test("under the guard a slot comes to the same block", () => {
    const app: StateMachine = { apply: (op, { store, random, time }) => (store.put(String(op), [random(), time]), random()) };
    const batch = tools.batch([tools.bundle([apply("a"), apply("b")]), tools.bundle([apply("c")], { key: clientKey("other") })]);
    expect(executor(guardDeterminism(app))(batch).hash).toBe(executor(app)(batch).hash);
  });
});

describe("agreed random numbers", () => {
  const app: StateMachine = { apply: (op, { random }) => { if (op === "refuse") { random(); throw new AppRejection("NO", "no"); } return [random(), random(), random(), random(), random()]; } };

  test("are the same on every replica, in [0, 1), differ by operation, bundle, slot and history, and a refused operation shifts nothing", () => {
    const batch = (first: unknown): Batch => tools.batch([tools.bundle([apply(first), apply("x")]), tools.bundle([apply("y")], { key: clientKey("other") })]);
    const [one, two] = [executor(app), executor(app)];
    const drawn = values(one(batch("a"))) as number[][];
    expect(values(two(batch("a")))).toEqual(drawn);
    const numbers = drawn.flat();
    expect(new Set(numbers).size).toBe(15);
    expect(numbers.every((n) => n >= 0 && n < 1)).toBe(true);
    const other = values(executor(app)(tools.batch([tools.bundle([apply("b"), apply("x")])]))) as number[][];
    expect(other[1]).not.toEqual(drawn[1]); // another batch
    const after = (first: unknown): unknown => {
      const run = executor(app);
      run(batch(first));
      return values(run(tools.batch([tools.bundle([apply("c")], { ridFirst: 3, ackLow: 2 })])));
    };
    expect(after("a")).toEqual(after("a"));
    expect(after("a")).not.toEqual(after("b")); // the same batch in the same slot, after another block
    const refusing = values(executor({ apply: (op, c) => app.apply(op === "a" ? "refuse" : op, c) })(batch("a"))) as number[][];
    expect(refusing.slice(1)).toEqual(drawn.slice(1)); // same batch, the first operation is refused after a draw
  });

  test("look uniform", () => {
    const draw: StateMachine = { apply: (_op, { random }) => Array.from({ length: 4_000 }, random) };
    const [numbers] = values(executor(draw)(tools.batch([tools.bundle([apply(1)])]))) as number[][];
    const buckets = new Array<number>(10).fill(0);
    for (const n of numbers ?? []) buckets[Math.floor(n * 10)] = (buckets[Math.floor(n * 10)] ?? 0) + 1;
    for (const size of buckets) expect(Math.abs(size - 400)).toBeLessThan(100);
  });
});
