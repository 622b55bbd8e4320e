/** `twins`: the whole enumeration, a worker for each first leader, with progress, a file of finished shares, and a summary. */
import { readFileSync, rmSync } from "node:fs";
import process from "node:process";
import type { Leaders, TwinsProgress } from "../twins/enumerate.ts";
import type { TwinsAnswer, TwinsJob } from "./twins-job.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import { writeWhole } from "./files.ts";
import { runPool } from "./pool.ts";
import { clock, createProgress } from "./progress.ts";
import { ToolError } from "./tool-error.ts";

export interface TwinsFlags {
  readonly n: number;
  readonly twins: number;
  readonly rounds: number;
  readonly leaders: Leaders;
  readonly workers: number | undefined;
  readonly state: string | undefined;
  readonly print: (line: string) => void;
}

type Share = TwinsAnswer & { readonly cpuMs: number };

/** What a state file holds: the shares that are finished, by first leader. */
interface Kept {
  readonly flags: string;
  readonly shares: Readonly<Record<number, Share>>;
}

/** How many rounds of n = 4 have been seen to end, and who may lead one that is not the first. */
const KNOWN: Readonly<Record<Leaders, { readonly roundsRun: number; readonly words: string; readonly choices: (n: number) => number }>> = {
  "in-turn": { roundsRun: 7, words: "leaders in turn", choices: () => 1 },
  "same-or-next": { roundsRun: 4, words: "the same leader or the next", choices: (n) => Math.min(n, 2) },
  any: { roundsRun: 4, words: "any leader", choices: (n) => n },
};

const count = (value: number): string => value.toLocaleString("en");

function load(path: string | undefined, flags: string): Kept {
  const empty: Kept = { flags, shares: {} };
  if (path === undefined) return empty;
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return empty;
  }
  let kept: Kept;
  try {
    kept = JSON.parse(text) as Kept;
  } catch (error) {
    throw new ToolError("STATE_INVALID", `${path} is not JSON: delete it to start over`, { cause: error });
  }
  if (kept.flags !== flags) throw new ToolError("STATE_INVALID", `${path} is of another enumeration (${kept.flags}): give another --state, or delete it`);
  return kept;
}

export async function twins({ n, twins: twinned, rounds, leaders, workers, state, print }: TwinsFlags): Promise<ExitCode> {
  const partitions = 2 ** (n + twinned - 1);
  const flags = `--n ${n} --twins ${twinned} --rounds ${rounds} --leaders ${leaders}`;
  const { roundsRun, words, choices } = KNOWN[leaders];
  const scenarios = n * partitions ** rounds * choices(n) ** (rounds - 1);
  print(`twins: n = ${n}, ${twinned} of them twice; each round one of ${partitions} two-way partitions, ${words}, from each of ${n}; ${rounds} rounds: `
    + `${count(scenarios)} scenarios`);
  if (rounds > roundsRun) {
    print(`this has been run to the end for ${roundsRun} rounds of four replicas, not for more: the states are several times as many after each round, and so is the time`);
  }
  let kept = load(state, flags);
  const open = Array.from({ length: n }, (_, i) => i).filter((leader) => kept.shares[leader] === undefined);
  if (open.length < n) print(`goes on from ${state}: the shares of ${n - open.length} first leaders are done`);
  const started = process.hrtime.bigint();
  const total = open.length;
  const progress = createProgress(n, "first leaders", n - total);
  const running = new Map<number, TwinsProgress>();
  const note = (): string => {
    const all = [...running.values()];
    const share = all.reduce((sum, one) => sum + one.share, 0) / Math.max(1, total);
    const elapsedMs = Number(process.hrtime.bigint() - started) / 1e6;
    const left = share > 0.01 ? `, about ${clock((elapsedMs / share) * (1 - share))} left` : "";
    const [runs, round] = [all.reduce((sum, one) => sum + one.runs, 0), Math.max(1, ...all.map((one) => one.round))];
    return `${count(runs)} sides run, now in round ${round} of ${rounds}, ${Math.floor(100 * share)} %${left}`;
  };
  const next = (): TwinsJob | undefined => {
    const firstLeader = open.shift();
    return firstLeader === undefined ? undefined : { type: "twins", n, twinned, rounds, firstLeader, leaders, stopAtViolation: false };
  };
  const done = ({ firstLeader }: TwinsJob, answer: Share): boolean => {
    kept = { flags, shares: { ...kept.shares, [firstLeader]: answer } };
    if (state !== undefined) writeWhole(state, JSON.stringify(kept));
    running.set(firstLeader, { round: rounds, runs: answer.runs, share: 1 });
    progress.update(Object.keys(kept.shares).length, note());
    return true;
  };
  await runPool<TwinsJob, Share, TwinsProgress>(next, done, {
    workers: Math.min(workers ?? Number.POSITIVE_INFINITY, Math.max(1, total)), onProgress: ({ firstLeader }, part) => {
      running.set(firstLeader, part);
      progress.update(Object.keys(kept.shares).length, note());
    },
  });
  progress.end();
  if (state !== undefined) rmSync(state, { force: true });
  return summarise(kept, n + twinned, print);
}

function summarise({ shares }: Kept, nodes: number, print: (line: string) => void): ExitCode {
  const all = Object.entries(shares);
  for (const [leader, { steps, runs, states, violations, executedMax, cpuMs }] of all) {
    print(`first leader r${leader}: distinct states ${states.map(count).join(" → ")}; ${count(steps)} rounds judged, ${count(runs)} sides of them run, `
      + `up to n${executedMax}, ${violations.length} violations, ${(cpuMs / 1000).toFixed(0)} s of CPU`);
    for (const { kind, oracle, detail, scenario } of violations.slice(0, 3)) {
      const words = scenario.map(({ partition, leader: by }) => `${partition.toString(2).padStart(nodes, "0")} r${by}`).join(", ");
      print(`  ${kind} (${oracle}): ${detail}; partition and leader of each round: ${words} (bit i from the right: node i)`);
    }
  }
  const sum = (of: (share: Share) => number): number => all.reduce((total, [, share]) => total + of(share), 0);
  const violated = all.some(([, { violations }]) => violations.length > 0);
  const states = sum((share) => share.states.reduce((a, b) => a + b, 0));
  print(`${count(states)} states, ${count(sum(({ steps }) => steps))} rounds judged, ${count(sum(({ runs }) => runs))} sides run, `
    + `${(sum(({ cpuMs }) => cpuMs) / 60_000).toFixed(1)} min of CPU; ${violated ? "agreement was VIOLATED" : "no violation"}`);
  return violated ? EXIT.safety : EXIT.ok;
}
