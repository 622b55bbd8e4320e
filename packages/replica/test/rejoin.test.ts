/** Lost and damaged vote logs on real disks: what starts, what is refused, and who votes again. */
import { open, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { digest, replicaId, view, type LogRecord, type Memory, type StateMachine, type VoteLog } from "@narses/core";
import { createMemoryNetwork, type MemoryNetwork } from "@narses/network";
import { lockDataDirectory, openVoteLog, type DataDirectory } from "@narses/storage";
import { afterEach, describe, expect, test } from "vitest";
import { startReplica, type ReplicaOptions, type RunningReplica } from "../src/index.ts";
import { openVoteMemory } from "../src/vote-memory.ts";
import { apply, clientKey, testCluster } from "./support/cluster.ts";
import { counter, makeHomes, TestClient, until, type Counter } from "./support/cluster-in-process.ts";
import { recordingLogger } from "./support/fakes.ts";

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const K = 2;
const L = 8;

class Cluster {
  readonly network: MemoryNetwork = createMemoryNetwork({ replicas: 4 });
  readonly replicas: RunningReplica[] = [];
  readonly loggers = new Map<number, ReturnType<typeof recordingLogger>>();
  homes: readonly string[] = [];
  client: TestClient | undefined;
  #sum = 0;

  async start(id: number, options: Partial<ReplicaOptions<Counter, number>> = {}): Promise<RunningReplica> {
    const logger = recordingLogger();
    this.loggers.set(id, logger);
    const replica = await startReplica<Counter, number, unknown, unknown>({
      home: this.homes[id] ?? "", app: counter as StateMachine<Counter, number>, logger, transport: ({ self }) => this.network.transport(self), ...options,
    });
    cleanups.push(() => replica.stop());
    this.replicas[id] = replica;
    return replica;
  }

  replica(id: number): RunningReplica {
    const replica = this.replicas[id];
    if (replica === undefined) throw new TypeError(`replica ${id} was not started`);
    return replica;
  }

  async order(count: number): Promise<void> {
    for (let i = 0; i < count; i++) expect((await this.client?.submit([apply({ add: 1 })]))?.values).toEqual([++this.#sum]);
  }

  said(id: number, part: string): boolean {
    return this.loggers.get(id)?.lines.some(({ message }) => message.includes(part)) ?? false;
  }
}

async function cluster(): Promise<Cluster> {
  const tools = testCluster(4, { parameters: { checkpointInterval: K, logWindow: L, pipelineDepth: 2 } });
  const c = new Cluster();
  const { homes, remove } = await makeHomes(tools);
  cleanups.push(remove);
  c.homes = homes;
  for (const id of [0, 1, 2, 3]) await c.start(id);
  c.client = new TestClient(tools, c.network, clientKey());
  await c.client.start(4);
  cleanups.push(() => c.client?.stop() ?? Promise.resolve());
  return c;
}

const votes = (home: string): string => join(home, "data", "votes");

/** Overwrites the header of the first segment: a record that was durable cannot be read. */
async function damage(home: string): Promise<void> {
  const name = (await readdir(votes(home))).filter((one) => one.startsWith("votes-")).sort()[0] ?? "";
  const file = await open(join(votes(home), name), "r+");
  await file.write(Buffer.alloc(64, 0xff), 0, 64, 0);
  await file.close();
}

describe("a damaged vote log", () => {
  test("is set aside: the replica follows without voting, says so, and votes again in its old view when its window has passed", async () => {
    const c = await cluster();
    await c.order(5);
    await c.replica(3).stop();
    const home = c.homes[3] ?? "";
    await damage(home);
    await c.start(3);
    expect(c.said(3, "the vote log cannot be trusted")).toBe(true);
    expect((await readdir(join(home, "data"))).filter((name) => name.startsWith("votes.damaged-"))).toHaveLength(1);
    await until("it knows from when on it may vote", () => c.replica(3).status().engine.silence?.floor !== undefined);
    expect(c.said(3, "VOTES LOST")).toBe(true);
    expect(c.replica(3).status().engine.silence).toMatchObject({ cause: "amnesia", floor: { view: 0 } });
    expect(c.replica(3).why().headline).toContain("does not vote");
    expect(c.replica(3).health()).toMatchObject({ healthy: false });
    // A crash in between: the record takes over from the flag.
    await c.replica(3).stop();
    await c.start(3);
    expect(c.replica(3).status().engine.silence).toMatchObject({ cause: "amnesia", floor: { view: 0 } });
    await c.order(2 * L);
    await until("it votes again", () => c.replica(3).status().engine.silence === undefined);
    expect(c.said(3, "votes again")).toBe(true);
    await c.replica(2).stop();
    await c.order(2);
    expect(c.replica(3).status().engine).toMatchObject({ active: true });
  });

  test("missing altogether: the same", async () => {
    const c = await cluster();
    await c.order(3);
    await c.replica(3).stop();
    await rm(votes(c.homes[3] ?? ""), { recursive: true });
    await c.start(3);
    await until("it knows from when on it may vote", () => c.replica(3).status().engine.silence?.floor !== undefined);
    await c.order(1);
    await until("it follows", () => c.replica(3).status().head.seq === 4);
  });
});

/** What the shell makes of a directory, without a replica. */
async function opened(path: string, rejoin: boolean, then: (d: DataDirectory, log: VoteLog) => void = () => undefined, marked?: number): Promise<Memory> {
  const directory = await lockDataDirectory(path, { clusterId: digest("ab".repeat(32)), replica: replicaId(3) });
  const decode = (bytes: Uint8Array): LogRecord => JSON.parse(Buffer.from(bytes).toString()) as LogRecord;
  const { log, memory } = await openVoteMemory({ directory, openLog: openVoteLog, decode, replicas: 4, rejoin, mark: marked === undefined ? undefined : { path: "replica.voted", view: view(marked) }, logger: recordingLogger() });
  then(directory, log);
  await log.close();
  await directory.release();
  return memory;
}

test("a superblock that knows a later view than the vote log: the log has lost its end", async () => {
  const { homes: [home = ""], remove } = await makeHomes(testCluster(1));
  cleanups.push(remove);
  const path = join(home, "other");
  await opened(path, false, (directory, log) => {
    directory.markInitialized(view(0));
    log.append(Buffer.from(JSON.stringify({ type: "vouched", seq: 1 })), undefined);
    log.sync();
    directory.noteView(view(7));
  });
  expect((await opened(path, false, (_, log) => {
    log.append(Buffer.from(JSON.stringify({ type: "amnesia", view: 7 })), undefined);
    log.sync();
  })).lost).toEqual({ view: 7 });
  expect((await opened(path, false)).lost).toBeUndefined();
});

test("a marker beside the key that knows a later view than the data directory: that is an old copy, and the view only the least that is known", async () => {
  const { homes: [home = ""], remove } = await makeHomes(testCluster(1));
  cleanups.push(remove);
  const path = join(home, "other");
  const written = (record: object) => (directory: DataDirectory, log: VoteLog): void => {
    directory.markInitialized(view(0));
    log.append(Buffer.from(JSON.stringify(record)), undefined);
    log.sync();
  };
  const why = "its data directory is an old copy: it knows of view 3, and replica.voted of view 4";
  expect(await opened(path, false, written({ type: "view-left", view: 3 }), 0)).not.toHaveProperty("lost");
  expect(await opened(path, false, undefined, 3)).toMatchObject({ viewAtLeast: 3 });
  expect(await opened(path, false, undefined, 4)).toMatchObject({ viewAtLeast: 4, lost: { view: undefined, why } });
  // Once the log says so itself it is not lost anew by every start, until it falls behind again.
  await opened(path, false, written({ type: "amnesia", floor: { view: 6, seq: 40 } }), 4);
  expect(await opened(path, false, undefined, 6)).not.toHaveProperty("lost");
  expect((await opened(path, false, undefined, 7)).lost).toMatchObject({ view: undefined });
});

test("log after log is lost, and then the whole directory: the marker knows the view it had come to, and it votes in none below", async () => {
  const { homes: [home = ""], remove } = await makeHomes(testCluster(1));
  cleanups.push(remove);
  const path = join(home, "other");
  await opened(path, false, (directory) => directory.markInitialized(view(0)), 0);
  await rm(path, { recursive: true });
  // In words of its own: f + 1 = 2 views more than the others say would be 2, and it had asked for 5.
  expect(await opened(path, true, (directory, log) => {
    directory.markInitialized();
    log.append(Buffer.from(JSON.stringify({ type: "amnesia" })), undefined);
    log.sync();
  }, 5)).toMatchObject({ viewAtLeast: 5, lost: { view: undefined } });
  // Started again before it knows from when on it may vote, it is no old copy: the record tells, and the marker still bounds it.
  const again = await opened(path, false, undefined, 5);
  expect([again.viewAtLeast, again.lost]).toEqual([5, undefined]);
});

test("a --rejoin that was interrupted leaves the last view unknown, also when the next start is without it", async () => {
  const c = await cluster();
  await c.order(2);
  await c.replica(3).stop();
  const home = c.homes[3] ?? "";
  await rm(join(home, "data"), { recursive: true });
  await rm(join(home, "replica.voted"));
  const { clusterId } = c.replica(0);
  const interrupted = await lockDataDirectory(join(home, "data"), { clusterId, replica: replicaId(3) });
  interrupted.markVotesLost();
  await interrupted.release();
  await c.start(3);
  await c.replica(3).stop();
  const after = await lockDataDirectory(join(home, "data"), { clusterId, replica: replicaId(3) });
  cleanups.push(() => after.release());
  expect(after).toMatchObject({ initialized: true, votesLost: true, view: undefined });
});

describe("a lost data directory", () => {
  test("is refused, with the way out; with it the replica takes over the state, executes and serves, and does not vote", async () => {
    const c = await cluster();
    await c.order(3 * L);
    await c.replica(3).stop();
    await rm(join(c.homes[3] ?? "", "data"), { recursive: true });
    await expect(c.start(3)).rejects.toMatchObject({ code: "DATA_CORRUPT", message: expect.stringContaining("--rejoin") as string });
    await c.start(3, { rejoin: true });
    await until("it has caught up", () => c.replica(3).status().head.seq === 3 * L);
    expect(c.replica(3).status().lastTransfer).toMatchObject({ reason: "behind" });
    await c.order(2 * L);
    await until("it follows", () => c.replica(3).status().head.seq === 5 * L);
    // View 0 is the one the others are in: it may have been in one that f + 1 = 2 faulty primaries led to.
    expect(c.replica(3).status().engine.silence).toMatchObject({ cause: "amnesia", floor: { view: 2 } });
    expect(c.replica(3).why().findings).toContainEqual(expect.stringMatching(/^2 more views before it may vote: .*"rotationCheckpoints".*stop the primary \(now replica 0\)/));
    await c.replica(3).stop();
    await c.start(3);
    expect(c.replica(3).status().engine.silence).toMatchObject({ cause: "amnesia" });
  });

  test("state and blocks lost, votes intact: refused without --rejoin; with it they are fetched, blocks from genesis on too, and it votes at once", async () => {
    const c = await cluster();
    await c.order(3 * L);
    await c.replica(3).stop();
    // A damaged one is refused with the same way out.
    await writeFile(join(c.homes[3] ?? "", "data", "state", "CURRENT"), "MANIFEST-999999\n");
    const wayOut = "remove state and blocks (not votes) from the data directory and start once with --rejoin";
    await expect(c.start(3)).rejects.toMatchObject({ code: "DATA_CORRUPT", message: expect.stringContaining(wayOut) as string });
    for (const store of ["state", "blocks"]) await rm(join(c.homes[3] ?? "", "data", store), { recursive: true });
    await expect(c.start(3)).rejects.toMatchObject({ code: "DATA_CORRUPT", message: expect.stringContaining("start once with --rejoin") as string });
    await c.start(3, { rejoin: true });
    await until("it has caught up and knows what it said", () => c.replica(3).status().head.seq === 3 * L && c.replica(3).status().engine.silence === undefined);
    expect(c.said(3, "VOTES LOST")).toBe(false);
    await until("it has every block", () => c.replica(3).status().backfill === null);
    await c.replica(2).stop();
    await c.order(2); // with its votes, or not at all
  });

  test("alone in its cluster there is nobody to rejoin", async () => {
    const { homes: [home = ""], remove } = await makeHomes(testCluster(1));
    cleanups.push(remove);
    const network = createMemoryNetwork({ replicas: 1 });
    const one = async (): Promise<RunningReplica> => {
      const replica = await startReplica<Counter, number, unknown, unknown>({ home, app: counter as StateMachine<Counter, number>, logger: recordingLogger(), transport: ({ self }) => network.transport(self) });
      cleanups.push(() => replica.stop());
      return replica;
    };
    await (await one()).stop();
    await damage(home);
    await expect(one()).rejects.toMatchObject({ code: "DATA_CORRUPT" });
  });
});

describe("the whole cluster restarts, with stable checkpoints that differ", () => {
  type Harm = (home: string) => Promise<unknown>;
  const wipe: Harm = async (home) => rm(join(home, "data"), { recursive: true });
  test.each<readonly [string, number, Harm, boolean]>([
    ["all of them as they were", 1, () => Promise.resolve(), false],
    ["one that was ahead has a damaged vote log", 1, damage, false],
    ["one that was ahead has lost its disk", 1, wipe, true],
    ["the one that was behind has lost its disk", 3, wipe, true],
  ])("%s: it orders again, once each, and all come to one state", async (_what, victim, harm, rejoin) => {
    const c = await cluster();
    await c.order(K + 1);
    await c.replica(3).stop();
    // Further than its log reaches.
    await c.order(3 * L + 1);
    const ids = [0, 1, 2, 3];
    const stable = ids.map((id) => c.replica(id).status().engine.stableSeq);
    expect(stable[3]).toBeLessThan((stable[0] ?? 0) - L);
    await Promise.all([0, 1, 2].map((id) => c.replica(id).stop()));
    await harm(c.homes[victim] ?? "");
    // The one that is behind comes first, and must not take the others back.
    for (const id of [3, 0, 1, 2]) await c.start(id, { rejoin: rejoin && id === victim });
    await c.order(L);
    const head = c.replica(0).status().head.seq;
    await until("one state", () => ids.every((id) => c.replica(id).status().head.seq >= head) && new Set(ids.map((id) => c.replica(id).status().head.block)).size === 1);
    const silent = ids.filter((id) => c.replica(id).status().engine.silence?.cause === "amnesia");
    // A damaged log leaves the view known, so its silence may be over by now.
    expect(rejoin ? silent : silent.filter((id) => id !== victim)).toEqual(rejoin ? [victim] : []);
    for (const id of ids) await until(`every block at replica ${id}`, () => c.replica(id).status().backfill === null);
  });
});
