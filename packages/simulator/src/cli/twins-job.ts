/** One share of the enumeration as a job for a worker: all scenarios with one first leader. */
import process from "node:process";
import { type Enumeration, type EnumerationOptions, enumerateTwins, type TwinsProgress } from "../twins/enumerate.ts";

export interface TwinsJob extends Omit<EnumerationOptions, "onProgress"> {
  readonly type: "twins";
}

export interface TwinsAnswer extends Enumeration {
  readonly type: "twins";
  readonly cpuMs: number;
}

export function runTwinsJob(job: TwinsJob, onProgress: (progress: TwinsProgress) => void): TwinsAnswer {
  const before = process.cpuUsage();
  const enumeration = enumerateTwins({ ...job, onProgress });
  const { user, system } = process.cpuUsage(before);
  return { type: "twins", ...enumeration, cpuMs: (user + system) / 1000 };
}
