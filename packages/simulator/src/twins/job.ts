/** One share of the enumeration as a job for a worker: all scenarios with one first leader. */
import { type Enumeration, type EnumerationOptions, enumerateTwins } from "./enumerate.ts";

export interface TwinsJob extends Omit<EnumerationOptions, "onProgress"> {
  readonly type: "twins";
}

export interface TwinsAnswer extends Enumeration {
  readonly type: "twins";
}

export const runTwinsJob = (job: TwinsJob, onProgress: (runs: number) => void): TwinsAnswer => ({ type: "twins", ...enumerateTwins({ ...job, onProgress }) });
