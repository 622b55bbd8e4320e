/** `twins`: the whole enumeration, a worker for each first leader, with progress and a summary. */
import process from "node:process";
import type { TwinsAnswer, TwinsJob } from "../twins/job.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import { runPool } from "./pool.ts";
import { createProgress } from "./progress.ts";

export interface TwinsFlags {
  readonly n: number;
  readonly twins: number;
  readonly rounds: number;
  readonly workers: number | undefined;
  readonly print: (line: string) => void;
}

const count = (value: number): string => value.toLocaleString("en");

export async function twins({ n, twins: twinned, rounds, workers, print }: TwinsFlags): Promise<ExitCode> {
  const partitions = 2 ** (n + twinned - 1);
  print(`twins: n = ${n}, ${twinned} of them twice, ${partitions} two-way partitions a round, ${n} orders of leaders, ${rounds} rounds: `
    + `${count(n * partitions ** rounds)} scenarios`);
  const started = process.hrtime.bigint();
  const leaders = Array.from({ length: n }, (_, i) => i);
  const progress = createProgress(n, "orders of leaders");
  const answers: { readonly job: TwinsJob; readonly answer: TwinsAnswer }[] = [];
  const running = new Map<number, number>();
  const note = (): string => `${count([...running.values()].reduce((a, b) => a + b, 0))} rounds run`;
  const next = (): TwinsJob | undefined => {
    const firstLeader = leaders.shift();
    return firstLeader === undefined ? undefined : { type: "twins", n, twinned, rounds, firstLeader, stopAtViolation: false };
  };
  const done = (job: TwinsJob, answer: TwinsAnswer): boolean => {
    answers.push({ job, answer });
    running.set(job.firstLeader, answer.runs);
    progress.update(answers.length, note());
    return true;
  };
  await runPool<TwinsJob, TwinsAnswer>(next, done, {
    workers: Math.min(workers ?? Number.POSITIVE_INFINITY, n), onProgress: (job, runs) => {
      running.set(job.firstLeader, runs);
      progress.update(answers.length, note());
    },
  });
  progress.end();
  answers.sort((a, b) => a.job.firstLeader - b.job.firstLeader);
  for (const { job, answer } of answers) {
    const states = answer.states.length > 0 ? `, distinct states ${answer.states.map(count).join(" → ")}` : "";
    print(`leaders from r${job.firstLeader}: ${count(answer.runs)} rounds run${states}, ${answer.violations.length} violations, up to n${answer.executedMax}`);
    for (const { kind, oracle, detail, scenario } of answer.violations.slice(0, 3)) {
      const sides = scenario.map(({ partition }) => partition.toString(2).padStart(n + twinned, "0")).join(" ");
      print(`  ${kind} (${oracle}): ${detail}; partitions ${sides} (bit i from the right: node i)`);
    }
  }
  const violated = answers.some(({ answer }) => answer.violations.length > 0);
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  print(`${count(answers.reduce((sum, { answer }) => sum + answer.runs, 0))} rounds run in ${seconds.toFixed(0)} s; ${violated ? "agreement was VIOLATED" : "no violation"}`);
  return violated ? EXIT.safety : EXIT.ok;
}
