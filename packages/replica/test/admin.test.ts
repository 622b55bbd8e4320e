import { readFile, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { DEFAULT_PARAMETERS, NarsesError, replicaId, seqNum, view } from "@narses/core";
import { createMemoryNetwork } from "@narses/network";
import { afterEach, describe, expect, test } from "vitest";
import { startReplica, type RunningReplica } from "../src/index.ts";
import { newCounters } from "../src/counters.ts";
import { ADMIN_CONNECTIONS_MAX, ADMIN_HEADER_BYTES_MAX, STALLED_MS } from "../src/limits.ts";
import { parseAdminAddress, startAdmin } from "../src/operations/admin.ts";
import { Distribution, newMeasures } from "../src/operations/distribution.ts";
import { healthOf } from "../src/operations/health.ts";
import { createMetrics } from "../src/operations/metrics.ts";
import type { PeerStatus, ReplicaStatus } from "../src/operations/status.ts";
import { apply, clientKey, testCluster } from "./support/cluster.ts";
import { counter, makeHomes, TestClient, until } from "./support/cluster-in-process.ts";
import { recordingLogger } from "./support/fakes.ts";

const cleanups: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const peer = (id: number, connected = true): PeerStatus =>
  ({ replica: replicaId(id), connected, problem: null, executedSeq: seqNum(9), lag: 0, silentMs: 250, queuedBytes: 17, dropped: 2 });

function status(more: Partial<ReplicaStatus> = {}): ReplicaStatus {
  const id = testCluster(4).clusterId;
  return {
    replica: replicaId(0), cluster: 'a "quoted"\nname', clusterId: id, epoch: 0, n: 4, f: 1, quorum: 3, uptimeMs: 1_500,
    engine: { name: "pbft", view: view(5), active: true, primary: replicaId(1), stableSeq: seqNum(0), executedSeq: seqNum(9), highWatermark: seqNum(256), pendingBundles: 0, openSlots: 0, waitingFor: [] },
    head: { seq: seqNum(9), block: id, stateRoot: id, timestampMs: 0 }, durableSeq: seqNum(0), behind: 0, halted: null, disk: null, transfer: null, lastTransfer: null, blockGaps: [], backfill: null,
    peers: [peer(1), peer(2), peer(3, false)], clients: 0, pendingBundles: 0, pendingBytes: 0, pendingOldestMs: null, proposalsAwaited: [], proposalsAwaitedBytes: 0,
    counters: newCounters(), ...more,
  };
}

describe("health", () => {
  test.each<[string, Partial<ReplicaStatus>, boolean, boolean, string]>([
    ["all well with one peer lost", {}, true, true, ""],
    ["a quorum is out of reach", { peers: [peer(1), peer(2, false), peer(3, false)] }, false, false, "reaches 1 of 3 peers, needs 2 for a quorum of 3"],
    ["a view change", { engine: { ...status().engine, active: false } }, false, false, "view 5 is not active"],
    ["diverged", { halted: "slot 4 differs" }, false, false, "halted: slot 4 differs"],
    ["a request that nobody executes", { pendingOldestMs: STALLED_MS + 1 }, false, false, "a request waits for 10.0 s"],
    ["a request that is young", { pendingOldestMs: STALLED_MS }, true, true, ""],
    ["far behind", { behind: DEFAULT_PARAMETERS.checkpointInterval + 1 }, true, false, "129 slots behind"],
    ["full", { pendingBundles: DEFAULT_PARAMETERS.pendingBundlesMax }, true, false, "more are refused"],
    ["alone in its cluster", { peers: [], quorum: 1, n: 1 }, true, true, ""],
  ])("%s", (_, more, healthy, ready, reason) => {
    const health = healthOf(status(more), DEFAULT_PARAMETERS);
    expect([health.healthy, health.ready]).toEqual([healthy, ready]);
    expect(health.reasons.join("; ")).toContain(reason);
    expect(health.reasons.length === 0).toBe(reason === "");
  });
});

/** Every sample by name and labels; fails on a line that is no exposition text. */
function samplesOf(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  const typed = new Set<string>();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("# HELP ")) continue;
    const type = /^# TYPE (\S+) (counter|gauge|histogram|summary)$/.exec(line);
    if (type?.[1] !== undefined) {
      expect(typed.has(type[1])).toBe(false);
      typed.add(type[1]);
      continue;
    }
    const sample = /^([a-z_][a-z0-9_]*(?:\{[a-z_]+="(?:[^"\\\n]|\\.)*"(?:,[a-z_]+="(?:[^"\\\n]|\\.)*")*\})?) (\S+)$/i.exec(line);
    if (sample?.[1] === undefined) throw new TypeError(`not a sample: ${line}`);
    expect(samples.has(sample[1])).toBe(false);
    samples.set(sample[1], sample[2] === "Nan" ? Number.NaN : Number(sample[2]));
  }
  return samples;
}

describe("metrics", () => {
  test("names are as the field has them, and every one is documented", async () => {
    const metrics = createMetrics({ status: () => status(), parameters: DEFAULT_PARAMETERS, measures: newMeasures(() => 0), logBytes: () => 4_096 });
    const families = [...(await metrics.render()).matchAll(/^# TYPE (narses_\S+) (\S+)$/gm)].map(([, name = "", type = ""]) => ({ name, type }));
    expect(families.length).toBeGreaterThan(50);
    // Counters, and nothing else, end in _total; units are whole words, in base units, after what is measured.
    expect(families.filter(({ name, type }) => (type === "counter") !== name.endsWith("_total"))).toEqual([]);
    expect(families.filter(({ name }) => /_(ms|millis|kb|mb|count)(_|$)|[A-Z]/.test(name))).toEqual([]);
    const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
    expect(families.filter(({ name }) => !readme.includes(`\`${name}\``))).toEqual([]);
  });

  test("plain numbers become families with the names that dashboards expect, the same twice", async () => {
    const measures = newMeasures(() => 0);
    for (const seconds of [0.000_05, 0.000_1, 0.3, 7]) measures.fsyncSeconds.observe(seconds);
    const counters = newCounters();
    counters.sent.votes = 5;
    counters.rejected.EQUIVOCATION = 2;
    counters.viewChanges = 3;
    const metrics = createMetrics({ status: () => status({ counters }), parameters: DEFAULT_PARAMETERS, measures, logBytes: () => 4_096 });
    await metrics.render();
    const samples = samplesOf(await metrics.render());
    for (const [name, value] of Object.entries({
      narses_view: 5, narses_executed_seq: 9, narses_stable_seq: 0, narses_healthy: 1, narses_pending_bundles: 0, narses_wal_bytes: 4_096, narses_uptime_seconds: 1.5,
      'narses_messages_sent_total{type="votes"}': 5, 'narses_messages_received_total{type="new-view"}': 0, narses_view_changes_total: 3,
      'narses_rejected_total{code="EQUIVOCATION"}': 2, 'narses_rejected_total{code="SIGNATURE_INVALID"}': 0,
      'narses_peer_connected{peer="1"}': 1, 'narses_peer_connected{peer="3"}': 0, 'narses_peer_silent_seconds{peer="2"}': 0.25, 'narses_peer_dropped_frames_total{peer="2"}': 2,
      'narses_wal_fsync_seconds_bucket{le="0.0001"}': 2, 'narses_wal_fsync_seconds_bucket{le="0.25"}': 2, 'narses_wal_fsync_seconds_bucket{le="1"}': 3,
      'narses_wal_fsync_seconds_bucket{le="+Inf"}': 4, narses_wal_fsync_seconds_count: 4, narses_batch_operations_count: 0, narses_execution_seconds_sum: 0,
    })) expect([name, samples.get(name)]).toEqual([name, value]);
    for (const name of ["process_cpu_seconds_total", "process_resident_memory_bytes", "nodejs_eventloop_lag_p99_seconds"]) expect(samples.has(name)).toBe(true);
  });

  test("a distribution counts every value once, on the inclusive side of its bound", () => {
    const d = new Distribution([1, 2]);
    for (const value of [0, 1, 1.5, 2, 3]) d.observe(value);
    expect([...d.counts, d.sum]).toEqual([2, 2, 1, 7.5]);
  });
});

describe("the admin address", () => {
  test.each([
    ["9100", { host: "127.0.0.1", port: 9100 }], ["127.0.0.1:9100", { host: "127.0.0.1", port: 9100 }], ["[::1]:0", { host: "::1", port: 0 }], ["localhost:1", { host: "localhost", port: 1 }],
    ["", undefined], ["127.0.0.1", undefined], ["127.0.0.1:65536", undefined], ["::1:9100", undefined], [":9100", undefined], ["http://127.0.0.1:9100", undefined],
  ])("%j", (text, expected) => {
    expect(parseAdminAddress(text)).toEqual(expected);
  });

  test("a port in use and an address of another machine are told by name", async () => {
    const sources = { health: () => { throw new TypeError("unused"); }, status, why: () => { throw new TypeError("unused"); }, metrics: { contentType: "", render: async () => "" }, logger: recordingLogger() };
    const first = await startAdmin({ host: "127.0.0.1", port: 0 }, sources);
    cleanups.push(() => first.close());
    const port = Number(new URL(first.url).port);
    await expect(startAdmin({ host: "127.0.0.1", port }, sources)).rejects.toMatchObject({ code: "PORT_IN_USE", message: expect.stringContaining(`127.0.0.1:${port}`) as string });
    await expect(startAdmin({ host: "192.0.2.1", port: 0 }, sources)).rejects.toBeInstanceOf(NarsesError);
    expect(sources.logger.lines.filter(({ level }) => level === "warn")).toEqual([]);
  });
});

async function served(): Promise<{ readonly replica: RunningReplica; readonly url: string; readonly logger: ReturnType<typeof recordingLogger> }> {
  const tools = testCluster(1);
  const { homes, remove } = await makeHomes(tools);
  cleanups.push(remove);
  const network = createMemoryNetwork({ replicas: 1 });
  const logger = recordingLogger();
  const replica = await startReplica({ home: homes[0] ?? "", app: counter, logger, transport: ({ self }) => network.transport(self), admin: "0" });
  cleanups.push(() => replica.stop());
  const client = new TestClient(tools, network, clientKey());
  await client.start(1);
  cleanups.push(() => client.stop());
  await client.submit([apply({ add: 1 })]);
  return { replica, url: replica.adminUrl ?? "", logger };
}

/** Sends bytes as they are; resolves with everything that came back once the other side closes. */
function raw(url: string, bytes: string | Uint8Array): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    let received = "";
    const socket: Socket = connect(Number(port), hostname, () => socket.write(bytes));
    socket.on("data", (chunk) => (received += chunk.toString()));
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(received));
  });
}

describe("the admin endpoint", () => {
  test("health, readiness, status, why and metrics of a running replica", async () => {
    const { url, replica } = await served();
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    for (const path of ["/health", "/ready"]) {
      const response = await fetch(url + path);
      expect([response.status, await response.json()]).toMatchObject([200, { healthy: true, ready: true, reasons: [], executedSeq: 1 }]);
    }
    expect(await (await fetch(`${url}/status`)).json()).toMatchObject({ replica: 0, head: { seq: 1 }, engine: { name: "pbft", view: 0, primary: 0 } });
    expect(await (await fetch(`${url}/why?verbose`)).json()).toMatchObject({ headline: "Replica 0 is waiting for nothing: view 0 is active, slot 1 is executed." });
    const metrics = await fetch(`${url}/metrics`);
    expect(metrics.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    const samples = samplesOf(await metrics.text());
    expect([samples.get("narses_executed_seq"), samples.get("narses_batch_operations_sum"), samples.get("narses_operations_executed_total")]).toEqual([1, 1, 1]);
    expect(samples.get("narses_wal_fsync_seconds_count")).toBe(replica.status().counters.fsyncs);
    expect(replica.status().counters.fsyncs).toBeGreaterThan(0);
    expect(samplesOf(await replica.metrics()).get("narses_executed_seq")).toBe(1);
    const head = await fetch(`${url}/metrics`, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
  });

  test("503 with the reason while a quorum is out of reach", async () => {
    const { homes, remove } = await makeHomes(testCluster(4));
    cleanups.push(remove);
    const network = createMemoryNetwork({ replicas: 4 });
    const replica = await startReplica({ home: homes[0] ?? "", app: counter, logger: recordingLogger(), transport: ({ self }) => network.transport(self), admin: "127.0.0.1:0" });
    cleanups.push(() => replica.stop());
    const response = await fetch(`${replica.adminUrl ?? ""}/health`);
    expect([response.status, await response.json()]).toMatchObject([503, { healthy: false, reachable: 1, quorum: 3, reasons: ["reaches 0 of 3 peers, needs 2 for a quorum of 3"] }]);
  });

  test("whatever is asked, nothing changes and nothing breaks", async () => {
    const { url, replica, logger } = await served();
    for (const [method, path, expected] of [["GET", "/nothing", 404], ["GET", "/../../etc/passwd", 404], ["POST", "/status", 405], ["DELETE", "/metrics", 405], ["GET", "/", 200]] as const) {
      const response = await fetch(url + path, { method, ...(method === "POST" && { body: "x".repeat(100_000) }) });
      expect([method, path, response.status]).toEqual([method, path, expected]);
      await response.text();
    }
    expect(await raw(url, "\0\u0001garbage\r\n\r\n")).toContain("400 Bad Request");
    expect(await raw(url, `GET /health HTTP/1.1\r\nhost: a\r\nx: ${"y".repeat(2 * ADMIN_HEADER_BYTES_MAX)}\r\n\r\n`)).toContain("431");
    expect(await raw(url, "GET /%zz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).toContain("404");
    expect(await raw(url, "GET /health HTTP/9.9\r\n\r\n")).toMatch(/^HTTP\/1\.1 (400|505)/);
    expect((await fetch(`${url}/health`)).status).toBe(200);
    expect(logger.lines.filter(({ level }) => level === "error")).toEqual([]);
    expect(replica.status().halted).toBeNull();
  });

  test("connections are bounded, idle ones do not keep the replica from stopping, and then the port is free", async () => {
    const { url, replica } = await served();
    const { hostname, port } = new URL(url);
    const idle = Array.from({ length: ADMIN_CONNECTIONS_MAX + 8 }, () => connect(Number(port), hostname).on("error", () => undefined));
    let closed = 0;
    for (const socket of idle) socket.on("close", () => void closed++);
    await until("the ones above the bound are dropped", () => closed === 8);
    await replica.stop();
    await until("all are closed", () => closed === idle.length);
    await expect(fetch(`${url}/health`)).rejects.toThrow();
  });

  test("off unless configured; replica.json configures it, and a wrong address is told by file and field", async () => {
    const { homes, remove } = await makeHomes(testCluster(1));
    cleanups.push(remove);
    const home = homes[0] ?? "";
    const start = (): Promise<RunningReplica> => {
      const network = createMemoryNetwork({ replicas: 1 });
      return startReplica({ home, app: counter, logger: recordingLogger(), transport: ({ self }) => network.transport(self) });
    };
    const off = await start();
    expect(off.adminUrl).toBeUndefined();
    await off.stop();
    await writeFile(`${home}/replica.json`, JSON.stringify({ replica: 0, admin: "127.0.0.1:0" }));
    const on = await start();
    cleanups.push(() => on.stop());
    expect((await fetch(`${on.adminUrl ?? ""}/ready`)).status).toBe(200);
    await on.stop();
    await writeFile(`${home}/replica.json`, JSON.stringify({ replica: 0, admin: "nowhere" }));
    await expect(start()).rejects.toMatchObject({ code: "CONFIG_INVALID", message: expect.stringMatching(/replica\.json: admin: must be HOST:PORT/) as string });
  });
});
