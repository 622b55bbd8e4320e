import { fromHex, replicaId, type StateMachine } from "@narses/core";
import { hasher, merkleVerify } from "@narses/crypto";
import { blockHash, resultLeaf } from "@narses/wire";
import { afterEach, describe, expect, test } from "vitest";
import { systemClock } from "../src/ticker.ts";
import { apply, query, testCluster } from "./support/cluster.ts";
import { counter, InProcess, until } from "./support/cluster-in-process.ts";

let running: InProcess | undefined;
afterEach(async () => {
  await running?.stop();
  running = undefined;
});

async function cluster(n: number, parameters: Parameters<typeof testCluster>[1] = {}, app?: StateMachine): Promise<InProcess> {
  running = new InProcess(testCluster(n, parameters), app);
  await running.startAll();
  return running;
}

const heads = (c: InProcess): { seq: number; block: string }[] => [...c.members.values()].map(({ core }) => core.status().head);
const agreed = (c: InProcess, seq: number): boolean => heads(c).every((head) => head.seq >= seq) && new Set(heads(c).map(({ block }) => block)).size === 1;

describe("a cluster in one process", () => {
  test("n = 1 orders without any peer, and its replies lead to its block", async () => {
    const c = await cluster(1);
    const client = await c.client();
    const bundle = client.bundle([apply({ add: 2 }), apply({ add: 3 }), query("total")]);
    const { values, reply, block } = await client.order(bundle);
    expect(values).toEqual([2, 5, 5]);
    expect(blockHash(hasher, reply.header)).toBe(block);
    expect(merkleVerify(resultLeaf(hasher, bundle.digest, reply.results), reply.leafIndex, reply.leafCount, reply.path, fromHex(reply.header.resultRoot))).toBe(true);
    const { message, signature } = c.tools.codec.signedParts(reply.outcome.bytes);
    expect(c.tools.replicaKeys[0]?.verify(message, signature)).toBe(true);
    expect(c.member(0).core.status().counters).toMatchObject({ sent: { votes: 0, "pre-prepare": 0 }, sendsDropped: 0 });
  });

  test("a clock with fractions of milliseconds: a batch has whole ones", async () => {
    running = new InProcess(testCluster(1));
    running.clock = { ...systemClock, wallMs: () => 1_700_000_000_000.75 };
    await running.startAll();
    const { reply } = await (await running.client()).submit([apply({ add: 1 })]);
    expect(reply.header.timestampMs).toBe(1_700_000_000_000);
  });

  test("n = 4: the same blocks everywhere, across checkpoints; a client known to all needs to send to the primary only", async () => {
    const c = await cluster(4, { parameters: { checkpointInterval: 4, logWindow: 16 } });
    const client = await c.client();
    for (const { id } of c.tools.cluster.replicas) await client.call(id, "session", { client: client.bundle([apply({ add: 0 })], 1).client });
    for (let i = 1; i <= 10; i++) expect((await client.order(client.bundle([apply({ add: 1 })], i), [0])).values).toEqual([i]);
    await until("all heads agree", () => agreed(c, 10));
    await until("both checkpoints are stable everywhere", () => [...c.members.values()].every(({ core }) => core.status().engine.stableSeq === 8));
    for (const { core } of c.members.values()) expect(core.status().durableSeq).toBe(8);
  });

  test("a bundle sent again is answered from the block that executed it", async () => {
    const c = await cluster(4);
    const client = await c.client();
    const bundle = client.bundle([apply({ add: 7 })]);
    const first = await client.order(bundle);
    await until("all executed it", () => agreed(c, 1));
    client.received.length = 0;
    const again = await client.order(bundle);
    expect(again.block).toBe(first.block);
    expect(again.values).toEqual([7]);
    expect(heads(c).map(({ seq }) => seq)).toEqual([1, 1, 1, 1]);
    expect(await client.call(2, "app-query", { question: null })).toEqual({ value: 7, seq: 1, consistency: "local" });
  });

  test.each(["kill", "power-cut"] as const)("a replica that comes back after a %s executes to the same blocks and catches up", async (how) => {
    const c = await cluster(4, { parameters: { checkpointInterval: 4, logWindow: 16 } });
    const client = await c.client();
    for (let i = 0; i < 6; i++) await client.submit([apply({ add: 1 })]);
    await until("all heads agree", () => agreed(c, 6));
    const stores = await c.crash(3, how);
    expect(stores.state.durableSeq).toBe(4);
    for (let i = 0; i < 3; i++) await client.submit([apply({ add: 1 })]);
    await c.start(3, { stores, mustExist: true });
    await until("replica 3 has caught up", () => agreed(c, 9));
    expect((await client.submit([apply({ add: 1 })])).values).toEqual([10]);
    await until("all heads agree", () => agreed(c, 10));
  });

  test("a replica far behind gets the decided slots out of the others' block stores", async () => {
    const c = await cluster(4, { parameters: { checkpointInterval: 2, logWindow: 32, pipelineDepth: 1 } });
    const client = await c.client();
    await c.member(3).core.stop();
    c.members.delete(3);
    for (let i = 0; i < 20; i++) await client.submit([apply({ add: 1 })]);
    await c.start(3);
    await until("replica 3 has caught up", () => agreed(c, 20));
    expect(c.member(3).core.status().counters.received.decision).toBeGreaterThanOrEqual(20);
  });

  test("the primary dies: the others go on in the next view", async () => {
    const c = await cluster(4, { parameters: { requestTimeoutTicks: 20, disconnectTimeoutTicks: 5, viewChangeTimeoutTicks: 20 } });
    const client = await c.client();
    await client.submit([apply({ add: 1 })]);
    await c.member(0).core.stop();
    c.members.delete(0);
    expect((await client.submit([apply({ add: 1 })])).values).toEqual([2]);
    expect(c.member(1).core.status().engine.view).toBeGreaterThanOrEqual(1);
    await until("the others agree", () => agreed(c, 2));
  });

  test("a primary that proposes a forged request is left at once, and what it proposed is never executed", async () => {
    const c = new InProcess(testCluster(4, { parameters: { requestTimeoutTicks: 1_000_000 } }));
    running = c;
    for (const id of [1, 2, 3]) await c.start(id);
    const primary = c.network.transport(replicaId(0));
    let connected = 0;
    await primary.start({ onPeer: () => void connected++, onPeerFrame: () => undefined, onClientFrame: () => undefined, onClientGone: () => undefined });
    await until("connected", () => connected === 3);
    const client = await c.client();
    const bytes = client.bundle([apply({ add: 1_000 })]).bytes.slice();
    bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1;
    const forged = c.tools.codec.decodeBundle(bytes);
    if (!forged.ok) throw new TypeError(forged.rejection.detail);
    const batch = c.tools.batch([forged.value], Date.now());
    const frame = c.tools.codec.encodePeer({ type: "pre-prepare", signed: c.tools.prePrepare(1, batch.digest), batch });
    for (const id of [1, 2, 3]) primary.send(replicaId(id), frame);
    await until("all in view 1", () => [1, 2, 3].every((id) => { const { engine } = c.member(id).core.status(); return engine.view === 1 && engine.active; }));
    expect((await client.order(client.bundle([apply({ add: 1 })]), [1, 2, 3])).values).toEqual([1]);
    expect(c.member(2).core.status().counters.rejected).toMatchObject({ BATCH_INVALID: expect.any(Number) as number });
    await primary.stop();
  });

  test.each(["kill", "power-cut"] as const)("n = 1 in a crash loop (%s): whatever was answered is still there, exactly once, in the same blocks", async (how) => {
    const c = await cluster(1, { parameters: { checkpointInterval: 2, logWindow: 4, pipelineDepth: 2 } });
    const blocks: string[] = [];
    for (let round = 1; round <= 6; round++) {
      const client = await c.client();
      const bundle = client.bundle([apply({ add: 1 })], round);
      const { values, block } = await client.order(bundle);
      expect(values).toEqual([round]);
      blocks.push(block);
      await client.stop();
      const stores = await c.crash(0, how);
      await c.start(0, { stores, mustExist: true });
      await until("all slots are executed again", () => c.member(0).core.status().head.seq === round);
      const again = await c.client();
      const answer = await again.order(bundle);
      expect([answer.values, answer.block]).toEqual([[round], blocks[round - 1]]);
      await again.stop();
    }
    expect(new Set(blocks).size).toBe(6);
  });

  test("replaying a slot to another block than the stored one stops the replica", async () => {
    const c = await cluster(1);
    const client = await c.client();
    await client.submit([apply({ add: 1 })]);
    const member = c.member(0);
    await member.stores.blocks.sync();
    const stores = await c.crash(0, "kill");
    const changed: StateMachine = { ...(counter as StateMachine), apply: () => "another" };
    const { core, logger } = await c.start(0, { stores, mustExist: true }, changed);
    expect((await core.ended)?.message).toContain("slot 1 executed again gives block");
    expect(logger.lines).toContainEqual(expect.objectContaining({ level: "error", message: expect.stringContaining("the replica stops") as string }));
  });
});
