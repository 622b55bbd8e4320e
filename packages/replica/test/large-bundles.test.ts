/** Large bundles in a cluster of whole replicas: clients send them to all, the primary names them, who lacks one fetches it. */
import type { Bundle, StateMachine } from "@narses/core";
import { afterEach, describe, expect, test } from "vitest";
import { apply, testCluster } from "./support/cluster.ts";
import { InProcess, until, type TestClient } from "./support/cluster-in-process.ts";

let running: InProcess | undefined;
afterEach(async () => {
  await running?.stop();
  running = undefined;
});

const length: StateMachine = { apply: (op) => (op as string).length };
const LARGE = "x".repeat(65_536);

async function cluster(parameters: NonNullable<Parameters<typeof testCluster>[1]>["parameters"] = {}): Promise<InProcess> {
  running = new InProcess(testCluster(4, { parameters }), length);
  await running.startAll();
  return running;
}

const counters = (c: InProcess, id: number) => c.member(id).core.status().counters;
const agreed = (c: InProcess, seq: number): boolean => {
  const heads = [...c.members.values()].map(({ core }) => core.status().head);
  return heads.every((head) => head.seq >= seq) && new Set(heads.map(({ block }) => block)).size === 1;
};
const views = (c: InProcess): readonly number[] => [...c.members.values()].map(({ core }) => core.status().engine.view);
/** A client known to every replica, so that any of them answers it. */
async function known(c: InProcess): Promise<TestClient> {
  const client = await c.client();
  for (const { id } of c.tools.cluster.replicas) await client.call(id, "session", { client: client.bundle([apply("")], 1).client });
  return client;
}
const large = (client: TestClient, rid: number): Bundle => client.bundle([apply(LARGE)], rid);

describe("large bundles", () => {
  test("go to all; the primary sends their digests: a fortieth of the bytes, and nobody fetches", async () => {
    const c = await cluster({ statusIntervalTicks: 1_000 });
    const client = await known(c);
    const before = counters(c, 0).bytesSent;
    for (let rid = 1; rid <= 4; rid++) {
      const bundle = large(client, rid);
      for (const to of [1, 2, 3]) client.send(to, bundle);
      await until("the backups hold it", () => [1, 2, 3].every((id) => counters(c, id).bundlesAdmitted >= rid));
      expect((await client.order(bundle, [0])).values).toEqual([LARGE.length]);
    }
    await until("all heads agree", () => agreed(c, 4));
    expect(counters(c, 0).sent).toMatchObject({ "pre-prepare": 0, "compact-pre-prepare": 12 });
    expect(counters(c, 0).bytesSent - before).toBeLessThan((4 * 3 * LARGE.length) / 40);
    expect([1, 2, 3].map((id) => counters(c, id).sent["fetch-bundles"])).toEqual([0, 0, 0]);
    expect([1, 2, 3].map((id) => counters(c, id).sent.forward)).toEqual([0, 0, 0]);
  });

  test("a backup that lacks one fetches it, votes and executes; so do all, when only the primary has it", async () => {
    const c = await cluster({ statusIntervalTicks: 1_000 });
    const client = await known(c);
    const bundle = large(client, 1);
    for (const to of [0, 1, 2]) client.send(to, bundle);
    await until("all heads agree", () => agreed(c, 1));
    expect(counters(c, 3)).toMatchObject({ bundlesFetched: 1, bundlesAdmitted: 0 });
    client.send(0, large(client, 2));
    await until("all heads agree", () => agreed(c, 2));
    expect([1, 2, 3].map((id) => counters(c, id).bundlesFetched)).toEqual([1, 1, 2].map((fetched, i) => (i === 2 ? fetched : 1)));
    expect(views(c)).toEqual([0, 0, 0, 0]);
  });

  test("a primary that gives nothing to who asks does not hold up who has it, and others give it", async () => {
    const c = await cluster();
    c.tamper = (from, to, frame) => {
      const decoded = c.tools.codec.decodePeer(frame);
      return from === 0 && to === 3 && decoded.ok && (decoded.value.type === "forward" || decoded.value.type === "pre-prepare") ? undefined : frame;
    };
    const client = await known(c);
    const bundle = large(client, 1);
    for (const to of [0, 1, 2]) client.send(to, bundle);
    await until("all heads agree", () => agreed(c, 1));
    expect(views(c)).toEqual([0, 0, 0, 0]);
  });

  test("a primary that names what nobody has is left like a silent one, and the next one orders what waits", async () => {
    const c = await cluster({ requestTimeoutTicks: 20, disconnectTimeoutTicks: 10 });
    const { codec } = c.tools;
    c.tamper = (from, _to, frame) => {
      const decoded = codec.decodePeer(frame);
      if (from !== 0 || !decoded.ok) return frame;
      if (decoded.value.type === "forward" || decoded.value.type === "pre-prepare") return undefined;
      if (decoded.value.type !== "compact-pre-prepare") return frame;
      const nobodys = c.tools.bundle([apply("never sent")]);
      const batch = c.tools.batch([nobodys], decoded.value.timestampMs);
      const signed = c.tools.prePrepare(decoded.value.signed.body.seq, batch.digest);
      return codec.encodePeer({ type: "compact-pre-prepare", signed, timestampMs: batch.timestampMs, bundles: [nobodys.digest] });
    };
    const client = await known(c);
    const bundle = large(client, 1);
    for (const to of [0, 1, 2, 3]) client.send(to, bundle);
    await until("the backups say what they wait for", () => c.member(1).core.why().findings.some((line) => line.startsWith("1 of 1 large bundles that the proposal for slot 1 names")));
    await until("the backups have executed it in a later view", () => [1, 2, 3].every((id) => c.member(id).core.status().head.seq >= 1 && (views(c)[id] ?? 0) >= 1));
    await until("the client has its answer", () => client.answerTo(bundle) !== undefined);
    for (const id of [1, 2, 3]) expect(c.member(id).core.status()).toMatchObject({ proposalsAwaited: [], proposalsAwaitedBytes: 0 });
  });

  test("one that no client signed is not prepared, and blames the primary that named it", async () => {
    const c = await cluster({ requestTimeoutTicks: 1_000 });
    const good = c.tools.bundle([apply(LARGE)]);
    const bytes = good.bytes.slice();
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    const decoded = c.tools.codec.decodeBundle(bytes);
    if (!decoded.ok) throw new TypeError(decoded.rejection.detail);
    const forged = decoded.value;
    const { codec } = c.tools;
    // The primary names the forgery in place of what it proposes, and gives it to whoever asked, in place of its STATUS.
    c.tamper = (from, to, frame) => {
      const sent = codec.decodePeer(frame);
      if (from !== 0 || !sent.ok) return frame;
      if (sent.value.type === "status") return counters(c, to).sent["fetch-bundles"] > 0 ? forged.bytes : frame;
      if (sent.value.type !== "compact-pre-prepare") return undefined;
      const batch = c.tools.batch([forged], sent.value.timestampMs);
      return codec.encodePeer({ type: "compact-pre-prepare", signed: c.tools.prePrepare(1, batch.digest), timestampMs: batch.timestampMs, bundles: [forged.digest] });
    };
    const client = await known(c);
    client.send(0, large(client, 1));
    await until("the view is left", () => c.member(1).core.status().engine.view === 1);
    expect(counters(c, 1)).toMatchObject({ rejected: { BATCH_INVALID: 1 }, slotsExecuted: 0 });
  });

  test("a replica killed after its vote has the payload in its log", async () => {
    const c = await cluster();
    const client = await known(c);
    await client.order(large(client, 1));
    await until("all heads agree", () => agreed(c, 1));
    const stores = await c.crash(2, "power-cut");
    await c.start(2, { stores, mustExist: true });
    await until("it has executed it again", () => agreed(c, 1));
    expect((await client.order(large(client, 2), [0, 1, 2])).values).toEqual([LARGE.length]);
  });

  test("who prepared what it had fetched has it whole in its log: after a power cut of all the next primary proposes it again, without its client and without who named it", async () => {
    const c = await cluster({ requestTimeoutTicks: 200, disconnectTimeoutTicks: 10, viewChangeTimeoutTicks: 20 });
    // Nothing is decided in view 0, before or after.
    c.tamper = (_from, _to, frame) => {
      const decoded = c.tools.codec.decodePeer(frame);
      return decoded.ok && decoded.value.type === "votes" && decoded.value.signed.body.votes.some(({ phase, view }) => phase === "commit" && view === 0) ? undefined : frame;
    };
    const client = await known(c);
    client.send(0, large(client, 1));
    await until("the backups fetched it and made it durable", () => [1, 2, 3].every((id) => counters(c, id).bundlesFetched === 1 && counters(c, id).records >= 2));
    const stores = await Promise.all([0, 1, 2, 3].map((id) => c.crash(id, "power-cut")));
    for (const id of [1, 2, 3]) await c.start(id, { stores: stores[id] as (typeof stores)[number], mustExist: true });
    await until("all heads agree", () => agreed(c, 1));
    expect([1, 2, 3].map((id) => counters(c, id).operationsExecuted)).toEqual([1, 1, 1]);
    expect(Math.min(...views(c))).toBeGreaterThan(0);
  });
});
