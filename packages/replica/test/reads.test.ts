/** Reads that are not ordered: what one replica says, since when it holds, and when it says nothing. */
import { seqNum, toHex, type StateMachine } from "@narses/core";
import { hasher } from "@narses/crypto";
import { blockHash, decodeResult, encodePayload } from "@narses/wire";
import { beforeEach, describe, expect, test } from "vitest";
import type { Halt } from "../src/execution.ts";
import { createExecutor, type Executor } from "../src/executor.ts";
import { genesisHeader } from "../src/genesis.ts";
import { READ_DEBT_MS_MAX, READ_KEYS_REMEMBERED_MAX, READ_SLOTS_REMEMBERED } from "../src/limits.ts";
import { createFastReads, type FastAnswer, type FastReadsOptions } from "../src/reads/fast-read.ts";
import { RecentWrites } from "../src/reads/recent-writes.ts";
import { apply, testCluster } from "./support/cluster.ts";
import { FakeState, recordingLogger } from "./support/fakes.ts";

const tools = testCluster(4, { parameters: { fastReads: true } });

const app: StateMachine = {
  apply(op, { store }) {
    const { key, value } = op as { key: string; value: unknown };
    store.put(key, value);
    return null;
  },
  query(question, context) {
    if (question === "seq") return context.seq;
    if (question === "time") return context.time;
    if (question === "boom") throw new TypeError("secret");
    return (question as string[]).map((key) => context.store.get(key) ?? null);
  },
};

let state: FakeState;
let writes: RecentWrites;
let executor: Executor;
let rid: number;
let nowMs: number;
const head = { header: genesisHeader(new FakeState().root()), hash: blockHash(hasher, genesisHeader(new FakeState().root())) };

beforeEach(() => {
  state = new FakeState();
  writes = new RecentWrites(0);
  rid = 0;
  nowMs = 0;
  executor = writes.follow(createExecutor({
    app, hasher, head, logger: recordingLogger(), parameters: tools.cluster.parameters, state: writes.watch(state, () => executor.head.header.seq + 1),
  }));
});

function write(key: string, value: unknown): number {
  const seq = seqNum(executor.head.header.seq + 1);
  const batch = tools.batch([tools.bundle([apply({ key, value })], { ridFirst: ++rid })]);
  executor.execute(seq, batch, tools.committed(seq, batch.digest));
  return seq;
}

const reads = (options: Partial<FastReadsOptions> = {}): ReturnType<typeof createFastReads> =>
  createFastReads({ writes, state, app, hasher, head: () => executor.head.header, halted: () => undefined, horizon: 0, nowMs: () => nowMs, logger: recordingLogger(), ...options });
const ask = (question: unknown, full = true, options: Partial<FastReadsOptions> = {}): FastAnswer => reads(options)(encodePayload(question), full);
const valueOf = ({ result }: FastAnswer): unknown => {
  const decoded = decodeResult(result ?? new Uint8Array(0));
  return decoded.ok && decoded.value.status === "ok" ? decoded.value.value : decoded;
};
const problem = (act: () => unknown): unknown => {
  try {
    act();
    return undefined;
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
};

describe("a fast read", () => {
  test("says the value, the slot, and since when it holds", () => {
    write("a", 1);
    const b = write("b", 2);
    write("c", 3);
    const answer = ask(["b"]);
    expect(answer).toMatchObject({ seq: 3, since: b });
    expect(valueOf(answer)).toEqual([2]);
    expect(ask(["a", "b"])).toMatchObject({ seq: 3, since: 2 });
    expect(ask(["never written"])).toMatchObject({ seq: 3, since: 0 });
  });

  test("the digest is that of the result; the body comes only when asked for", () => {
    write("a", 1);
    const full = ask(["a"]);
    expect(toHex(full.digest)).toBe(toHex(hasher.sha256(full.result as Uint8Array)));
    expect(ask(["a"], false)).toEqual({ seq: 1, since: 1, digest: full.digest });
  });

  test("what depends on slot or time holds for this slot only", () => {
    write("a", 1);
    write("b", 2);
    expect(ask("seq")).toMatchObject({ seq: 2, since: 2 });
    expect(ask("time")).toMatchObject({ seq: 2, since: 2 });
  });

  test("a failing state machine is a result like any other; bytes that are no question too", () => {
    expect(decodeResult(ask("boom").result as Uint8Array)).toMatchObject({ ok: true, value: { status: "rejected", code: "INTERNAL" } });
    expect(decodeResult(reads()(Uint8Array.of(0xc1), true).result as Uint8Array)).toMatchObject({ ok: true, value: { status: "rejected", code: "BAD_OPERATION" } });
  });

  test("is refused where the cluster has none, while the state is in doubt, and until a restarted replica is where it was", () => {
    write("a", 1);
    expect(problem(() => ask(["a"], true, { writes: undefined }))).toBe("NOT_ALLOWED");
    const halted: Halt = { code: "DIVERGED", reason: "root differs" };
    expect(problem(() => ask(["a"], true, { halted: () => halted }))).toBe("DIVERGED");
    expect(problem(() => ask(["a"], true, { halted: () => ({ ...halted, code: "UNAVAILABLE" }) }))).toBe("UNAVAILABLE");
    expect(problem(() => ask(["a"], true, { horizon: 2 }))).toBe("UNAVAILABLE");
    write("a", 2);
    expect(problem(() => ask(["a"], true, { horizon: 2 }))).toBeUndefined();
  });

  test("a storm is refused when it has used its share of time, and served again later", () => {
    write("a", 1);
    const slow: StateMachine = { ...app, query: () => void (nowMs += 10) };
    const read = reads({ app: slow });
    let served = 0;
    while (problem(() => read(encodePayload([]), false)) === undefined) served++;
    expect(served).toBeLessThanOrEqual(2 * (READ_DEBT_MS_MAX / 10));
    expect(problem(() => read(encodePayload([]), false))).toBe("OVERLOADED");
    nowMs += 1_000;
    expect(problem(() => read(encodePayload([]), false))).toBeUndefined();
  });
});

describe("what was written lately", () => {
  test("is forgotten after a number of slots: an answer reaches no further back", () => {
    const a = write("a", 1);
    for (let i = 0; i < READ_SLOTS_REMEMBERED; i++) write("b", i);
    expect(writes.since(["a/a"])).toBeGreaterThanOrEqual(a);
    expect(ask(["a"]).since).toBeGreaterThanOrEqual(a);
    expect(ask(["a"]).since).toBeLessThan(executor.head.header.seq);
    expect(ask(["never"]).since).toBeGreaterThanOrEqual(a);
  });

  test("changes nothing of the state: what a checkpoint waits for is passed on", async () => {
    const failed = Promise.reject(new TypeError("the blocks"));
    await expect(writes.watch(new FakeState(), () => 1).checkpoint(seqNum(1), failed)).rejects.toThrow("the blocks");
  });

  test("is bounded in keys", () => {
    const watched = writes.watch(new FakeState(), () => 7);
    for (let i = 0; i <= READ_KEYS_REMEMBERED_MAX; i++) watched.put(`k${i}`, new Uint8Array(0));
    write("a", 1);
    expect(writes.since(["k0"])).toBe(7);
    expect(writes.since(["unknown"])).toBe(7);
  });

  test("after a state transfer nothing is known of before", () => {
    write("a", 1);
    executor.reset({ header: { ...executor.head.header, seq: seqNum(40) }, hash: executor.head.hash });
    expect(ask(["a"])).toMatchObject({ seq: 40, since: 40 });
  });
});
