/**
 * The hunt for one seeded bug: seed after seed in a worker of its own copy, until an oracle speaks or the seeds are used up. A kill counts
 * only when the unaltered copy does well on that very seed: else it is the engine that fails, and the hunt goes on.
 */
import process from "node:process";
import { runPool } from "../cli/pool.ts";
import { ToolError } from "../cli/tool-error.ts";
import type { Failure, SeedsAnswer, SeedsJob } from "../cli/seeds.ts";
import { FAULTS_IN_TURN, type Mutation } from "./mutation.ts";
import type { Sandbox } from "./sandbox.ts";

/** Seeds per job: a hunt ends with the job in which the bug died. */
const CHUNK_SEEDS = 8;

/** What a name that is gone leads to: no oracle is needed to notice that. */
const MISFIT = /\bis not (?:defined|a function|iterable)\b|Cannot (?:read|set) properties of/;

export interface Kill {
  readonly seed: number;
  readonly kind: string;
  readonly oracle: string;
  readonly detail: string;
}

export interface HuntResult {
  readonly name: string;
  readonly seedsMax: number;
  readonly seeds: number;
  readonly seconds: number;
  readonly kill: Kill | undefined;
  /** Seeds on which the unaltered copy fails too: bugs of the engine, not kills. */
  readonly unsound: readonly number[];
}

export async function hunt(sandbox: Sandbox, mutation: Mutation): Promise<HuntResult> {
  const started = process.hrtime.bigint();
  const unsound: number[] = [];
  let kill: Kill | undefined;
  let next = 1;
  while (kill === undefined && next <= mutation.seedsMax) {
    sandbox.seed(mutation);
    const { failure, last } = await firstFailure(sandbox, mutation, next, mutation.seedsMax);
    next = last + 1;
    if (failure === undefined) break;
    if (MISFIT.test(failure.detail)) {
      const why = `is no bug but broken code: it dies of itself (${failure.detail})`;
      throw new ToolError("MUTATION_STALE", `seeded bug "${mutation.name}" ${why}; adapt it in packages/simulator/src/kill`);
    }
    const found: Kill = { seed: failure.seed, kind: failure.outcome, oracle: failure.oracle, detail: failure.detail };
    if (mutation.edits.length === 0) {
      // Of a negative control the oracle in question must speak: an engine that stops before it lies proves nothing about it.
      if (mutation.oracle === undefined || mutation.oracle === failure.oracle) kill = found;
    } else {
      sandbox.seed({ ...mutation, edits: [] });
      if ((await firstFailure(sandbox, mutation, failure.seed, failure.seed)).failure === undefined) kill = found;
      else unsound.push(failure.seed);
    }
  }
  return { name: mutation.name, seedsMax: mutation.seedsMax, seeds: next - 1, seconds: Number(process.hrtime.bigint() - started) / 1e9, kill, unsound };
}

/** Seeds `first` … `last`, up to the first that fails. */
async function firstFailure(sandbox: Sandbox, mutation: Mutation, first: number, last: number): Promise<{ readonly failure: Failure | undefined; readonly last: number }> {
  let next = first;
  let failure: Failure | undefined;
  await runPool<SeedsJob, SeedsAnswer>(
    () => {
      if (next > last) return undefined;
      const count = Math.min(CHUNK_SEEDS, last - next + 1);
      const job: SeedsJob = {
        type: "seeds", depth: mutation.depth ?? "engine", appPath: undefined, first: next, count, options: mutation.options ?? {},
        faultsInTurn: mutation.faults ?? FAULTS_IN_TURN, stopAtFailure: true,
      };
      next += count;
      return job;
    },
    (_job, { failures }) => {
      [failure] = failures;
      return failure === undefined;
    },
    { workers: 1, program: sandbox.program },
  );
  return { failure, last: failure?.seed ?? last };
}
