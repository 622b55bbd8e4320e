/** Calls between this process and its children over Node's IPC channel: one answer for each call, in any order. */
import { spawn, type ChildProcess } from "node:child_process";
import { NarsesError } from "@narses/core";

interface Call {
  readonly id: number;
  readonly method: string;
  readonly params: unknown;
}

type Answer = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly error: string };

export type Handlers = Readonly<Record<string, (params: never) => unknown>>;

/** In a child: answers calls; ends when the parent is gone. */
export function serve(handlers: Handlers): void {
  const answer = async ({ id, method, params }: Call): Promise<Answer> => {
    try {
      const handler = handlers[method];
      if (handler === undefined) throw new RangeError(`no method ${method}`);
      return { id, value: (await handler(params as never)) ?? null };
    } catch (error) {
      return { id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
    }
  };
  process.on("message", (call: Call) => void answer(call).then((message) => process.send?.(message)));
  process.on("disconnect", () => process.exit(0));
  process.send?.({ id: 0, value: "ready" });
}

export interface ChildCommand {
  readonly name: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  /** Beside those of this process. */
  readonly env?: Readonly<Record<string, string>>;
}

const OUTPUT_KEPT = 4_000;
const READY_MS = 60_000;
const END_MS = 5_000;

export class Child {
  readonly name: string;
  /** Resolves when it answers calls. */
  readonly ready: Promise<void>;
  readonly exited: Promise<void>;
  readonly #process: ChildProcess;
  readonly #open = new Map<number, { readonly resolve: (value: unknown) => void; readonly reject: (error: Error) => void }>();
  #nextId = 1;
  #said = "";

  constructor({ name, args, cwd, env }: ChildCommand) {
    this.name = name;
    this.#process = spawn(process.execPath, [...args], { stdio: ["ignore", "pipe", "pipe", "ipc"], serialization: "advanced", ...(cwd !== undefined && { cwd }), ...(env !== undefined && { env: { ...process.env, ...env } }) });
    for (const stream of [this.#process.stdout, this.#process.stderr]) stream?.on("data", (chunk: Buffer) => (this.#said = (this.#said + chunk.toString()).slice(-OUTPUT_KEPT)));
    this.ready = new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new NarsesError("TIMEOUT", `${name} was not ready within ${READY_MS / 1_000} s: ${this.#said}`)), READY_MS);
      const settle = <T>(then: (value: T) => void) => (value: T): void => {
        clearTimeout(timer);
        then(value);
      };
      this.#open.set(0, { resolve: settle(() => resolve()), reject: settle(reject) });
    });
    this.exited = new Promise((resolve) => {
      this.#process.once("exit", (code, signal) => {
        for (const { reject } of this.#open.values()) reject(new NarsesError("CLOSED", `${name} ended with ${signal ?? `status ${String(code)}`}: ${this.#said}`));
        this.#open.clear();
        resolve();
      });
    });
    // Whoever waits for it hears of a failure; nobody has to.
    this.ready.catch(() => undefined);
    this.#process.on("message", (answer: Answer) => {
      const waiting = this.#open.get(answer.id);
      this.#open.delete(answer.id);
      if ("error" in answer) waiting?.reject(new NarsesError("CALL_FAILED", `${name}: ${answer.error}`));
      else waiting?.resolve(answer.value);
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  call<T>(method: string, params: unknown = {}): Promise<T> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#open.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#process.send({ id, method, params } satisfies Call, (error) => {
        if (error !== null) reject(error);
      });
    });
  }

  /** Lets it end by itself (profiles are written then), and kills it when it does not. */
  async end(): Promise<void> {
    if (this.#process.connected) this.#process.disconnect();
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), END_MS);
    await this.exited;
    clearTimeout(timer);
  }

  /** Resolves when it is gone. */
  async kill(signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
    if (this.running) this.#process.kill(signal);
    await this.exited;
  }
}
