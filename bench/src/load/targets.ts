/**
 * `bench targets`: every figure of the target table in one run. The parts are independent: one that fails says why in its rows, and the
 * rest goes on. What a part measures is what `throughput` and `latency` measure, with the shapes of the table only.
 */
import { figure, type Metric, type Section, type Table, type Target } from "../result.ts";
import { baselineMetrics, baselineTable, measureEtcd, measureUnreplicated } from "./baselines.ts";
import { killPrimary } from "./failover.ts";
import { GOALS, metricOf, reached, sortTargets, unmeasured, type Goal } from "./goals.ts";
import { oneAtATime } from "./latency.ts";
import { startable, type Program } from "./program.ts";
import { CLIENTS, openStage, saturating, shapeOf, STAGE_SECONDS, withStage, type BenchOptions, type Measured, type Shape } from "./shapes.ts";
import type { Measurement } from "./stage.ts";
import { startup } from "./startup.ts";

interface Plan {
  readonly warmUpMs: number;
  readonly measureMs: number;
  readonly memoryOperations: number;
  readonly memoryMs: number;
  readonly kills: number;
  readonly starts: number;
}

function planOf({ quick, tiny }: Pick<BenchOptions, "quick" | "tiny">): Plan {
  if (tiny) return { warmUpMs: 100, measureMs: 400, memoryOperations: 400, memoryMs: 2_000, kills: 0, starts: 1 };
  if (quick) return { warmUpMs: 5_000, measureMs: 5_000, memoryOperations: 200_000, memoryMs: 30_000, kills: 2, starts: 3 };
  return { warmUpMs: 12_000, measureMs: 12_000, memoryOperations: 1_000_000, memoryMs: 150_000, kills: 5, starts: 5 };
}

/** Without the time that compilation takes. */
export function targetsSeconds(options: Pick<BenchOptions, "quick" | "tiny">): number {
  const { warmUpMs, measureMs, memoryOperations, kills, starts: count } = planOf(options);
  return 3 * ((warmUpMs + measureMs) / 1_000 + STAGE_SECONDS) + memoryOperations / 40_000 + kills * (10.5 + STAGE_SECONDS) + count * 4 + (measureMs * 2) / 1_000 + 8;
}

/** What a part found: rows of the table, details below it, and figures to compare. */
interface Found {
  readonly targets: readonly Target[];
  readonly tables: readonly Table[];
  readonly metrics: Readonly<Record<string, Metric>>;
}

interface Part {
  readonly name: string;
  /** What stays unmeasured when it fails. */
  readonly goals: readonly Goal[];
  readonly run: (options: BenchOptions, plan: Plan) => Promise<Found>;
}

function found(values: readonly (readonly [Goal, number])[], tables: readonly Table[]): Found {
  return { targets: values.map(([g, value]) => reached(g, value)), tables, metrics: Object.assign({}, ...values.map(([g, value]) => metricOf(g, value))) as Found["metrics"] };
}

// ── the parts ────────────────────────────────────────────────────────────────────────────────────────────────────

const ALONE: Shape = shapeOf(4, 1, 128);
const BUNDLED: Shape = shapeOf(4, 100, 128);
/** Of a second; light enough that what is seen is the failover and not a queue. */
const FAILOVER_RATE = 200;

async function alone({ program }: BenchOptions, { warmUpMs, measureMs }: Plan): Promise<Found> {
  return withStage(openStage(program, ALONE), async (stage) => {
    await stage.run({ ...saturating(ALONE), durationMs: warmUpMs });
    const measured = await stage.measure({ ...saturating(ALONE), durationMs: measureMs });
    return found([[GOALS.alone, measured.usage.cpuPer100k]], [loadTable("Every operation signed alone", [["saturated", measured]])]);
  });
}

async function bundled({ program, progress }: BenchOptions, plan: Plan): Promise<Found> {
  return withStage(openStage(program, BUNDLED), async (stage) => {
    await stage.run({ ...saturating(BUNDLED), durationMs: plan.warmUpMs });
    const measured = await stage.measure({ ...saturating(BUNDLED), durationMs: plan.measureMs });
    progress(`  ${figure(Math.round(measured.operationsPerSecond))} op/s; memory after ${figure(plan.memoryOperations)} operations more`);
    const quarters: [string, Measurement][] = [];
    let operations = 0;
    const startMs = performance.now();
    for (let quarter = 1; quarter <= 4 && performance.now() - startMs < plan.memoryMs; quarter++) {
      const part = await stage.measure({ ...saturating(BUNDLED), durationMs: plan.memoryMs / 4, operationsMax: plan.memoryOperations / 4 });
      operations += part.load.operations;
      quarters.push([`after ${figure(operations)} more`, part]);
    }
    const rss = Math.max(...quarters.map(([, { usage }]) => usage.rssBytes)) / 1e6;
    return found(
      [[GOALS.bundledCpu, measured.usage.cpuPer100k], [GOALS.bundledRate, measured.operationsPerSecond], [GOALS.memory, rss]],
      [loadTable("Bundles of 100; memory is read at the end of each line", [["saturated", measured], ...quarters])],
    );
  });
}

async function single({ program }: BenchOptions, plan: Plan): Promise<Found> {
  const measured = await oneAtATime(program, ALONE, plan);
  const { p50, p99 } = measured.load.latency;
  return found([[GOALS.p50, p50], [GOALS.p99, p99]], [loadTable("One client, one operation at a time", [["n = 4, 128 B", measured]])]);
}

async function failover({ program, progress }: BenchOptions, { warmUpMs, kills }: Plan): Promise<Found> {
  const pauses: number[] = [];
  for (let i = 0; i < kills; i++) {
    const run = await killPrimary({ program, shape: ALONE, operationsPerSecond: FAILOVER_RATE, warmUpMs: Math.min(warmUpMs, 5_000), beforeMs: 1_500, afterMs: 4_000 });
    progress(`  pause of ${figure(Math.round(run.gapMs))} ms, ${run.load.failed} operations failed`);
    pauses.push(run.gapMs);
  }
  if (pauses.length === 0) return { targets: [unmeasured(GOALS.pause, "not in a tiny run")], tables: [], metrics: {} };
  return found([[GOALS.pause, Math.max(...pauses)]], [{
    title: `kill -9 of the primary at ${FAILOVER_RATE} op/s: longest pause of answers`, columns: ["run", "ms"], rows: pauses.map((pause, i) => [i + 1, Math.round(pause)]),
  }]);
}

async function starts({ program, progress }: BenchOptions, { starts: count }: Plan): Promise<Found> {
  const rows: (readonly [Program, number, number])[] = [];
  for (const started of count > 1 ? startable(program, progress).filter((one) => one !== "sources" || program === one) : [program]) {
    for (let i = 0; i < count; i++) {
      const { readyMs, firstAnswerMs } = await startup(started, 4);
      progress(`  ${started}: first answer after ${figure(Math.round(firstAnswerMs))} ms`);
      rows.push([started, readyMs, firstAnswerMs]);
    }
  }
  const answers = rows.flatMap(([started, , answered]) => (started === program ? [answered] : [])).sort((a, b) => a - b);
  return found([[GOALS.start, answers[Math.floor((answers.length - 1) / 2)] ?? Number.NaN]], [{
    title: "From four new processes to the first committed operation", columns: ["program", "all listen after ms", "first answer after ms"],
    rows: rows.map(([started, ready, answered]) => [started, Math.round(ready), Math.round(answered)]),
    note: "The client's process runs already and connects as soon as it can. Bundled: each program is one file, as a daemon is shipped; that is what the other parts measure too. Compiled: the packages as they are installed.",
  }]);
}

async function baselines({ program, tiny, progress }: BenchOptions, { measureMs }: Plan): Promise<Found> {
  const unreplicated = await measureUnreplicated(program, tiny ? 50 : 1_000);
  const shapes = tiny ? [] : [ALONE, BUNDLED].map(({ inFlight, bundle, payload }) => ({ clients: CLIENTS, inFlight, unit: bundle, payload }));
  const etcd = await measureEtcd(program, { unreplicatedMs: 0, warmUpMs: measureMs / 3, measureMs: measureMs / 2, shapes }, () => undefined, progress);
  return { targets: [], metrics: baselineMetrics({ unreplicated, etcd }), tables: [baselineTable({ unreplicated, etcd })] };
}

const PARTS: readonly Part[] = [
  { name: "start of four processes", goals: [GOALS.start], run: starts },
  { name: "one client, one operation at a time", goals: [GOALS.p50, GOALS.p99], run: single },
  { name: "every operation signed alone", goals: [GOALS.alone], run: alone },
  { name: "bundles of 100, and memory", goals: [GOALS.bundledCpu, GOALS.bundledRate, GOALS.memory], run: bundled },
  { name: "kill -9 of the primary", goals: [GOALS.pause], run: failover },
  { name: "baseline", goals: [], run: baselines },
];

// ── report ───────────────────────────────────────────────────────────────────────────────────────────────────────

function loadTable(title: string, rows: readonly (readonly [string, Measurement])[]): Table {
  return {
    title,
    columns: ["what", "op/s", "CPU-s / 100k", "of it clients", "ops / batch", "messages / batch", "disk waits / batch", "checked / batch", "p50 ms", "p99 ms", "failed", "resent", "view changes", "RSS MB"],
    rows: rows.map(([what, { operationsPerSecond, usage: u, load: { latency: l, failed, retransmissions } }]) => [
      what, Math.round(operationsPerSecond), u.cpuPer100k, u.clientCpuPer100k, u.operationsPerBatch, u.messagesPerBatch, u.fsyncsPerBatch, u.signaturesCheckedPerBatch, l.p50, l.p99, failed, retransmissions,
      u.viewChanges, Math.round(u.rssBytes / 1e6),
    ]),
  };
}

export async function targets(options: BenchOptions): Promise<Measured> {
  const plan = planOf(options);
  const all: Found[] = [];
  const sections: Section[] = [];
  for (const { name, goals, run } of PARTS) {
    options.progress(name);
    let result: Found;
    try {
      result = await run(options, plan);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      options.progress(`  failed: ${why}`);
      result = { targets: goals.map((g) => unmeasured(g, `failed: ${why.slice(0, 300)}`)), tables: [], metrics: {} };
      sections.push({ title: name, text: [`This part failed: ${why}`] });
    }
    all.push(result);
    if (result.tables.length > 0) sections.push({ title: name, tables: result.tables });
  }
  return {
    summary: [], sections, targets: sortTargets(all.flatMap((f) => f.targets)), metrics: Object.assign({}, ...all.map((f) => f.metrics)) as Measured["metrics"],
  };
}
