/** Replicas as operating system processes: started, killed and started again, never left behind. */
import { spawn, type ChildProcess } from "node:child_process";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { NarsesError } from "@narses/core";

/** Program and flags that run the command line like this process runs: from sources through tsx, or compiled. */
export function commandLine(args: readonly string[]): { readonly command: string; readonly args: readonly string[] } {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  return {
    command: process.execPath,
    args: [...process.execArgv, fileURLToPath(new URL(`../main.${extension}`, import.meta.url)), ...args],
  };
}

const READY_MS = 60_000;
const OUTPUT_KEPT = 4_000;

export class ReplicaProcess {
  readonly id: number;
  readonly #home: string;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();

  constructor(id: number, home: string) {
    this.id = id;
    this.#home = home;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  /** Resolves when the replica has printed its readiness line. @throws NarsesError with what it said when it ended instead. */
  start(): Promise<void> {
    const { command, args } = commandLine(["start", "--home", this.#home, "--log-file", `${this.#home}/replica.log`]);
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    let said = "";
    this.#exited = new Promise((resolve) => {
      child.once("exit", () => {
        if (this.#child === child) this.#child = undefined;
        resolve();
      });
    });
    return new Promise((resolve, reject) => {
      const fail = (why: string): void =>
        reject(
          new NarsesError("CLOSED", `replica ${this.id} ${why}; its log is ${this.#home}/replica.log\n${said.trim()}`, {
            replica: this.id,
          }),
        );
      const timer = setTimeout(() => fail(`was not ready within ${READY_MS / 1_000} s`), READY_MS);
      const listen = (chunk: Buffer): void => {
        said = (said + chunk.toString()).slice(-OUTPUT_KEPT);
        if (!/^ready replica /m.test(said)) return;
        clearTimeout(timer);
        resolve();
      };
      child.stdout.on("data", listen);
      child.stderr.on("data", listen);
      child.once("error", (error) => fail(`could not be started: ${error.message}`));
      child.once("exit", (code, signal) => {
        clearTimeout(timer);
        fail(`ended at start with ${signal ?? `status ${String(code)}`}`);
      });
    });
  }

  /** Resolves when the process is gone. */
  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    this.#child?.kill(signal);
    await this.#exited;
  }

  /** For the end of this process: no time for manners. */
  abandon(): void {
    this.#child?.kill("SIGKILL");
  }
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(true)));
  });

/** First port of `count` consecutive ones that are free now, below the range that systems hand out for outgoing connections. */
export async function freePorts(count: number): Promise<number> {
  for (let base = 21_000 + (process.pid % 800) * 10; base < 32_000; base += 10) {
    const free = await Promise.all(Array.from({ length: count }, (_, i) => isFree(base + i)));
    if (free.every(Boolean)) return base;
  }
  throw new NarsesError("PORT_IN_USE", `no ${count} consecutive ports are free from 21000 to 32000; stop something that listens there`);
}

/** Runs one command to its end and returns its exit status and output. */
export function runCommand(
  args: readonly string[],
): Promise<{ readonly status: number; readonly stdout: string; readonly stderr: string }> {
  const { command, args: all } = commandLine(args);
  const child = spawn(command, all, { stdio: ["ignore", "pipe", "pipe"] });
  const output = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk: Buffer) => void (output.stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => void (output.stderr += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ status: code ?? 1, ...output }));
  });
}
