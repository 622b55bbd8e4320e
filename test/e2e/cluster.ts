/** A cluster of real processes for end-to-end tests: started through the command line, killed with SIGKILL, asked over the network. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Parameters } from "@narses/core";
import { bundleProgram, type Program } from "./bundle.ts";

const LEDGER = new URL("../../apps/ledger/src/main.ts", import.meta.url);
/** Made when it is needed first. */
let program: Promise<Program> | undefined;
const argv = async (): Promise<readonly string[]> => (await (program ??= bundleProgram(LEDGER))).argv;
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const OUTPUT_KEPT = 20_000;

export interface Finished {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ReplicaState {
  readonly replica: number;
  readonly reachable: boolean;
  readonly view: number;
  readonly primary: number;
  readonly seq: number;
  readonly stateRoot: string;
}

/** Runs one command of the ledger to its end; `onStderr` sees its progress. */
export async function ledger(args: readonly string[], onStderr: (text: string) => void = () => undefined): Promise<Finished> {
  const child = spawn(process.execPath, [...(await argv()), ...args], { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
    onStderr(chunk.toString());
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ status: code ?? 1, stdout, stderr }));
  });
}

async function freePorts(count: number): Promise<number> {
  const free = (port: number): Promise<boolean> => new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(true)));
  });
  for (let base = 12_000 + (process.pid % 700) * 10; base < 20_000; base += 10) {
    if ((await Promise.all(Array.from({ length: count }, (_, i) => free(base + i)))).every(Boolean)) return base;
  }
  throw new RangeError("no free ports on the loopback interface");
}

export class Cluster {
  readonly dir: string;
  readonly n: number;
  readonly #children = new Map<number, ChildProcess>();

  private constructor(dir: string, n: number) {
    this.dir = dir;
    this.n = n;
  }

  static async create(n: number, parameters: Partial<Parameters> = {}): Promise<Cluster> {
    const dir = join(mkdtempSync(join(tmpdir(), "narses-e2e-")), "cluster");
    const made = await ledger(["init", dir, "--replicas", String(n), "--base-port", String(await freePorts(n))]);
    if (made.status !== 0) throw new RangeError(`init failed: ${made.stderr}`);
    const cluster = new Cluster(dir, n);
    for (const file of [dir, ...cluster.ids.map((id) => cluster.home(id))].map((where) => join(where, "cluster.json"))) {
      const config = JSON.parse(readFileSync(file, "utf8")) as { readonly parameters: object };
      writeFileSync(file, JSON.stringify({ ...config, parameters: { ...config.parameters, ...parameters } }));
    }
    await Promise.all(cluster.ids.map((id) => cluster.start(id)));
    return cluster;
  }

  get ids(): readonly number[] {
    return Array.from({ length: this.n }, (_, i) => i);
  }

  home(id: number): string {
    return join(this.dir, `replica-${id}`);
  }

  /** Resolves with the readiness line. @throws RangeError with its status and words when it ends instead. */
  async start(id: number, ...options: readonly string[]): Promise<void> {
    const home = this.home(id);
    const child = spawn(process.execPath, [...(await argv()), "start", "--home", home, "--log-file", join(home, "log"), ...options], { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
    this.#children.set(id, child);
    let said = "";
    return new Promise((resolve, reject) => {
      const hear = (chunk: Buffer): void => {
        said = (said + chunk.toString()).slice(-OUTPUT_KEPT);
        if (/^ready replica /m.test(said)) resolve();
      };
      child.stdout.on("data", hear);
      child.stderr.on("data", hear);
      child.once("error", reject);
      child.once("close", (code, signal) => reject(new RangeError(`replica ${id} ended with ${String(code ?? signal)}: ${said}`)));
    });
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(id: number): Promise<void> {
    await this.#end(id, "SIGKILL");
  }

  /** SIGTERM; resolves with the status that it ended with. */
  stop(id: number): Promise<number | null | undefined> {
    return this.#end(id, "SIGTERM");
  }

  async #end(id: number, signal: NodeJS.Signals): Promise<number | null | undefined> {
    const child = this.#children.get(id);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return undefined;
    const gone = new Promise<number | null>((resolve) => child.once("exit", resolve));
    child.kill(signal);
    return gone;
  }

  run(args: readonly string[], onStderr?: (text: string) => void): Promise<Finished> {
    return ledger([...args, "--dir", this.dir], onStderr);
  }

  async json<T>(args: readonly string[], onStderr?: (text: string) => void): Promise<T> {
    const { status, stdout, stderr } = await this.run([...args, "--json"], onStderr);
    if (status !== 0) throw new RangeError(`${args.join(" ")} ended with ${status}: ${stderr.slice(-2_000)}`);
    return JSON.parse(stdout) as T;
  }

  /** Asks until every replica has executed the same slot, and returns what they say then. */
  async settled(): Promise<readonly ReplicaState[]> {
    for (let attempt = 0; ; attempt++) {
      const { replicas } = JSON.parse((await this.run(["status", "--json"])).stdout) as { replicas: readonly ReplicaState[] };
      if (replicas.every((r) => r.reachable && r.seq === replicas[0]?.seq) || attempt >= 60) return replicas;
    }
  }

  async destroy(): Promise<void> {
    await Promise.all(this.ids.map((id) => this.kill(id)));
    rmSync(join(this.dir, ".."), { recursive: true, force: true });
    const made = program;
    program = undefined;
    (await made)?.remove();
  }
}
