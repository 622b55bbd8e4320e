/**
 * Protocol notes 1.6, exhaustively: a replica dies before every single operation on its disk and before every frame it
 * sends, during a run with three checkpoints, truncations and a view change that carries a prepared slot; as primary, as
 * the next primary (sender of the NEW-VIEW) and as backup. The disk keeps what was written, or only what was synced, or
 * every other sector of the rest. It comes back, and never contradicts what it said; nothing acknowledged is lost; all
 * execute the same blocks.
 */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { testCluster } from "./support/cluster.ts";
import { CrashCluster, type Crash, type Loss } from "./support/crash-cluster.ts";

const TOOLS = testCluster(4, {
  parameters: {
    checkpointInterval: 2, logWindow: 4, pipelineDepth: 2, requestTimeoutTicks: 12, disconnectTimeoutTicks: 12, viewChangeTimeoutTicks: 12, statusIntervalTicks: 4,
  },
});
const OPERATIONS = 6;
/** The commits of this operation are lost in view 0: every replica holds it prepared when it leaves the view. */
const PREPARED_ONLY = 3;
/** For a machine with other things to do. */
const TIMEOUT_MS = 180_000;
const NEVER = Number.MAX_SAFE_INTEGER;

async function run(crash: Crash): Promise<CrashCluster> {
  const cluster = new CrashCluster(TOOLS);
  await cluster.start();
  cluster.crash = crash;
  const acknowledged: unknown[] = [];
  let delaysCommits = false;
  cluster.delivers = (message, from, to) => {
    if (message.type === "votes") return !delaysCommits || !message.signed.body.votes.some(({ phase, view }) => phase === "commit" && view === 0);
    // One that forgot its NEW-VIEW would make another one: it does not see the VIEW-CHANGEs again that it made the first one of.
    return message.type !== "view-change" || cluster.crashes.length === 0 || to !== crash.victim || from !== (crash.victim + 3) % 4;
  };
  for (let rid = 1; rid <= OPERATIONS; rid++) {
    delaysCommits = rid >= PREPARED_ONLY;
    acknowledged.push(await cluster.submit(rid));
  }
  const heads = (): Set<string> => new Set(cluster.up.map((core) => `${core.status().head.seq} ${core.status().head.block}`));
  await cluster.pump("one head everywhere", () => cluster.up.length === 4 && heads().size === 1);
  const where = cluster.crashes.join(", ");
  expect(acknowledged, where).toEqual([1, 2, 3, 4, 5, 6]);
  expect(cluster.contradictions, where).toEqual([]);
  await cluster.stop();
  return cluster;
}

beforeEach(() => void vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] }));
afterEach(() => void vi.useRealTimers());

describe.each([
  { role: "the primary", victim: 0 }, { role: "the next primary", victim: 1 }, { role: "a backup", victim: 2 },
])("kill -9 of $role", ({ victim }) => {
  let points: readonly string[] = [];
  test("without a crash the run says everything there is to say", async () => {
    const cluster = await run({ victim, at: NEVER, loss: "kill", downFor: 0 });
    points = cluster.passed;
    const carried = cluster.said.get(1, "pre-prepare v1 n3");
    expect(carried).toBe(cluster.said.get(0, "pre-prepare v0 n3"));
    expect(carried).toBeDefined();
    for (const key of ["prepare v0 n1", "commit v0 n1", "checkpoint n2", "checkpoint n4", "view-change v1", "commit v1 n3"]) {
      if (victim === 0 && key === "prepare v0 n1") continue;
      expect(cluster.said.get(victim, key), key).toBeDefined();
    }
    expect(points.length).toBeGreaterThan(80);
    expect([...new Set(points)]).toEqual(expect.arrayContaining(["write", "sync", "send", "checkpoint", "checkpoint durable"]));
  });

  const exhaustively = async (loss: Loss, at: (point: string) => boolean, againAt?: (point: number) => number): Promise<void> => {
    let crashed = 0;
    for (const [i, point] of points.entries()) {
      if (!at(point)) continue;
      const again = againAt === undefined ? {} : { againAt: againAt(i) };
      crashed += (await run({ victim, at: i, loss, downFor: i % 3 === 0 ? 60 : 0, ...again })).crashes.length;
    }
    expect(crashed).toBeGreaterThan(0);
  };
  test("at every point; what was written survives", () => exhaustively("kill", () => true), TIMEOUT_MS);
  // Before a frame leaves, everything it says is synced: the power makes no difference there that it does not make before the next write.
  const ofDisk = (point: string): boolean => point !== "send";
  test("at every point of the disk, and the power fails: only what was synced survives", () => exhaustively("power-cut", ofDisk), TIMEOUT_MS);
  test("at every point of the disk, torn, and again while it recovers", () => exhaustively("torn", ofDisk, (i) => i % 11), TIMEOUT_MS);
});
