/** Worker processes: jobs are handed out one by one, each worker has one at a time. A worker that dies fails its job aloud. */
import { type ChildProcess, fork } from "node:child_process";
import { availableParallelism } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { ToolError } from "./tool-error.ts";

export interface PoolOptions<Job, Part> {
  readonly workers?: number | undefined;
  /** The program that answers jobs: this one, or that of a mutated copy. */
  readonly program?: string;
  /** What a worker says while it works on a job. */
  readonly onProgress?: (job: Job, done: Part) => void;
}

/** A worker's word on a job that is not finished. */
export interface ProgressMessage<Part> {
  readonly type: "progress";
  readonly done: Part;
}

const isProgress = (message: unknown): message is ProgressMessage<unknown> =>
  typeof message === "object" && message !== null && (message as { type?: unknown }).type === "progress";

/** The entry of this very program, however it was started. */
const ownProgram = (): string => process.argv[1] ?? fileURLToPath(new URL("../main.js", import.meta.url));

export const defaultWorkers = (): number => Math.max(1, availableParallelism());

/** The hidden command with which a worker is started. */
export const WORKER_COMMAND = "worker";

function startWorker(program: string): ChildProcess {
  // The parent's flags (a loader, conditions) hold for the child as well; its output goes nowhere but into failures.
  return fork(program, [WORKER_COMMAND], { execArgv: process.execArgv, stdio: ["ignore", "ignore", "pipe", "ipc"], serialization: "advanced" });
}

/** One job to one worker. Rejects when the worker ends instead of answering. */
function ask(worker: ChildProcess, job: unknown, onProgress: (done: unknown) => void): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let errors = "";
    const onError = (data: Buffer): void => {
      errors = (errors + data.toString("utf8")).slice(-2_000);
    };
    const finish = (): void => {
      worker.off("message", onMessage);
      worker.off("exit", onExit);
      worker.stderr?.off("data", onError);
    };
    const onMessage = (answer: unknown): void => {
      if (isProgress(answer)) return onProgress(answer.done);
      finish();
      resolve(answer);
    };
    const onExit = (code: number | null, signal: string | null): void => {
      finish();
      reject(new ToolError("WORKER_DIED", `a worker ended (${signal ?? `exit ${code}`}) instead of answering its job: ${errors.trim()}`));
    };
    worker.on("message", onMessage);
    worker.on("exit", onExit);
    worker.stderr?.on("data", onError);
    worker.send(job as object);
  });
}

/** Runs every job that `next` gives (undefined: no more). `done` sees the answers in order of completion; false ends the run early. */
export async function runPool<Job, Answer, Part = never>(
  next: () => Job | undefined, done: (job: Job, answer: Answer) => boolean, options: PoolOptions<Job, Part> = {},
): Promise<void> {
  let over = false;
  const serve = async (): Promise<void> => {
    let worker: ChildProcess | undefined;
    try {
      for (let job = over ? undefined : next(); job !== undefined; job = over ? undefined : next()) {
        worker ??= startWorker(options.program ?? ownProgram());
        const current = job;
        const answer = (await ask(worker, job, (part) => options.onProgress?.(current, part as Part))) as Answer;
        if (!over && !done(job, answer)) over = true;
      }
    } finally {
      worker?.kill();
    }
  };
  await Promise.all(Array.from({ length: options.workers ?? defaultWorkers() }, serve));
}
