import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rejection, replicaId, seqNum, view, type EngineStatus } from "@narses/core";
import { createMemoryNetwork } from "@narses/network";
import { afterEach, describe, expect, test } from "vitest";
import { parseWhyReport, renderWhy, startReplica, whyStopped, inspectHome, type RunningReplica, type WhyReport } from "../src/index.ts";
import { newCounters } from "../src/counters.ts";
import { INCIDENT_TEXT_LENGTH_MAX, REJECTIONS_KEPT_MAX } from "../src/limits.ts";
import { Incidents, rememberProblems } from "../src/operations/incidents.ts";
import type { PeerStatus, ReplicaStatus } from "../src/operations/status.ts";
import { whyOf, type WhySources } from "../src/operations/why.ts";
import { apply, clientKey, testCluster } from "./support/cluster.ts";
import { counter, InProcess, makeHomes, TestClient, until } from "./support/cluster-in-process.ts";
import { recordingLogger } from "./support/fakes.ts";

const ids = (...all: number[]): ReturnType<typeof replicaId>[] => all.map(replicaId);
const up = (id: number, more: Partial<PeerStatus> = {}): PeerStatus =>
  ({ replica: replicaId(id), connected: true, problem: null, executedSeq: seqNum(6), lag: 0, silentMs: 100, queuedBytes: 0, dropped: 0, ...more });
const down = (id: number, problem: string | null = null): PeerStatus => up(id, { connected: false, problem, executedSeq: null, lag: null, silentMs: null });
const tools = testCluster(4);

function status(more: { readonly engine?: Partial<EngineStatus> } & Partial<Omit<ReplicaStatus, "engine">> = {}): ReplicaStatus {
  const { engine, ...rest } = more;
  return {
    replica: replicaId(2), cluster: "test", clusterId: tools.clusterId, epoch: 0, n: 4, f: 1, quorum: 3, uptimeMs: 1,
    engine: {
      name: "pbft", view: view(0), active: true, primary: replicaId(0), stableSeq: seqNum(0), executedSeq: seqNum(6), highWatermark: seqNum(256),
      pendingBundles: 0, openSlots: 0, waitingFor: [], slots: [], ...engine,
    },
    head: { seq: seqNum(6), block: tools.clusterId, stateRoot: tools.clusterId, timestampMs: 0 }, durableSeq: seqNum(0), behind: 0, halted: null, disk: null, transfer: null, lastTransfer: null, blockGaps: [], backfill: null,
    peers: [up(0), up(1), up(3)], clients: 0, pendingBundles: 0, pendingBytes: 0, pendingOldestMs: null, proposalsAwaited: [], proposalsAwaitedBytes: 0,
    counters: newCounters(), ...rest,
  };
}

const explain = (of: ReplicaStatus, more: Partial<WhySources> = {}): WhyReport => whyOf({ status: of, source: "live", clients: [], rejections: [], problems: [], ...more });
const commit = { seq: seqNum(7), phase: "commit", have: ids(2), missing: ids(0, 1, 3), needed: 3 };

describe("why: the first sentence", () => {
  test("nothing is waited for", () => {
    expect(explain(status()).headline).toBe("Replica 2 is waiting for nothing: view 0 is active, slot 6 is executed, all 3 peers are connected.");
    expect(explain(status({ peers: [up(0), up(1), down(3)] })).headline).toContain("connected to 2 of 3 peers, not to replica 3.");
  });

  test("nothing, but a connected peer says nothing either: its process may hang", () => {
    expect(explain(status({ peers: [up(0), up(1), up(3, { silentMs: 8_000 })] })).headline).toContain("all 3 peers are connected; replica 3 is silent for 8.0 s: its process may hang.");
  });

  test("what came twice or too late is counted, not listed; alone it is not worth a word", () => {
    const incidents = new Incidents(() => 5_000);
    incidents.rejected(replicaId(1), "votes", rejection("DUPLICATE", "every vote is about something settled here"));
    expect(renderWhy(explain(status(), { rejections: incidents.rejections() }))).not.toContain("rejected");
    incidents.rejected(replicaId(3), "votes", rejection("EPOCH_FOREIGN", "epoch 1, this is 0"));
    expect(renderWhy(explain(status(), { rejections: incidents.rejections() }))).toMatch(/votes from replica 3: EPOCH_FOREIGN: epoch 1, this is 0\n {2}and 1 message that came twice or too late/);
  });

  test("missing votes: who has voted, who has not, and for each why", () => {
    const incidents = new Incidents(() => 5_000);
    incidents.rejected(replicaId(1), "votes", rejection("DUPLICATE", "says nothing"));
    incidents.rejected(replicaId(1), "votes", rejection("SIGNATURE_INVALID", "votes is not signed by replica 1"));
    const { headline, slots } = explain(status({ engine: { openSlots: 1, slots: [commit] }, peers: [down(0, "ECONNREFUSED"), up(1), up(3, { silentMs: 8_000 })], quorum: 2 }), { rejections: incidents.rejections() });
    expect(headline).toBe(
      "Replica 2 is waiting for COMMIT votes for slot 7 in view 0: has 1 of 3 (from 2); missing: replica 0 (not connected: ECONNREFUSED), " +
        "replica 1 (connected, but a votes message of it was rejected 0 ms ago, SIGNATURE_INVALID: votes is not signed by replica 1), replica 3 (connected, but silent for 8.0 s).",
    );
    expect(slots[0]?.missing.map(({ replica }) => replica)).toEqual([0, 1, 3]);
  });

  test.each<[string, ReplicaStatus, string]>([
    ["halted before all else", status({ halted: "the state after slot 6 is A, a quorum vouches for B", peers: [down(0), down(1), down(3)] }), "Replica 2 has stopped executing and needs an operator: the state after slot 6"],
    ["too few peers before votes", status({ peers: [up(0), down(1, "dial timeout"), down(3)], engine: { openSlots: 1, slots: [commit] } }), "waiting for 1 more peer: it reaches 1 of 3 and needs 2; not reached: replica 1 (dial timeout), replica 3 (not connected)."],
    ["view-changes", status({ engine: { active: false, view: view(3), primary: replicaId(3), viewChange: { have: ids(2), missing: ids(0, 1, 3), needed: 3 } } }), "waiting for VIEW-CHANGE messages for view 3 or later: has 1 of 3 (from 2); missing: replica 0 (connected, nothing came yet)"],
    ["the new-view", status({ engine: { active: false, view: view(3), primary: replicaId(3), viewChange: { have: ids(0, 1, 2), missing: ids(3), needed: 3 } } }), "the NEW-VIEW of view 3 from its primary replica 3 (connected, nothing came yet)"],
    ["being behind", status({ behind: 40 }), "decided slots from its peers: it has executed slot 6, 2 peers or more say 46"],
    ["a gap", status({ engine: { openSlots: 1, slots: [{ seq: seqNum(8), phase: "execute", have: [], missing: [], needed: 0 }] } }), "waiting for slot 7, because slot 8 is decided and runs after it."],
    ["a longer gap", status({ engine: { openSlots: 1, slots: [{ seq: seqNum(9), phase: "execute", have: [], missing: [], needed: 0 }] } }), "waiting for slots 7 to 8, because slot 9 is decided and runs after them."],
    ["the disk or the application", status({ engine: { openSlots: 1, slots: [{ seq: seqNum(7), phase: "execute", have: [], missing: [], needed: 0 }] } }), "the execution of slot 7, which is decided"],
    ["the primary, with requests that wait", status({ pendingBundles: 2, pendingOldestMs: 4_200 }), "a PRE-PREPARE from the primary, replica 0 (connected, nothing came yet): 2 request bundles wait, the oldest for 4.2 s."],
  ])("%s", (_, of, text) => {
    expect(explain(of).headline).toContain(text);
  });

  test("an engine without details is quoted", () => {
    const { slots: _slots, ...plain } = status().engine;
    expect(explain({ ...status(), engine: { ...plain, waitingFor: ["a leader"] } }).headline).toBe("Replica 2 is waiting for a leader.");
  });
});

describe("what went wrong lately", () => {
  test("repeats are counted and push nothing out; the bound holds; misbehaviour comes first", () => {
    let now = 0;
    const incidents = new Incidents(() => now);
    incidents.rejected(replicaId(3), "votes", rejection("EQUIVOCATION", "two digests"));
    for (let i = 0; i < 10_000; i++) incidents.rejected(replicaId(1), "votes", rejection("DUPLICATE", `again ${i}`));
    now = 1_500;
    expect(incidents.rejections()).toMatchObject([
      { from: 3, code: "EQUIVOCATION", verdict: "misbehaviour", count: 1, ageMs: 1_500 },
      { from: 1, code: "DUPLICATE", verdict: "ignore", count: 10_000, detail: "again 9999" },
    ]);
    for (let i = 0; i < 2 * REJECTIONS_KEPT_MAX; i++) incidents.rejected(replicaId(i), "votes", rejection("VIEW_OLD", "x".repeat(10_000)));
    expect(incidents.rejections()).toHaveLength(REJECTIONS_KEPT_MAX);
    expect(incidents.rejections()[0]?.detail.length).toBeLessThanOrEqual(INCIDENT_TEXT_LENGTH_MAX + 1);
  });

  test("warnings and errors of the log are remembered with their code, and still logged", () => {
    const incidents = new Incidents(() => 0);
    const inner = recordingLogger();
    const logger = rememberProblems(inner, incidents);
    logger.info({}, "not this");
    logger.warn({ replica: 1 }, "lost replica 1");
    logger.error({ code: "DISK_FAILED" }, "fsync failed");
    logger.warn({ replica: 1 }, "lost replica 1");
    expect(incidents.problems()).toEqual([
      { level: "warn", message: "lost replica 1", count: 2, ageMs: 0 }, { level: "error", code: "DISK_FAILED", message: "fsync failed", count: 1, ageMs: 0 },
    ]);
    expect(inner.lines).toHaveLength(4);
  });
});

describe("the page", () => {
  test("says everything once, and leaves out what is empty", () => {
    const report = explain(status({ engine: { openSlots: 20, slots: [commit], timer: { name: "request", view: view(0), ticksLeft: 42 } }, pendingBundles: 1, pendingBytes: 2_048, pendingOldestMs: 90, peers: [up(0), up(1, { lag: 3 }), down(3, "ECONNREFUSED")] }), {
      clients: [{ client: "ab".repeat(32), bundles: 1, oldestMs: 90 }],
      problems: [{ level: "warn", message: "lost replica 3", count: 2, ageMs: 61_000 }],
    });
    const page = renderWhy(report);
    expect(page.split("\n")[0]).toBe(report.headline);
    for (const part of ["in 420 ms this replica leaves view 0", "Open slots (the lowest 1 of 20)", "7  commit  has 1 of 3 from 2, missing 0, 1 and 3", "3 behind this one", "3  down       ECONNREFUSED", "1 bundle, 2.0 KiB", "61.0 s ago  warn ×2: lost replica 3"]) {
      expect(page).toContain(part);
    }
    expect(page).not.toContain("Messages rejected");
  });

  test("a report survives the wire; text of a hostile replica cannot drive the terminal", () => {
    const report = explain(status({ halted: "\u001b[2J\u202eevil\nReplica 9 is fine" }));
    const parsed = parseWhyReport(JSON.parse(JSON.stringify(report)));
    expect(renderWhy(parsed).split("\n")[0]).toBe("Replica 2 has stopped executing and needs an operator: ?[2J?evil?Replica 9 is fine.");
    expect(() => parseWhyReport({ ...report, headline: 7 })).toThrow(expect.objectContaining({ code: "CALL_FAILED" }) as Error);
    expect(() => parseWhyReport({ ...report, headline: "x".repeat(1 << 20) })).toThrow();
  });
});

const cleanups: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

describe("why of a running replica", () => {
  test("two of four are gone: names them, the votes that are missing, and the client that waits", async () => {
    const c = new InProcess(testCluster(4, { parameters: { requestTimeoutTicks: 1_000_000 } }));
    cleanups.push(() => c.stop());
    await c.startAll();
    const client = await c.client();
    await client.submit([apply({ add: 1 })]);
    for (const id of [2, 3]) {
      await c.member(id).core.stop();
      c.members.delete(id);
    }
    client.send(0, client.bundle([apply({ add: 1 })], 2));
    await until("slot 2 is proposed", () => c.member(0).core.status().engine.openSlots === 1);
    const report = parseWhyReport(await client.call(0, "why"));
    expect(report.headline).toContain("Replica 0 is waiting for 1 more peer: it reaches 1 of 3 and needs 2; not reached: replica 2");
    await until("replica 1 has prepared", () => c.member(0).core.why().slots[0]?.have.includes(1) === true);
    await until("replica 1 has said how far it is", () => c.member(0).core.why().peers[0]?.executedSeq === 1);
    expect(c.member(0).core.why()).toMatchObject({
      slots: [{ seq: 2, phase: "prepare", have: [1], needed: 2, missing: [{ replica: 2, reason: expect.stringMatching("^not connected") as string }, { replica: 3 }] }],
      waiting: { bundles: 1, clients: [{ bundles: 1 }] },
      peers: [{ replica: 1, connected: true, executedSeq: 1, lag: 0 }, { replica: 2, connected: false }, { replica: 3, connected: false }],
    });
  });

  test("a rejection is told with sender, code and detail, once", async () => {
    const c = new InProcess(testCluster(4));
    cleanups.push(() => c.stop());
    for (const id of [0, 1, 2]) await c.start(id);
    const liar = c.network.transport(replicaId(3));
    let connected = 0;
    await liar.start({ onPeer: () => void connected++, onPeerFrame: () => undefined, onClientFrame: () => undefined, onClientGone: () => undefined });
    cleanups.push(() => liar.stop());
    await until("connected", () => connected === 3);
    const frame = c.tools.codec.encodePeer({ type: "view-change", signed: c.tools.viewChange(3, 1, { stable: c.tools.stable(0, c.member(1).core.status().head.block), prepared: [] }) }).slice();
    frame[frame.length - 1] = (frame[frame.length - 1] ?? 0) ^ 1;
    liar.send(replicaId(1), frame);
    await until("rejected", () => c.member(1).core.why().rejections.length > 0);
    expect(c.member(1).core.why().rejections).toMatchObject([{ from: 3, message: "view-change", code: "SIGNATURE_INVALID", verdict: "misbehaviour", count: 1 }]);
    expect(c.member(1).core.status().counters.rejected).toEqual({ SIGNATURE_INVALID: 1 });
  });
});

describe("a stopped replica", () => {
  async function stopped(kill: boolean): Promise<{ readonly homes: readonly string[]; readonly replicas: readonly RunningReplica[] }> {
    const own = testCluster(4, { parameters: { checkpointInterval: 2, logWindow: 8, pipelineDepth: 2, requestTimeoutTicks: 1_000_000 } });
    const { homes, remove } = await makeHomes(own);
    cleanups.push(remove);
    const network = createMemoryNetwork({ replicas: 4 });
    const replicas = await Promise.all(homes.map((home) => startReplica({ home, app: counter, logger: recordingLogger(), transport: ({ self }) => network.transport(self) })));
    for (const replica of replicas) cleanups.push(() => replica.stop());
    const client = new TestClient(own, network, clientKey());
    await client.start(4);
    cleanups.push(() => client.stop());
    for (let i = 0; i < 5; i++) await client.submit([apply({ add: 1 })]);
    await until("all have executed", () => replicas.every((r) => r.status().head.seq === 5 && r.status().engine.stableSeq === 4));
    if (!kill) await replicas[3]?.stop();
    else {
      // Two leave; the primary proposes slot 6, which the others prepare at most.
      for (const id of [2, 3]) await replicas[id]?.stop();
      client.send(0, client.bundle([apply({ add: 1 })], 6));
      await until("slot 6 is proposed", () => replicas[0]?.status().engine.openSlots === 1);
      for (const id of [0, 1]) await replicas[id]?.stop();
    }
    return { homes, replicas };
  }

  const digestOfFiles = (home: string): string => ["replica.json", "data/superblock"].map((name) => readFileSync(join(home, name)).toString("hex")).join() + readFileSync(join(home, "data/votes/votes-000000000001.wal")).toString("base64");

  test("its log says what it would wait for; looking changes nothing and needs no key", async () => {
    const { homes } = await stopped(true);
    const home = homes[0] ?? "";
    rmSync(join(home, "replica.key"));
    const before = digestOfFiles(home);
    const report = await whyStopped(home);
    expect(report.headline).toMatch(/^Replica 0 is stopped\. Started now, it would be waiting for PREPARE votes for slot 6 in view 0: has \d of 2.*missing: replica/);
    expect(report).toMatchObject({ source: "vote-log", halted: null, executedSeq: 5, stableSeq: 4, timer: null, slots: [{ seq: 6, phase: "prepare" }] });
    const { replica, log } = await inspectHome(home);
    expect([replica, log.closedCleanly, log.damage]).toEqual([0, true, undefined]);
    expect(log.records.map(({ type, seq }) => [type, seq])).toEqual(expect.arrayContaining([["stable", 4], ["pre-prepared", 5], ["prepared", 5], ["committed", 5], ["pre-prepared", 6]]));
    for (const { segment, offset, bytes } of log.records) {
      const file = readFileSync(join(log.directory, segment));
      expect(offset + bytes).toBeLessThanOrEqual(file.length);
    }
    expect(digestOfFiles(home)).toBe(before);
  });

  test("one that runs is refused, by its process", async () => {
    const { homes } = await stopped(false);
    await expect(whyStopped(homes[1] ?? "")).rejects.toMatchObject({ code: "DATA_DIR_LOCKED", data: { pid: process.pid } });
    await expect(inspectHome(homes[1] ?? "")).rejects.toMatchObject({ code: "DATA_DIR_LOCKED" });
    expect((await whyStopped(homes[3] ?? "")).headline).toContain("Replica 3 is stopped. Started now, it would be waiting for nothing but its peers");
  });

  test("a process number that was given to another process since does not count as running", async () => {
    const { homes } = await stopped(false);
    writeFileSync(join(homes[3] ?? "", "data", "holder.json"), JSON.stringify({ pid: process.pid, startTime: "1" }));
    await expect(inspectHome(homes[3] ?? "")).resolves.toMatchObject({ replica: 3 });
  });

  test("damage is told by file and offset, with what precedes it; why says what a start would do", async () => {
    const { homes } = await stopped(false);
    const home = homes[3] ?? "";
    const { log } = await inspectHome(home);
    const third = log.records[3];
    if (third === undefined) throw new TypeError("too few records");
    const path = join(log.directory, third.segment);
    const bytes = readFileSync(path);
    bytes[third.offset] = (bytes[third.offset] ?? 0) ^ 0xff;
    writeFileSync(path, bytes);
    const damaged = (await inspectHome(home)).log;
    expect(damaged.damage).toMatchObject({ file: path, message: expect.stringContaining("damaged at byte") as string });
    expect(damaged.damage?.offset).toBeLessThanOrEqual(third.offset);
    expect(damaged.damage?.offset).toBeGreaterThan(third.offset - 64);
    // A truncation behind the damage is gone too, so older records may show again: what counts is that nothing behind it does.
    const behind = damaged.records.filter((r) => r.segment === third.segment && r.offset + r.bytes > third.offset);
    expect(behind).toEqual([]);
    expect((await whyStopped(home)).headline).toMatch(/^Replica 3 is stopped, and cannot go on as it was: vote log .* is damaged at byte .*A start sets this log aside/);
  });

  test("a lost segment header leaves nothing readable, and is no crash", async () => {
    const { homes } = await stopped(false);
    const path = join(homes[3] ?? "", "data/votes/votes-000000000001.wal");
    writeFileSync(path, readFileSync(path).fill(0, 0, 64));
    expect((await inspectHome(homes[3] ?? "")).log).toMatchObject({ records: [], damage: { file: path, offset: 0 } });
  });

  test("a home that never ran, or is none, is told by name", async () => {
    const { homes, remove } = await makeHomes(testCluster(1));
    cleanups.push(remove);
    await expect(inspectHome(homes[0] ?? "")).rejects.toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining("there is no vote log") as string });
    const empty = mkdtempSync(join(tmpdir(), "narses-none-"));
    cleanups.push(() => rmSync(empty, { recursive: true }));
    await expect(whyStopped(empty)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });
});
