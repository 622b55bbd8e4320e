/** The worker's side of the pool: answers jobs until the parent goes away. */
import process from "node:process";
import type { ProgressMessage } from "./pool.ts";
import { type SeedsAnswer, type SeedsJob, runSeeds } from "./seeds.ts";
import { runTwinsJob, type TwinsAnswer, type TwinsJob } from "../twins/job.ts";

export type Job = SeedsJob | TwinsJob;

export function serve(): void {
  const progress = (done: number): void => {
    const message: ProgressMessage = { type: "progress", done };
    process.send?.(message);
  };
  process.on("message", (job: Job) => {
    const answer: SeedsAnswer | TwinsAnswer = job.type === "seeds" ? runSeeds(job) : runTwinsJob(job, progress);
    process.send?.(answer);
  });
  // Without a parent there is nobody to work for.
  process.on("disconnect", () => process.exit(0));
}
