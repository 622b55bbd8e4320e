/** The worker's side of the pool: answers jobs until the parent goes away. */
import process from "node:process";
import type { ProgressMessage } from "./pool.ts";
import { type SeedsAnswer, type SeedsJob, runSeeds } from "./seeds.ts";
import { runTwinsJob, type TwinsAnswer, type TwinsJob } from "./twins-job.ts";

export type Job = SeedsJob | TwinsJob;

const answer = async (job: Job, progress: (done: unknown) => void): Promise<SeedsAnswer | TwinsAnswer> => (job.type === "seeds" ? runSeeds(job) : runTwinsJob(job, progress));

export function serve(): void {
  const parent = process.ppid;
  const progress = (done: unknown): void => {
    // A job that never yields hears of no disconnection.
    if (process.ppid !== parent) process.exit(0);
    const message: ProgressMessage<unknown> = { type: "progress", done };
    process.send?.(message);
  };
  process.on("message", (job: Job) => {
    void answer(job, progress).then((given) => process.send?.(given));
  });
  // Ctrl-C reaches the whole group: the parent says what becomes of the work.
  process.on("SIGINT", () => undefined);
  // Without a parent there is nobody to work for.
  process.on("disconnect", () => process.exit(0));
}
