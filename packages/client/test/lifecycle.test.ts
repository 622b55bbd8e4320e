import { assert, sessionAnchor, toHex, type NarsesError } from "@narses/core";
import { describe, expect, it } from "vitest";
import { connect } from "../src/connect.ts";
import { FakeCluster, clusterConfig, keyOf } from "./support/fake-cluster.ts";
import { FakeTimers, turn } from "./support/fake-timers.ts";
import { isSettled, open, rejectionOf } from "./support/open.ts";

const NEVER = { timeoutMs: Number.POSITIVE_INFINITY };

describe("connect", () => {
  const start = (cluster: FakeCluster, options: Partial<Parameters<typeof connect>[0]> = {}): { timers: FakeTimers; client: ReturnType<typeof connect> } => {
    const timers = new FakeTimers();
    return { timers, client: connect({ cluster: cluster.config, key: keyOf("client"), transport: cluster.transport, timers, ...options }) };
  };

  it("resolves when Q replicas are connected and have told the session's state", async () => {
    const cluster = new FakeCluster();
    cluster.transport.connected.clear();
    const { client } = start(cluster);
    for (const replica of [3, 1]) {
      cluster.transport.connect(replica);
      expect(await isSettled(client)).toBe(false);
    }
    cluster.transport.connect(2);
    expect((await client).status()).toMatchObject({ connected: [1, 2, 3], missing: [0], nextRid: 1 });
  });

  it("names the replicas not reached", async () => {
    const cluster = new FakeCluster();
    cluster.transport.connected.clear();
    const { client, timers } = start(cluster, { timeouts: { connectMs: 2_000 } });
    cluster.transport.connect(1);
    cluster.transport.connect(2);
    const reason = rejectionOf(client);
    await timers.advance(2_000);
    const error = (await reason) as NarsesError;
    expect(error.code).toBe("NOT_CONNECTED");
    expect(error.message).toContain("2 of 4 replicas connected within 2000 ms, 3 are needed; not reached: 0 (/ip4/127.0.0.1/tcp/7100), 3 (/ip4/127.0.0.1/tcp/7103)");
    expect(error.data).toMatchObject({ connected: [1, 2], missing: [0, 3], needed: 3 });
    expect(cluster.transport.stops).toBe(1);
    expect(timers.pending).toBe(0);
  });

  it("can be told to wait for fewer or for all", async () => {
    const cluster = new FakeCluster();
    cluster.transport.connected.clear();
    const { client } = start(cluster, { replicasNeeded: 1, session: 5 });
    cluster.transport.connect(2);
    expect((await client).status().session).toBe(5);

    const other = new FakeCluster();
    other.transport.disconnect(3);
    const all = start(other, { replicasNeeded: 4 });
    expect(await isSettled(all.client)).toBe(false);
    other.transport.connect(3);
    await all.client;
  });

  it("anchors its session at what a correct replica has executed, whatever f liars say, and counts requests from 1", async () => {
    const cluster = new FakeCluster({ n: 7 });
    cluster.sessions = (replica) => ({ seq: replica === 0 ? 2 ** 32 : replica === 1 ? 2 ** 31 : 40 - replica });
    const client = await start(cluster).client;
    expect(sessionAnchor(client.status().session)).toBe(38);
    await client.submit("x");
    expect(cluster.bundles()[0]).toMatchObject({ session: client.status().session, ridFirst: 1, ackLow: 0 });
  });

  it("two processes of one key have sessions of their own", async () => {
    const cluster = new FakeCluster();
    const [one, other] = [await start(cluster).client, await start(new FakeCluster()).client];
    expect(one.id).toBe(other.id);
    expect(one.status().session).not.toBe(other.status().session);
  });

  it("asks again when a replica fails to answer, and says so when too few do", async () => {
    const cluster = new FakeCluster();
    let asked = 0;
    cluster.sessions = (replica) => (replica === 1 || replica === 2 ? (asked++, "starting") : { seq: 0 });
    const { client, timers } = start(cluster);
    const reason = rejectionOf(client);
    await timers.advance(10_000);
    const error = (await reason) as NarsesError;
    expect(error.code).toBe("TIMEOUT");
    expect(error.message).toMatch(/replicas 0, 3 told where they stand within 10000 ms, 3 are needed .*; replica 1: its answer makes no sense: not an object; replica 2: /);
    expect(asked).toBeGreaterThan(10);
    expect(timers.pending).toBe(0);
    expect(cluster.transport.stops).toBe(1);
  });

  it("tells every replica who it is also when the session is given, and again on reconnection", async () => {
    const { cluster, client } = await open({}, { session: 1 });
    const calls = (): number[] =>
      cluster.transport.sent.flatMap(({ to, frame }) => {
        const decoded = cluster.codec.decodeClient(frame);
        return decoded.ok && decoded.value.type === "call" && decoded.value.method === "session" ? [to as number] : [];
      });
    expect(calls()).toEqual([0, 1, 2, 3]);
    cluster.transport.disconnect(1);
    cluster.transport.connect(1);
    expect(calls()).toEqual([0, 1, 2, 3, 1]);
    await client.close();
  });

  it("can be aborted, before and meanwhile", async () => {
    const cluster = new FakeCluster();
    expect(await rejectionOf(start(cluster, { signal: AbortSignal.abort("early") }).client)).toBe("early");
    expect(cluster.transport.sent).toHaveLength(0);
    cluster.transport.connected.clear();
    const controller = new AbortController();
    const { client, timers } = start(cluster, { signal: controller.signal });
    controller.abort("late");
    expect(await rejectionOf(client)).toBe("late");
    expect(cluster.transport.stops).toBe(1);
    expect(timers.pending).toBe(0);
  });

  it("fails as the transport fails to start", async () => {
    const cluster = new FakeCluster();
    cluster.transport.start = () => Promise.reject(new Error("no sockets here"));
    const { client, timers } = start(cluster);
    expect(await rejectionOf(client)).toMatchObject({ message: "no sockets here" });
    expect(timers.pending).toBe(0);
    cluster.transport.start = () => {
      throw new TypeError("started twice");
    };
    expect(await rejectionOf(start(cluster).client)).toMatchObject({ message: "started twice" });
  });

  it("refuses wrong options, a wrong cluster file, and a key that is not listed", async () => {
    const cluster = new FakeCluster();
    const refused = async (options: Partial<Parameters<typeof connect>[0]>): Promise<unknown> => rejectionOf(start(cluster, options).client);
    expect(await refused({ session: -1 })).toBeInstanceOf(RangeError);
    expect(await refused({ replicasNeeded: 5 })).toBeInstanceOf(RangeError);
    expect(await refused({ timeouts: { retransmitMs: 0 } })).toBeInstanceOf(RangeError);
    expect(await refused({ timeouts: { connectMs: -1 } })).toBeInstanceOf(RangeError);
    expect(await refused({ limits: { outstanding: 1 << 20 } })).toBeInstanceOf(RangeError);
    expect(await refused({ cluster: { ...cluster.config, f: 2 } })).toMatchObject({ code: "CONFIG_INVALID" });
    const smallOrder = `01${"00".repeat(31)}`;
    const [zero, ...others] = cluster.config.replicas;
    assert(zero !== undefined, "no replica");
    expect(await refused({ cluster: { ...cluster.config, replicas: [{ ...zero, publicKey: smallOrder }, ...others] } })).toMatchObject({ code: "KEY_INVALID" });
    expect(await refused({ cluster: clusterConfig({ clients: "listed", clientKeys: [toHex(keyOf("other").publicKey)] }) })).toMatchObject({
      code: "CONFIG_INVALID",
      data: { field: "clientKeys" },
    });
    expect(cluster.transport.sent).toHaveLength(0);
  });
});

describe("abort", () => {
  it("before submitting sends nothing", async () => {
    const { cluster, client } = await open();
    expect(await rejectionOf(client.submit(1, { signal: AbortSignal.abort("no") }))).toBe("no");
    expect(cluster.bundles()).toHaveLength(0);
    expect(client.status().nextRid).toBe(1);
  });

  it("of a waiting operation takes it out of the queue at once", async () => {
    const { cluster, client } = await open({}, { limits: { bundlesInFlight: 1 } });
    cluster.holding = true;
    const first = client.submit(1);
    await turn();
    const controller = new AbortController();
    const aborted = rejectionOf(client.submit(2, { signal: controller.signal }));
    const third = client.submit(3);
    controller.abort();
    expect(await aborted).toMatchObject({ name: "AbortError" });
    expect(client.status()).toMatchObject({ queuedOperations: 1 });
    cluster.release();
    await Promise.all([first, third]);
    expect(cluster.executed).toEqual([1, 3]);
    expect(client.status().nextRid).toBe(3);
  });

  it("of a sent operation rejects at once; it may still execute, and its neighbours are unharmed", async () => {
    const { cluster, timers, client } = await open();
    cluster.holding = true;
    const controller = new AbortController();
    const aborted = rejectionOf(client.submit(1, { ...NEVER, signal: controller.signal }));
    const neighbour = client.submit(2, NEVER);
    await turn();
    controller.abort("enough");
    expect(await aborted).toBe("enough");
    cluster.release();
    expect((await neighbour).result).toBe(2);
    expect(cluster.executed).toEqual([1, 2]);
    expect(client.status().ackLow).toBe(2);
    expect(timers.pending).toBe(0);
  });

  it("leaves no listener behind", async () => {
    const { client } = await open();
    const listeners = { added: 0, removed: 0 };
    const { signal } = new AbortController();
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => (listeners.added++, add(...args));
    signal.removeEventListener = (...args: Parameters<typeof remove>) => (listeners.removed++, remove(...args));
    for (let i = 0; i < 5; i++) await client.submit(i, { signal });
    expect(listeners).toEqual({ added: 5, removed: 5 });
  });
});

describe("close", () => {
  it("rejects what is in flight, waiting and called with CLOSED, and stops the transport once", async () => {
    const { cluster, timers, client } = await open({}, { limits: { bundlesInFlight: 1 } });
    cluster.holding = true;
    const inFlight = rejectionOf(client.submit(1));
    await turn();
    const waiting = rejectionOf(client.submit(2));
    const called = rejectionOf(client.call(0, "status"));
    await Promise.all([client.close(), client.close(), client[Symbol.asyncDispose]()]);
    for (const reason of await Promise.all([inFlight, waiting, called])) expect(reason).toMatchObject({ code: "CLOSED" });
    expect(cluster.transport.stops).toBe(1);
    expect(timers.pending).toBe(0);
    expect(await rejectionOf(client.submit(3))).toMatchObject({ code: "CLOSED" });
    expect(await rejectionOf(client.query(3))).toMatchObject({ code: "CLOSED" });
    expect(await rejectionOf(client.call(0, "status"))).toMatchObject({ code: "CLOSED" });
    expect(client.status()).toMatchObject({ bundlesInFlight: 0, queuedOperations: 0 });
  });
});

describe("call", () => {
  it("asks one replica and returns its answer", async () => {
    const { cluster, client } = await open();
    cluster.calls = (replica, method, params) => ({ ok: true, value: { replica, method, params } });
    expect(await client.call(2, "block", { seq: 7 })).toEqual({ replica: 2, method: "block", params: { seq: 7 } });
  });

  it("rejects with what the replica says is wrong", async () => {
    const { cluster, client } = await open();
    cluster.calls = () => ({ ok: false, value: { code: "UNKNOWN_METHOD", message: "no such method" } });
    expect(await rejectionOf(client.call(1, "nonsense"))).toMatchObject({
      code: "CALL_FAILED",
      message: 'replica 1 refused "nonsense": UNKNOWN_METHOD: no such method',
      data: { replica: 1, answer: { code: "UNKNOWN_METHOD" } },
    });
  });

  it("does not believe an answer of another replica", async () => {
    const { cluster, client } = await open();
    const answer = client.call(1, "status");
    await turn();
    const id = cluster.lastCall.get(1) ?? 0;
    const frame = cluster.codec.encodeToClient({ type: "call-result", id, ok: true, value: Uint8Array.of(1) });
    const [zero, one] = cluster.config.replicas;
    cluster.transport.receive(zero!.id, frame);
    expect(await isSettled(answer)).toBe(false);
    cluster.transport.receive(one!.id, frame);
    expect(await answer).toBe(1);
    expect(client.status().rejected).toEqual({ 0: { UNSOLICITED: 1 } });
  });

  it("rejects malformed values, lost connections, silence, strangers and aborts", async () => {
    const { cluster, timers, client } = await open();
    expect(await rejectionOf(client.call(4, "status"))).toBeInstanceOf(RangeError);
    expect(await rejectionOf(client.call(0, "status", {}, { signal: AbortSignal.abort("no") }))).toBe("no");

    const silent = rejectionOf(client.call(0, "status", {}, { timeoutMs: 10 }));
    const byDefault = rejectionOf(client.call(0, "status"));
    const aborted = new AbortController();
    const abortedCall = rejectionOf(client.call(0, "status", {}, { signal: aborted.signal }));
    aborted.abort("enough");
    expect(await abortedCall).toBe("enough");
    await timers.advance(10);
    expect(await silent).toMatchObject({ code: "TIMEOUT", data: { replica: 0, method: "status" } });
    await timers.advance(4_990);
    expect(await byDefault).toMatchObject({ code: "TIMEOUT" });

    const lost = rejectionOf(client.call(3, "status"));
    cluster.transport.disconnect(3);
    expect(await lost).toMatchObject({ code: "NOT_CONNECTED" });
    expect(await rejectionOf(client.call(3, "status"))).toMatchObject({ code: "NOT_CONNECTED" });
    expect(client.status().callsWaiting).toBe(0);
  });

  it("refuses more than the limit at once, not more than the limit in all", async () => {
    const { cluster, client } = await open({}, { limits: { calls: 2 } });
    cluster.calls = (_, method) => (method === "echo" ? { ok: true, value: 1 } : undefined);
    for (let i = 0; i < 3; i++) expect(await client.call(0, "echo")).toBe(1);
    const calls = [0, 1].map((replica) => rejectionOf(client.call(replica, "status")));
    expect(await rejectionOf(client.call(2, "status"))).toMatchObject({ code: "OVERLOADED" });
    await client.close();
    await Promise.all(calls);
  });
});
