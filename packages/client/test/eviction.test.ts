/** A cluster that evicts the client's session: what was sent and not answered is in doubt, everything else goes on unnoticed. */
import { sessionAnchor, type NarsesError } from "@narses/core";
import { describe, expect, it } from "vitest";
import type { FakeCluster } from "./support/fake-cluster.ts";
import { isSettled, open, rejectionOf } from "./support/open.ts";

/** Bundles of sessions anchored below `slot` are answered as execution answers them: EVICTED. */
function evictsBelow(cluster: FakeCluster, slot: number): void {
  cluster.sessions = (_replica, session) => ({ seq: slot, ...(session !== undefined && { open: sessionAnchor(session as number) >= slot }) });
  const evicted = (): boolean => cluster.bundles().at(-1) !== undefined && sessionAnchor(cluster.bundles().at(-1)?.session ?? 0) < slot;
  cluster.apply = (operation) => {
    if (evicted()) throw Object.assign(new Error("evicted"), { code: "NOT_EXECUTED", message: "EVICTED" });
    return operation;
  };
}

const outcomeOf = async (promise: Promise<{ readonly result: unknown }>): Promise<unknown> => {
  const [settled] = await Promise.allSettled([promise]);
  return settled.status === "fulfilled" ? settled.value.result : (settled.reason as NarsesError).code;
};

describe("an evicted session", () => {
  it("puts what was sent in doubt, with the certificate, and never sends it again; what waited goes into a new session", async () => {
    const { cluster, client } = await open({}, { limits: { bundlesInFlight: 1 } });
    await client.submit("before");
    evictsBelow(cluster, 40);
    const sent = client.submit("sent");
    await Promise.resolve();
    const waiting = client.submit("waiting");
    const error = (await rejectionOf(sent)) as NarsesError;
    expect(error).toMatchObject({ code: "IN_DOUBT", data: { code: "EVICTED", seq: 2 } });
    expect(error.data["receipt"]).toBeDefined();
    expect(error.message).toContain("executed at most once");
    expect(await outcomeOf(waiting)).toBe("waiting");
    expect(sessionAnchor(client.status().session)).toBe(40);
    expect(cluster.bundles().map(({ session, ridFirst, operations }) => [sessionAnchor(session), ridFirst, operations.length])).toEqual([[0, 1, 1], [0, 2, 1], [40, 1, 1]]);
  });

  it("is told by the refusals of W replicas as well, not by one", async () => {
    const { cluster, client } = await open();
    cluster.holding = true;
    const operation = client.submit("x");
    await Promise.resolve();
    const digest = cluster.bundles()[0]?.digest ?? ("" as never);
    evictsBelow(cluster, 40);
    cluster.refuse(1, digest, "EVICTED", "not open any more");
    expect(await isSettled(operation)).toBe(false);
    cluster.refuse(2, digest, "EVICTED", "not open any more");
    expect(await rejectionOf(operation)).toMatchObject({ code: "IN_DOUBT", data: { refusals: [{ replica: 1 }, { replica: 2 }] } });
    cluster.holding = false;
    expect(await outcomeOf(client.submit("y"))).toBe("y");
  });

  it("SESSION_UNKNOWN is no reason to give up: replicas that lag do not know a new session yet", async () => {
    const { cluster, client } = await open();
    cluster.holding = true;
    const operation = client.submit("x");
    await Promise.resolve();
    const digest = cluster.bundles()[0]?.digest ?? ("" as never);
    for (const replica of [0, 1, 2, 3]) cluster.refuse(replica, digest, "SESSION_UNKNOWN", "anchored at slot 9");
    expect(await isSettled(operation)).toBe(false);
    cluster.release();
    expect(await outcomeOf(operation)).toBe("x");
  });

  it("is noticed before anything is sent after a pause, so that nothing is in doubt", async () => {
    const { cluster, client, timers } = await open();
    await client.submit("before");
    evictsBelow(cluster, 40);
    await timers.advance(10_001);
    expect(await outcomeOf(client.submit("after"))).toBe("after");
    expect(cluster.bundles().map(({ session }) => sessionAnchor(session))).toEqual([0, 40]);
  });

  it("f liars cannot make a client change its session, nor keep it from sending", async () => {
    const { cluster, client, timers } = await open();
    const first = client.status().session;
    await timers.advance(10_001);
    cluster.sessions = (replica) => ({ seq: 0, open: replica !== 1 });
    await client.submit("x");
    expect(client.status().session).toBe(first);
    await timers.advance(10_001);
    cluster.sessions = () => undefined; // nobody answers
    const operation = client.submit("y");
    await timers.advance(500);
    expect(await outcomeOf(operation)).toBe("y");
    expect(client.status().session).toBe(first);
  });

  it("every bundle in flight learns its own fate: one was executed, one is in doubt", async () => {
    const { cluster, client } = await open({ parameters: { bundleOperationsMax: 1 } }, { limits: { bundlesInFlight: 2 } });
    cluster.holding = true;
    const executed = client.submit("executed");
    const doubtful = client.submit("doubtful");
    await Promise.resolve();
    const [one, two] = cluster.bundles();
    if (one === undefined || two === undefined) throw new TypeError("two bundles are in flight");
    cluster.sessions = () => ({ seq: 40 });
    for (const replica of [0, 3]) cluster.refuse(replica, two.digest, "EVICTED", "not open any more");
    expect(await rejectionOf(doubtful)).toMatchObject({ code: "IN_DOUBT" });
    cluster.order([one]);
    expect(await outcomeOf(executed)).toBe("executed");
    cluster.holding = false;
    expect(await outcomeOf(client.submit("new"))).toBe("new");
    expect(cluster.bundles().at(-1)).toMatchObject({ ridFirst: 1, ackLow: 0 });
  });

  it("closing while another session is being chosen ends everything that waits", async () => {
    const { cluster, client, timers } = await open();
    await timers.advance(10_001);
    cluster.sessions = () => undefined;
    const operation = client.submit("x");
    await Promise.resolve();
    await client.close();
    expect(await rejectionOf(operation)).toMatchObject({ code: "CLOSED" });
    expect(timers.pending).toBe(0);
  });
});
