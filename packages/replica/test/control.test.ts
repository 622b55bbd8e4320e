import { seqNum, type CommitCertificate, type StateMachine } from "@narses/core";
import { hasher } from "@narses/crypto";
import { blockHash, decodePayload, encodePayload } from "@narses/wire";
import { describe, expect, test } from "vitest";
import { ClientConnections } from "../src/client-connections.ts";
import { createControl, type Control } from "../src/control.ts";
import { newCounters } from "../src/counters.ts";
import { createExecutor } from "../src/executor.ts";
import { genesisHeader } from "../src/genesis.ts";
import { CALL_PARAMS_BYTES_MAX, CALLS_PER_CONNECTION_MAX } from "../src/limits.ts";
import { apply, testCluster } from "./support/cluster.ts";
import { FakeBlocks, FakeConnection, FakeState, recordingLogger } from "./support/fakes.ts";

const tools = testCluster(4);

const app: StateMachine = {
  apply(op, { store }) {
    store.put("last", op);
    return op;
  },
  query(question, { store, seq }) {
    if (question === "boom") throw new TypeError("secret detail");
    if (question === "large") return "x".repeat(30 << 20);
    return [store.get("last"), seq];
  },
};

function setUp(options: { readonly localQueries?: boolean; readonly machine?: StateMachine } = {}): {
  control: Control; connections: ClientConnections; call(method: string, params?: unknown): Promise<{ ok: boolean; value: unknown }>; raw(method: string, params: Uint8Array): Promise<{ ok: boolean; value: unknown }>;
} {
  const state = new FakeState();
  const blocks = new FakeBlocks();
  const logger = recordingLogger();
  const header = genesisHeader(state.root());
  blocks.put({ header, batch: undefined, results: [], certificate: undefined });
  const machine = options.machine ?? app;
  const executor = createExecutor({ state, app: machine, hasher, logger, parameters: tools.cluster.parameters, head: { header, hash: blockHash(hasher, header) } });
  const batch = tools.batch([tools.bundle([apply("hello")])]);
  blocks.put(executor.execute(seqNum(1), batch, tools.committed(1, batch.digest) satisfies CommitCertificate).block);
  const connections = new ClientConnections();
  const control = createControl({
    codec: tools.codec, state, blocks, executor, connections, app: machine, localQueries: options.localQueries ?? true, counters: newCounters(), logger,
    admission: { isOpen: ({ session }) => session === 7 }, halted: () => undefined,
    provenReads: { prove: async (key) => new TextEncoder().encode(`proof of ${key}`) },
    fastRead: (question, full) => ({ seq: 1, since: 0, digest: hasher.sha256(question), ...(full && { result: question }) }),
    status: () => ({ replica: 0, halted: null }), why: () => ({ headline: "Replica 0 is waiting for nothing" }),
  });
  const raw = async (method: string, params: Uint8Array): Promise<{ ok: boolean; value: unknown }> => {
    const connection = new FakeConnection();
    control.call(connection, { id: 5, method, params });
    for (let i = 0; i < 50 && connection.frames.length === 0; i++) await Promise.resolve();
    const message = tools.codec.decodeToClient(connection.frames[0] ?? new Uint8Array(0));
    if (!message.ok || message.value.type !== "call-result") throw new TypeError("no answer");
    expect(message.value.id).toBe(5);
    const value = decodePayload(message.value.value);
    return { ok: message.value.ok, value: value.ok ? value.value : value.rejection };
  };
  return { control, connections, raw, call: (method, params = {}) => raw(method, encodePayload(params)) };
}

describe("control calls", () => {
  test("status, head, session, block, app-query", async () => {
    const { call, connections } = setUp();
    expect(await call("status")).toEqual({ ok: true, value: { replica: 0, halted: null } });
    expect(await call("why")).toEqual({ ok: true, value: { headline: "Replica 0 is waiting for nothing" } });
    expect(await call("head")).toMatchObject({ ok: true, value: { seq: 1, timestampMs: 1_000 } });
    const client = "ab".repeat(32);
    expect(await call("session", { client })).toEqual({ ok: true, value: { seq: 1 } });
    expect(await call("session", { client, session: 7 })).toEqual({ ok: true, value: { seq: 1, open: true } });
    expect(await call("session", { client, session: 8 })).toEqual({ ok: true, value: { seq: 1, open: false } });
    expect(connections.of(client as never)).toHaveLength(3);
    const { value } = await call("block", { seq: 1 });
    expect(tools.codec.decodeBlock(value as Uint8Array).batch?.bundles).toHaveLength(1);
    expect(await call("app-query", { question: "last" })).toEqual({ ok: true, value: { value: ["hello", 1], seq: 1, consistency: "local" } });
  });

  test.each([
    ["nothing", {}, "METHOD_UNKNOWN", "status, why, session, head, block, read, prove, app-query"],
    ["block", { seq: 2 }, "NOT_FOUND", "block 2"],
    ["block", { seq: -1 }, "REQUEST_INVALID", "seq"],
    ["block", { seq: 1, also: 1 }, "REQUEST_INVALID", "also"],
    ["session", { client: "AB" }, "REQUEST_INVALID", "client"],
    ["session", null, "REQUEST_INVALID", "parameters"],
    ["app-query", { question: "boom" }, "INTERNAL", "log tells why"],
    ["app-query", { question: "large" }, "REQUEST_TOO_LARGE", "bytes"],
  ])("%s %j is refused with %s", async (method, params, code, text) => {
    const { ok, value } = await setUp().call(method, params);
    expect([ok, value]).toEqual([false, { code, message: expect.stringContaining(text) as string }]);
    expect((value as { message: string }).message).not.toContain("secret");
  });

  test("parameters are bounded and strict", async () => {
    const { raw } = setUp();
    expect(await raw("status", new Uint8Array(CALL_PARAMS_BYTES_MAX + 1))).toMatchObject({ ok: false, value: { code: "REQUEST_TOO_LARGE" } });
    expect(await raw("status", Uint8Array.of(0xc1))).toMatchObject({ ok: false, value: { code: "REQUEST_INVALID" } });
  });

  test("local queries can be switched off, and need a state machine that answers", async () => {
    expect(await setUp({ localQueries: false }).call("app-query", { question: 1 })).toMatchObject({ ok: false, value: { code: "NOT_ALLOWED" } });
    expect(await setUp({ machine: { apply: () => null } }).call("app-query", { question: 1 })).toMatchObject({ ok: false, value: { code: "METHOD_UNKNOWN" } });
  });

  test("calls of a connection are bounded while they are without an answer, and not for ever", async () => {
    const { control } = setUp();
    const connection = new FakeConnection();
    const burst = (): void => {
      for (let id = 1; id <= CALLS_PER_CONNECTION_MAX + 2; id++) control.call(connection, { id, method: "head", params: encodePayload({}) });
    };
    const outcomes = async (): Promise<number> => {
      for (let i = 0; i < 50; i++) await Promise.resolve();
      const answers = connection.frames.splice(0).map((frame) => tools.codec.decodeToClient(frame));
      return answers.filter((answer) => answer.ok && answer.value.type === "call-result" && answer.value.ok).length;
    };
    burst();
    expect(await outcomes()).toBe(CALLS_PER_CONNECTION_MAX);
    burst();
    expect(await outcomes()).toBe(CALLS_PER_CONNECTION_MAX);
  });
});
