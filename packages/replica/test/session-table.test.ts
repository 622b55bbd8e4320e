/** Sessions of many clients under eviction: exactly once, the same on every replica, whatever is ordered again and however often. */
import { seqNum, sessionAnchor, sessionNumber, type Batch, type Bundle, type CommitCertificate, type StateMachine } from "@narses/core";
import { hasher } from "@narses/crypto";
import { memoryStateStore, type MemoryState } from "@narses/storage";
import { blockHash, decodeResult } from "@narses/wire";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createExecutor, type ExecutedSlot, type Executor, type Head } from "../src/executor.ts";
import { genesisHeader } from "../src/genesis.ts";
import { SESSIONS_PER_CLIENT_MAX } from "../src/limits.ts";
import { readTable } from "../src/session-table.ts";
import { apply, clientKey, testCluster } from "./support/cluster.ts";
import { FakeState, recordingLogger } from "./support/fakes.ts";

const SESSIONS_MAX = 4;
const tools = testCluster(4, { parameters: { sessionsMax: SESSIONS_MAX, sessionWindow: 256 } });
const many = testCluster(4, { parameters: { sessionsMax: 64, sessionWindow: 256 } });

/** Tells what was executed: each operation names itself. */
function recorder(): { readonly app: StateMachine; readonly executed: unknown[] } {
  const executed: unknown[] = [];
  return { executed, app: { apply: (op) => (executed.push(op), op) } };
}

interface Rig {
  readonly state: FakeState;
  readonly executor: Executor;
  readonly executed: unknown[];
  run(...bundles: readonly Bundle[]): ExecutedSlot;
  /** A replica that comes back with this state. */
  restarted(): Rig;
}

function rig(own = tools, state = new FakeState(), at?: Head): Rig {
  const { app, executed } = recorder();
  const header = genesisHeader(state.root());
  const head = at ?? { header, hash: blockHash(hasher, header) };
  const executor = createExecutor({ state, app, hasher, logger: recordingLogger(), parameters: own.cluster.parameters, head });
  const batch = (bundles: readonly Bundle[]): Batch => own.batch(bundles, 1_000);
  return {
    state, executor, executed,
    run: (...bundles) => executor.execute(seqNum(executor.head.header.seq + 1), batch(bundles), {} as CommitCertificate),
    restarted: () => rig(own, new FakeState(state.entries), executor.head),
  };
}

const outcome = (slot: ExecutedSlot, bundle = 0): unknown => {
  const decoded = decodeResult(slot.bundles[bundle]?.results[0] ?? new Uint8Array(0));
  if (!decoded.ok) throw new TypeError(decoded.rejection.detail);
  return decoded.value.status === "ok" ? "ok" : decoded.value.code;
};

const bundleOf = (name: string, session: number, rid: number, own = tools): Bundle =>
  own.bundle([apply(`${name} ${session} ${rid}`)], { key: clientKey(name), session, ridFirst: rid });

describe("eviction", () => {
  test("row 65: an evicted client's old request is answered EVICTED and not executed, before and after it comes back, and after a restart", () => {
    const one = rig();
    const old = bundleOf("victim", 0, 1);
    expect(outcome(one.run(old))).toBe("ok");
    for (let i = 0; i < SESSIONS_MAX; i++) one.run(bundleOf(`other ${i}`, 0, 1));
    expect(outcome(one.run(old))).toBe("EVICTED");
    expect(outcome(one.run(bundleOf("victim", 0, 2)))).toBe("EVICTED");
    const fresh = sessionNumber(one.executor.head.header.seq, 0);
    expect(outcome(one.run(bundleOf("victim", fresh, 1)))).toBe("ok");
    for (const later of [one, one.restarted()]) expect(outcome(later.run(old))).toBe("EVICTED");
    expect(one.executed.filter((op) => op === "victim 0 1")).toHaveLength(1);
  });

  test("the session unused for longest goes: use is what changes it, a repetition is no use", () => {
    const one = rig();
    const names = ["a", "b", "c", "d"];
    const first = names.map((name) => bundleOf(name, 0, 1));
    for (const bundle of first) one.run(bundle);
    one.run(bundleOf("a", 0, 2)); // a is used again
    for (let i = 0; i < 3; i++) one.run(first[1] as Bundle); // b is only repeated
    one.run(bundleOf("e", 0, 1));
    const open = names.filter((name) => outcome(one.restarted().run(bundleOf(name, 0, 9))) === "ok");
    expect(open).toEqual(["a", "c", "d"]);
  });

  test("everything of an evicted session leaves the state: records, replies, place; the table stays as large as it may be", () => {
    const one = rig();
    for (let i = 0; i < 40; i++) {
      const session = sessionNumber(one.executor.head.header.seq, 0);
      expect(outcome(one.run(bundleOf(`client ${i}`, session, 1), bundleOf(`client ${i}`, session, 3)), 1)).toBe("ok");
    }
    const keys = [...one.state.entries.keys()];
    const count = (prefix: RegExp): number => keys.filter((key) => prefix.test(key)).length;
    expect({ sessions: count(/^s\/[0-9a-f]{64}\//), clients: count(/^s\/[0-9a-f]{64}$/), places: count(/^s\/table\//), replies: count(/^r\//) })
      .toEqual({ sessions: SESSIONS_MAX, clients: SESSIONS_MAX, places: SESSIONS_MAX, replies: 2 * SESSIONS_MAX });
    expect(readTable(one.state)).toEqual({ count: SESSIONS_MAX, floor: sessionNumber(seqNum(35), 0) });
  });

  test("a client that opens session after session evicts its own, and shuts nobody out", () => {
    const one = rig(many);
    one.run(bundleOf("modest", 0, 1, many));
    for (let i = 0; i < 3 * SESSIONS_PER_CLIENT_MAX; i++) {
      expect(outcome(one.run(bundleOf("greedy", sessionNumber(one.executor.head.header.seq, i), 1, many)))).toBe("ok");
    }
    expect(readTable(one.state)).toEqual({ count: SESSIONS_PER_CLIENT_MAX + 1, floor: -1 });
    expect(outcome(one.run(bundleOf("modest", 0, 2, many)))).toBe("ok");
    expect(outcome(one.run(bundleOf("newcomer", 0, 1, many)))).toBe("ok");
  });

  test("row 63: ids far ahead and holes stall their own session only, and open none", () => {
    const one = rig();
    expect(outcome(one.run(bundleOf("far", 0, 257)))).toBe("OUT_OF_WINDOW");
    expect(readTable(one.state).count).toBe(0);
    one.run(bundleOf("holes", 0, 2));
    expect(outcome(one.run(bundleOf("holes", 0, 257)))).toBe("OUT_OF_WINDOW");
    expect(outcome(one.run(bundleOf("other", 0, 1)))).toBe("ok");
    expect(outcome(one.run(bundleOf("holes", 0, 1)))).toBe("ok");
    expect(outcome(one.run(bundleOf("holes", 0, 257)))).toBe("ok");
  });

  test("row 60: one id for two operations: the first ordered wins, the other is a no-op, in either order", () => {
    const make = (): readonly [Bundle, Bundle] => [tools.bundle([apply("x")], { ridFirst: 1 }), tools.bundle([apply("y")], { ridFirst: 1 })];
    for (const order of [[0, 1], [1, 0]] as const) {
      const one = rig();
      const pair = make();
      const slot = one.run(...order.map((i) => pair[i] as Bundle));
      expect([outcome(slot, 0), outcome(slot, 1), one.executed]).toEqual(["ok", "ALREADY_EXECUTED", [order[0] === 0 ? "x" : "y"]]);
    }
  });

  test("row 66: one key in two processes has two sessions, and every request of both is executed", () => {
    const one = rig();
    const [a, b] = [sessionNumber(seqNum(0), 7), sessionNumber(seqNum(0), 8)];
    const slot = one.run(bundleOf("shared", a, 1), bundleOf("shared", b, 1));
    expect([outcome(slot, 0), outcome(slot, 1)]).toEqual(["ok", "ok"]);
  });
});

interface Step {
  readonly client: number;
  readonly kind: "new" | "next" | "again" | "old";
  readonly pick: number;
  readonly restart: boolean;
}

const steps = fc.array(
  fc.record<Step>({
    client: fc.nat(5), kind: fc.constantFrom("new", "next", "next", "again", "old"), pick: fc.nat(1_000), restart: fc.boolean(),
  }),
  { maxLength: 60 },
);

/** Every session that was ever used, by what a client can know: never more than `SESSIONS_MAX` open, the one used least recently goes first. */
class Model {
  /** Open sessions, the one unused for longest first. */
  open: string[] = [];
  readonly ever = new Set<string>();
  readonly done = new Set<string>();

  expected(client: string, session: number, rid: number): "ok" | "ALREADY_EXECUTED" | "EVICTED" {
    const name = `${client} ${session}`;
    if (!this.open.includes(name) && this.ever.has(name)) return "EVICTED";
    if (this.done.has(`${name} ${rid}`)) return "ALREADY_EXECUTED";
    return "ok";
  }

  executed(client: string, session: number, rid: number): void {
    const name = `${client} ${session}`;
    if (!this.open.includes(name) && this.open.length === SESSIONS_MAX) this.open.shift();
    this.open = [...this.open.filter((other) => other !== name), name];
    this.ever.add(name);
    this.done.add(`${name} ${rid}`);
  }
}

describe("exactly once under eviction", () => {
  test("agrees with a model that forgets nothing; a replica restarted after every slot comes to the same state roots", () => {
    fc.assert(
      fc.property(steps, (scenario) => {
        const one = rig();
        let other = rig();
        const model = new Model();
        const sent: { readonly client: string; readonly session: number; readonly rid: number; readonly bundle: Bundle }[] = [];
        for (const { client, kind, pick, restart } of scenario) {
          const name = `client ${client}`;
          const own = sent.filter((s) => s.client === name);
          const before = kind === "again" || kind === "old" ? sent[pick % Math.max(1, sent.length)] : undefined;
          const latest = own[own.length - 1];
          const session = kind === "new" || latest === undefined ? sessionNumber(one.executor.head.header.seq, pick) : latest.session;
          const rid = kind === "new" ? 1 : 1 + own.filter((s) => s.session === session).length;
          const next = before ?? { client: name, session, rid, bundle: bundleOf(name, session, rid) };
          if (before === undefined) sent.push(next);
          const expected = model.expected(next.client, next.session, next.rid);
          const slot = one.run(next.bundle);
          if (restart) other = other.restarted();
          const same = other.run(next.bundle);
          expect(same.hash).toBe(slot.hash);
          // The same bundle again shows its first result: executed once all the same.
          if (expected === "ALREADY_EXECUTED") expect([outcome(slot), slot.bundles[0]?.repeated]).toEqual(["ok", true]);
          else expect(outcome(slot)).toBe(expected);
          if (expected === "ok") model.executed(next.client, next.session, next.rid);
          expect(readTable(one.state).count).toBe(model.open.length);
        }
        expect(new Set(one.executed).size).toBe(one.executed.length);
      }),
      { numRuns: 150 },
    );
  });

  test("also on the real state store, reopened from its checkpoint", async () => {
    const { app } = recorder();
    let state: MemoryState = await memoryStateStore({ hasher, bucketBits: 4 });
    const header = genesisHeader(state.root());
    let executor = createExecutor({ state, app, hasher, logger: recordingLogger(), parameters: tools.cluster.parameters, head: { header, hash: blockHash(hasher, header) } });
    const plain = rig();
    const run = (bundle: Bundle): unknown => outcome(executor.execute(seqNum(executor.head.header.seq + 1), tools.batch([bundle]), {} as CommitCertificate));
    for (let i = 0; i < 30; i++) {
      const name = `client ${(i * 7) % 6}`;
      const session = i % 3 === 0 ? 0 : sessionNumber(executor.head.header.seq, 0);
      const bundle = bundleOf(name, session, 1 + (i % 2));
      expect(run(bundle)).toBe(outcome(plain.run(bundle)));
      if (i % 5 !== 4) continue;
      const { head } = executor;
      await state.checkpoint(head.header.seq);
      state = await state.reopen();
      executor = createExecutor({ state, app, hasher, logger: recordingLogger(), parameters: tools.cluster.parameters, head });
    }
  });
});

test("session numbers name their anchor", () => {
  expect(sessionAnchor(sessionNumber(seqNum(2 ** 33 - 1), 2 ** 20 - 1))).toBe(2 ** 33 - 1);
  expect(() => sessionNumber(seqNum(2 ** 33), 0)).toThrow(RangeError);
  expect(() => sessionNumber(seqNum(1), 2 ** 20)).toThrow(RangeError);
});
