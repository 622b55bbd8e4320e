import { assert, type NarsesError } from "@narses/core";
import { describe, expect, it } from "vitest";
import { turn } from "./support/fake-timers.ts";
import { isSettled, open, rejectionOf, type Opened } from "./support/open.ts";

const NEVER = { timeoutMs: Number.POSITIVE_INFINITY };

/** Operations are received and not answered until `cluster.release()`. */
async function held(options: Parameters<typeof open>[1] = {}): Promise<Opened> {
  const opened = await open({}, options);
  opened.cluster.holding = true;
  return opened;
}

describe("silence", () => {
  it("makes the client send the same bytes to all replicas, after doubling delays, until it is answered", async () => {
    const { cluster, timers, client } = await held({ timeouts: { retransmitMs: 400, retransmitMaxMs: 3_200 } });
    const answer = client.submit("x", NEVER);
    await turn();
    expect(cluster.requests().map(({ to }) => to)).toEqual([0]);
    const delays: number[] = [];
    for (let round = 1; round <= 6; round++) {
      const delay = timers.nextInMs ?? Number.NaN;
      delays.push(delay);
      await timers.advance(delay - 1);
      expect(client.status().retransmissions).toBe(round - 1);
      await timers.advance(1);
      expect(client.status().retransmissions).toBe(round);
      expect(cluster.requests().slice(-4).map(({ to }) => to)).toEqual([0, 1, 2, 3]);
    }
    for (const [i, full] of [400, 800, 1_600, 3_200, 3_200, 3_200].entries()) {
      expect(delays[i]).toBeGreaterThanOrEqual(0.75 * full);
      expect(delays[i]).toBeLessThanOrEqual(full);
    }
    const [first, ...others] = cluster.requests();
    expect(others).toHaveLength(24);
    for (const { frame } of others) expect(frame).toEqual(first?.frame);
    cluster.release();
    expect((await answer).result).toBe("x");
    expect(timers.pending).toBe(0);
  });

  it("repeats exactly with the same jitter seed", async () => {
    const delaysOf = async (jitterSeed: number): Promise<number[]> => {
      const { timers, client } = await held({ jitterSeed });
      client.submit("x", NEVER).catch(() => undefined);
      await turn();
      const delays: number[] = [];
      for (let i = 0; i < 4; i++) {
        delays.push(timers.nextInMs ?? Number.NaN);
        await timers.advance(delays[i] ?? 0);
      }
      return delays;
    };
    expect(await delaysOf(5)).toEqual(await delaysOf(5));
    expect(await delaysOf(5)).not.toEqual(await delaysOf(6));
  });

  it("of a primary that swallows requests is overcome", async () => {
    const { cluster, timers, client } = await open();
    cluster.silent.add(0);
    const answer = client.submit("x");
    expect(await isSettled(answer)).toBe(false);
    await timers.advance(500);
    expect((await answer).result).toBe("x");
  });

  it("asks for the cached reply when the first ones were lost", async () => {
    const { cluster, timers, client } = await open();
    for (const replica of [0, 1, 2, 3]) cluster.lies.set(replica, () => undefined);
    const answer = client.submit("x");
    expect(await isSettled(answer)).toBe(false);
    cluster.lies.clear();
    await timers.advance(500);
    expect((await answer).result).toBe("x");
    expect(cluster.executed).toEqual(["x"]);
  });
});

describe("a lost connection", () => {
  it("to the primary makes the client send to all others at once", async () => {
    const { cluster, timers, client } = await held();
    const answer = client.submit("x", NEVER);
    await turn();
    cluster.transport.disconnect(0);
    expect(cluster.requests().map(({ to }) => to)).toEqual([0, 1, 2, 3]);
    expect(timers.now()).toBe(0);
    cluster.release();
    expect((await answer).result).toBe("x");
  });

  it("to a backup changes nothing", async () => {
    const { cluster, client } = await held();
    client.submit("x", NEVER).catch(() => undefined);
    await turn();
    cluster.transport.disconnect(2);
    expect(cluster.requests()).toHaveLength(1);
    await client.close();
  });

  it("that exists already makes the first transmission go to all others", async () => {
    const { cluster, client } = await open();
    cluster.transport.disconnect(0);
    expect((await client.submit("x")).result).toBe("x");
    expect(cluster.requests().map(({ to }) => to)).toEqual([1, 2, 3]);
  });

  it("that comes back brings what the others have got meanwhile, and not what the primary alone has got", async () => {
    const { cluster, client } = await held();
    cluster.transport.disconnect(2);
    client.submit("x", NEVER).catch(() => undefined);
    await turn();
    cluster.transport.connect(2);
    cluster.transport.disconnect(3);
    expect(cluster.requests().map(({ to }) => to)).toEqual([0]);
    cluster.transport.disconnect(0);
    expect(cluster.requests().map(({ to }) => to)).toEqual([0, 1, 2]);
    cluster.transport.connect(3);
    cluster.transport.connect(0);
    expect(cluster.requests().map(({ to }) => to)).toEqual([0, 1, 2, 3, 0]);
    await client.close();
  });
});

describe("a time limit", () => {
  it("tells who replied, who refused and who is connected", async () => {
    const { cluster, timers, client } = await open();
    for (const replica of [1, 2, 3]) cluster.silent.add(replica);
    cluster.transport.disconnect(3);
    const reason = rejectionOf(client.submit("x", { timeoutMs: 1_000 }));
    await turn();
    const [bundle] = cluster.bundles();
    assert(bundle !== undefined, "nothing sent");
    cluster.refuse(1, bundle.digest, "OVERLOADED", "4096 bundles wait");
    cluster.refuse(1, bundle.digest, "OVERLOADED", "4097 bundles wait");
    await timers.advance(1_000);
    const error = (await reason) as NarsesError;
    expect(error.code).toBe("TIMEOUT");
    expect(error.message).toMatch(
      /^request 1 has no 2 matching replies after 1000 ms and 1 retransmissions; replies from replicas: 0; connected replicas: 0, 1, 2; replica 1 refused it: OVERLOADED: 4097 bundles wait\. It may still execute/,
    );
    expect(error.data).toMatchObject({
      sent: true,
      rid: 1,
      replied: [0],
      refusals: [{ replica: 1, code: "OVERLOADED", detail: "4097 bundles wait" }],
      connected: [0, 1, 2],
    });
  });

  it("does not stop the retransmission: the request id must be used up", async () => {
    const { cluster, timers, client } = await held();
    const reason = rejectionOf(client.submit("x", { timeoutMs: 100 }));
    await timers.advance(100);
    expect(await reason).toMatchObject({ code: "TIMEOUT" });
    expect(client.status()).toMatchObject({ bundlesInFlight: 1, ackLow: 0 });
    await timers.advance(10_000);
    expect(client.status().retransmissions).toBeGreaterThan(3);
    cluster.release();
    await turn();
    expect(client.status()).toMatchObject({ bundlesInFlight: 0, ackLow: 1 });
    expect(timers.pending).toBe(0);
  });

  it("of a waiting operation says that it was not sent, and it never is", async () => {
    const { cluster, timers, client } = await held({ limits: { bundlesInFlight: 1 } });
    client.submit("first", NEVER).catch(() => undefined);
    await turn();
    const reason = rejectionOf(client.submit("second", { timeoutMs: 50 }));
    await timers.advance(50);
    expect(await reason).toMatchObject({ code: "TIMEOUT", data: { sent: false } });
    cluster.release();
    await turn();
    expect(cluster.executed).toEqual(["first"]);
    expect(client.status()).toMatchObject({ queuedOperations: 0, queuedBytes: 0, nextRid: 2 });
  });

  it("must be a number of milliseconds", async () => {
    const { client } = await open();
    for (const timeoutMs of [-1, Number.NaN, 2 ** 31]) expect(await rejectionOf(client.submit(1, { timeoutMs }))).toBeInstanceOf(RangeError);
  });
});

describe("a refusal", () => {
  it("for good by W replicas ends the bundle: its ids were used by another process", async () => {
    const { cluster, timers, client } = await held();
    const reasons = Promise.all([rejectionOf(client.submit("x", NEVER)), rejectionOf(client.submit("y", NEVER))]);
    await turn();
    const [bundle] = cluster.bundles();
    assert(bundle !== undefined, "nothing sent");
    cluster.refuse(0, bundle.digest, "ALREADY_EXECUTED", "ids are executed");
    cluster.refuse(0, bundle.digest, "ALREADY_EXECUTED", "ids are executed");
    cluster.refuse(3, bundle.digest, "REQUEST_INVALID", "another reason");
    await turn();
    expect(client.status()).toMatchObject({ bundlesInFlight: 1, ackLow: 0 });
    cluster.refuse(1, bundle.digest, "ALREADY_EXECUTED", "ids are executed");
    for (const reason of await reasons) {
      expect(reason).toMatchObject({ code: "NOT_EXECUTED", data: { code: "ALREADY_EXECUTED" } });
      expect((reason as Error).message).toMatch(/requests 1 to 2 will not be ordered; replica 0 refused it: ALREADY_EXECUTED.*Another process uses this key/);
    }
    expect(client.status()).toMatchObject({ bundlesInFlight: 0, ackLow: 2 });
    expect(timers.pending).toBe(0);
    cluster.holding = false;
    await client.submit("z");
    expect(cluster.bundles().at(-1)).toMatchObject({ ridFirst: 3, ackLow: 2 });
  });

  it("for now by all replicas does not: the bundle is sent again", async () => {
    const { cluster, timers, client } = await held();
    const answer = client.submit("x", NEVER);
    await turn();
    const [bundle] = cluster.bundles();
    assert(bundle !== undefined, "nothing sent");
    for (const replica of [0, 1, 2, 3]) cluster.refuse(replica, bundle.digest, "OVERLOADED", "4096 bundles wait");
    cluster.holding = false;
    await timers.advance(500);
    expect((await answer).result).toBe("x");
  });

  it("of a bundle that is not in flight is ignored", async () => {
    const { cluster, client } = await open();
    await client.submit("x");
    const [bundle] = cluster.bundles();
    assert(bundle !== undefined, "nothing sent");
    for (const replica of [0, 1]) cluster.refuse(replica, bundle.digest, "ALREADY_EXECUTED", "late");
    expect((await client.submit("y")).result).toBe("y");
  });
});
