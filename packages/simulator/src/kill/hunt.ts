/** The hunt for one seeded bug: seed after seed in a worker of its own copy, until an oracle speaks or the seeds are used up. */
import process from "node:process";
import { runPool } from "../cli/pool.ts";
import { ToolError } from "../cli/tool-error.ts";
import type { SeedsAnswer, SeedsJob } from "../cli/seeds.ts";
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
}

export async function hunt(sandbox: Sandbox, mutation: Mutation): Promise<HuntResult> {
  sandbox.seed(mutation);
  const started = process.hrtime.bigint();
  let next = 1;
  let seeds = 0;
  let kill: Kill | undefined;
  await runPool<SeedsJob, SeedsAnswer>(
    () => {
      if (next > mutation.seedsMax) return undefined;
      const count = Math.min(CHUNK_SEEDS, mutation.seedsMax - next + 1);
      const job: SeedsJob = {
        type: "seeds", depth: mutation.depth ?? "engine", appPath: undefined, first: next, count, options: mutation.options ?? {},
        faultsInTurn: mutation.faults ?? FAULTS_IN_TURN, stopAtFailure: true,
      };
      next += count;
      return job;
    },
    (_job, { totals, failures: [failure] }) => {
      seeds += totals.seeds;
      if (failure !== undefined && MISFIT.test(failure.detail)) {
        const why = `is no bug but broken code: it dies of itself (${failure.detail})`;
        throw new ToolError("MUTATION_STALE", `seeded bug "${mutation.name}" ${why}; adapt it in packages/simulator/src/kill`);
      }
      if (failure !== undefined) kill = { seed: failure.seed, kind: failure.outcome, oracle: failure.oracle, detail: failure.detail };
      return kill === undefined;
    },
    { workers: 1, program: sandbox.program },
  );
  return { name: mutation.name, seedsMax: mutation.seedsMax, seeds, seconds: Number(process.hrtime.bigint() - started) / 1e9, kill };
}
