/**
 * Exactly once among whole replicas, whatever comes between a request and its repetition: a view change, a power cut of all, a state
 * transfer, an eviction. The counter counts executions; every replica must end with the same state.
 */
import { sessionNumber, seqNum, type Bundle } from "@narses/core";
import { afterEach, expect, test } from "vitest";
import { apply, clientKey, testCluster } from "./support/cluster.ts";
import { InProcess, until, type Answer, type TestClient } from "./support/cluster-in-process.ts";

let running: InProcess | undefined;
afterEach(async () => {
  await running?.stop();
  running = undefined;
});

const parameters = { checkpointInterval: 4, logWindow: 8, pipelineDepth: 2, sessionsMax: 8, requestTimeoutTicks: 30, viewChangeTimeoutTicks: 30 };

function cluster(): InProcess {
  running = new InProcess(testCluster(4, { parameters }));
  return running;
}

/** Acknowledges nothing, so that every answer stays available. */
const bundle = (c: InProcess, name: string, ridFirst: number, session = 0): Bundle => c.tools.bundle([apply({ add: 1 })], { key: clientKey(name), ridFirst, session });
const heads = (c: InProcess): readonly { seq: number; block: string }[] => [...c.members.values()].map(({ core }) => core.status().head);
const agreed = (c: InProcess): boolean => new Set(heads(c).map(({ block }) => block)).size === 1;
const views = (c: InProcess): readonly number[] => [...c.members.values()].map(({ core }) => core.status().engine.view);
const total = async (c: InProcess, client: TestClient): Promise<unknown[]> => {
  await until("all agree", () => agreed(c));
  const answers = await Promise.all([...c.members.keys()].map((id) => client.call(id, "app-query", { question: null })));
  return [...new Set(answers.map((answer) => (answer as { value: unknown }).value))];
};
/** The same bytes again, as if no answer had come. */
async function again(client: TestClient, old: Bundle): Promise<Answer> {
  client.received.length = 0;
  return client.order(old);
}

test("a request repeated after a view change, and after a power cut of every replica, shows its first answer and is not executed again", async () => {
  const c = cluster();
  await c.startAll();
  const client = await c.client();
  const [first, second] = [bundle(c, "client", 1), bundle(c, "client", 2)];
  const answer = await client.order(first);
  await until("all executed it", () => agreed(c) && heads(c)[0]?.seq === 1);
  const stores = await c.crash(0, "kill");
  expect((await client.order(second)).values).toEqual([2]);
  expect(Math.min(...views(c))).toBeGreaterThan(0);
  expect((await again(client, first)).block).toBe(answer.block);
  await c.start(0, { stores, mustExist: true });
  const all = await Promise.all([0, 1, 2, 3].map(async (id) => ({ id, stores: await c.crash(id, "power-cut") })));
  for (const { id, stores: own } of all) await c.start(id, { stores: own, mustExist: true });
  const back = await c.client();
  await until("everything is executed again", () => heads(c).every(({ seq }) => seq >= 2));
  expect((await again(back, first)).block).toBe(answer.block);
  expect((await back.order(bundle(c, "client", 3))).values).toEqual([3]);
  expect(await total(c, back)).toEqual([3]);
});

test("a replica that took over its state from others knows what was executed: a repetition changes nothing there, nor does one of an evicted session", async () => {
  const c = cluster();
  for (const id of [0, 1, 2]) await c.start(id);
  const client = await c.client();
  const old = bundle(c, "victim", 1);
  const kept = bundle(c, "kept", 1, sessionNumber(seqNum(1), 0));
  expect((await client.order(old)).values).toEqual([1]);
  // More sessions than there is room for: the victim's is evicted, and with it all that was known of its request.
  for (let i = 0; i < parameters.sessionsMax; i++) await client.order(bundle(c, `other ${i}`, 1));
  expect((await client.order(kept)).values).toEqual([10]);
  for (let i = 0; i < 8; i++) await client.order(bundle(c, "other 7", i + 2));
  await c.start(3);
  for (let i = 0; i < 16; i++) await client.order(bundle(c, "other 7", i + 10));
  await until("replica 3 has taken over a state", () => c.member(3).core.status().lastTransfer !== null);
  await until("it has caught up", () => agreed(c));
  const joined = await c.client();
  for (const id of [0, 1, 2, 3]) joined.send(id, old);
  for (const id of [0, 1, 2, 3]) joined.send(id, kept);
  const answers = (): number => joined.received.filter(({ message }) => message.type === "reply" && message.reply.bundleDigest === kept.digest).length;
  const refusals = (): readonly string[] => joined.received.flatMap(({ message }) => (message.type === "refused" && message.bundleDigest === old.digest ? [message.code] : []));
  await until("every replica refuses the evicted request", () => refusals().length === 4);
  expect(refusals()).toEqual(["EVICTED", "EVICTED", "EVICTED", "EVICTED"]);
  await until("those that have its block answer the other", () => answers() >= 3);
  expect(await total(c, joined)).toEqual([34]);
  const { seq } = heads(c)[0] ?? { seq: 0 };
  expect((await joined.order(bundle(c, "victim", 1, sessionNumber(seqNum(seq), 1)))).values).toEqual([35]);
  expect(await total(c, joined)).toEqual([35]);
});
