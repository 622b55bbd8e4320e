/**
 * The baseline that people know: three etcd servers on this machine, crash-tolerant only, each with its log on disk, loaded by the same
 * generator from the same process with the same payloads and concurrency. Nothing is signed and nothing is encrypted there.
 */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NarsesError } from "@narses/core";
import { isLeader } from "./etcd-client.ts";
import { freePorts } from "./homes.ts";
import type { Child } from "./ipc.ts";
import type { EtcdRequest, LoadReport, LoadRequest } from "./load-spec.ts";
import type { Sample } from "./sample.ts";

const MEMBERS = 3;
const READY_MS = 20_000;
const POLL_MS = 50;

export interface EtcdMeasurement {
  readonly load: LoadReport;
  readonly operationsPerSecond: number;
  /** Undefined where the system does not tell what another process used. */
  readonly cpuPer100k: number | undefined;
  readonly clientCpuPer100k: number;
  /** Of the largest server. */
  readonly rssBytes: number | undefined;
}

/** "3.5.12", or why it cannot be measured. */
export function etcdVersion(): { readonly version: string } | { readonly absent: string } {
  const { stdout, error, status } = spawnSync("etcd", ["--version"], { encoding: "utf8" });
  if (error !== undefined) return { absent: (error as { code?: unknown }).code === "ENOENT" ? "`etcd` is not on PATH" : `\`etcd --version\` failed: ${error.message}` };
  const version = /etcd Version: (\S+)/.exec(stdout)?.[1];
  return version === undefined ? { absent: `\`etcd --version\` ended with status ${String(status)} and named no version` } : { version };
}

export class EtcdCluster {
  readonly #load: Child;
  readonly #directory: string;
  readonly #servers: readonly ChildProcess[];
  readonly #addresses: readonly string[];
  #said = "";

  private constructor(load: Child, ports: number) {
    this.#load = load;
    this.#directory = mkdtempSync(join(tmpdir(), "narses-bench-etcd-"));
    const members = Array.from({ length: MEMBERS }, (_, i) => ({ name: `m${i}`, client: `127.0.0.1:${ports + i}`, peer: `http://127.0.0.1:${ports + MEMBERS + i}` }));
    this.#addresses = members.map(({ client }) => client);
    const initial = members.map(({ name, peer }) => `${name}=${peer}`).join(",");
    this.#servers = members.map(({ name, client, peer }) => spawn("etcd", [
      "--name", name, "--data-dir", join(this.#directory, name), "--logger", "zap", "--log-level", "error",
      "--listen-client-urls", `http://${client}`, "--advertise-client-urls", `http://${client}`,
      "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", initial, "--initial-cluster-state", "new",
    ], { stdio: ["ignore", "ignore", "pipe"] }));
    for (const server of this.#servers) {
      server.stderr?.on("data", (chunk: Buffer) => (this.#said = (this.#said + chunk.toString()).slice(-1_000)));
      server.once("error", (error) => (this.#said += error.message));
    }
  }

  /** `load`: the process whose clients load it; they talk to the leader, as is best for it. */
  static async open(load: Child, clients: number): Promise<EtcdCluster> {
    const cluster = new EtcdCluster(load, await freePorts(2 * MEMBERS));
    try {
      const leader = await cluster.#leader();
      await load.call("openEtcd", { address: leader, clients } satisfies EtcdRequest);
      return cluster;
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  async #leader(): Promise<string> {
    for (const start = performance.now(); performance.now() - start < READY_MS; await new Promise((resolve) => setTimeout(resolve, POLL_MS))) {
      for (const address of this.#addresses) if (await isLeader(address).catch(() => false)) return address;
    }
    throw new NarsesError("TIMEOUT", `three etcd servers elected no leader within ${READY_MS / 1_000} s; they said: ${this.#said}`);
  }

  run(request: LoadRequest): Promise<LoadReport> {
    return this.#load.call<LoadReport>("run", request);
  }

  async measure(request: LoadRequest): Promise<EtcdMeasurement> {
    const before = await this.#sample();
    const load = await this.run(request);
    const after = await this.#sample();
    const per100k = (cpuUs: number): number => (cpuUs / 1e6 / Math.max(1, load.operations)) * 100_000;
    const clientUs = after.client.cpuUs - before.client.cpuUs;
    const serversUs = sumOf(after.servers.map((used, i) => difference(used, before.servers[i])));
    const rss = after.servers.map((used) => used?.rssBytes ?? 0);
    return {
      load, operationsPerSecond: load.operations / load.seconds, cpuPer100k: serversUs === undefined ? undefined : per100k(clientUs + serversUs),
      clientCpuPer100k: per100k(clientUs), rssBytes: serversUs === undefined ? undefined : Math.max(...rss),
    };
  }

  async close(): Promise<void> {
    await this.#load.call("close").catch(() => undefined);
    await Promise.all(this.#servers.map((server) => new Promise<void>((resolve) => {
      if (server.pid === undefined || server.exitCode !== null || server.signalCode !== null) return resolve();
      server.once("exit", () => resolve());
      server.kill("SIGKILL");
    })));
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #sample(): Promise<{ readonly client: Sample; readonly servers: readonly (Sample | undefined)[] }> {
    return { client: await this.#load.call<Sample>("sample"), servers: this.#servers.map(({ pid }) => (pid === undefined ? undefined : usedBy(pid))) };
  }
}

const difference = (after: Sample | undefined, before: Sample | undefined): number | undefined => (after === undefined || before === undefined ? undefined : after.cpuUs - before.cpuUs);
const sumOf = (values: readonly (number | undefined)[]): number | undefined => values.reduce<number | undefined>((sum, value) => (sum === undefined || value === undefined ? undefined : sum + value), 0);

/** Of Linux: a tick of process accounting, as every kernel of today reports it, and a page. */
const TICK_US = 10_000;
const PAGE_BYTES = 4_096;

/** From /proc; undefined where there is none. */
function usedBy(pid: number): Sample | undefined {
  try {
    // The name of the program, in parentheses, may hold anything.
    const afterName = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ");
    const [user, system, pages] = [afterName[11], afterName[12], afterName[21]].map(Number);
    if (user === undefined || system === undefined || pages === undefined) return undefined;
    return { cpuUs: (user + system) * TICK_US, rssBytes: pages * PAGE_BYTES };
  } catch {
    return undefined;
  }
}
