/** `bench latency`: percentiles of one client and under fixed load, with a replica crashed, the primary killed, and from a cold start. */
import { figure, type Metric, type Section, type Table, type Target } from "../result.ts";
import { killPrimary, type FailoverRun } from "./failover.ts";
import type { LoadReport } from "./load-spec.ts";
import { failoverPlot } from "./plots.ts";
import type { Program } from "./program.ts";
import { startup, type Startup } from "./startup.ts";
import type { Measurement } from "./stage.ts";
import { openStage, shapeOf, type BenchOptions, type Measured, type Shape } from "./throughput.ts";

interface Plan {
  /** One client, one operation at a time. */
  readonly single: readonly Shape[];
  /** Open load, operations a second, on n = 4. */
  readonly rates: readonly number[];
  readonly warmUpMs: number;
  readonly measureMs: number;
  readonly kills: number;
  readonly starts: number;
}

const shape = (n: number, payload = 128): Shape => shapeOf(n, 1, payload);
/** Light enough that what is seen is the failover and not a queue. */
const FAILOVER_RATE = 200;
const WARM_UP_IN_FLIGHT = 8;

function planOf({ quick, tiny }: BenchOptions): Plan {
  if (tiny) return { single: [shape(4)], rates: [], warmUpMs: 100, measureMs: 500, kills: 0, starts: 0 };
  if (quick) return { single: [shape(4), shape(1)], rates: [100, 400], warmUpMs: 4_000, measureMs: 4_000, kills: 2, starts: 2 };
  return { single: [shape(4), shape(4, 0), shape(4, 1_024), shape(1), shape(7), shape(10)], rates: [50, 100, 200, 400, 800], warmUpMs: 8_000, measureMs: 8_000, kills: 5, starts: 3 };
}

interface SingleRow extends Measurement {
  readonly shape: Shape;
}

interface Start extends Startup {
  readonly program: Program;
}

interface RateRow {
  readonly rate: number;
  readonly crashed: number;
  readonly load: LoadReport;
}

export async function latency(options: BenchOptions): Promise<Measured> {
  const plan = planOf(options);
  const { program, progress } = options;
  const single: SingleRow[] = [];
  for (const one of plan.single) {
    progress(`one client, one operation at a time, n = ${one.n}, ${one.payload} B`);
    single.push(await oneAtATime(program, one, plan));
  }
  const rates = plan.rates.length === 0 ? [] : await underLoad(options, plan);
  const kills: FailoverRun[] = [];
  for (let i = 0; i < plan.kills; i++) {
    progress(`kill -9 of the primary, ${i + 1} of ${plan.kills}`);
    kills.push(await killPrimary({ program, shape: shape(4), operationsPerSecond: FAILOVER_RATE, warmUpMs: plan.warmUpMs, beforeMs: 1_500, afterMs: 4_000 }));
  }
  const starts: Start[] = [];
  for (const started of program === "bundled" ? (["bundled", "compiled", "sources"] as const) : program === "compiled" ? (["compiled", "sources"] as const) : (["sources"] as const)) {
    for (let i = 0; i < plan.starts; i++) {
      progress(`start of four processes, ${started}`);
      starts.push({ program: started, ...(await startup(started, 4)) });
    }
  }
  return { sections: sectionsOf({ single, rates, kills, starts }), targets: targetsOf({ single, kills, starts }), metrics: metricsOf({ single, rates, kills, starts }) };
}

export async function oneAtATime(program: Program, one: Shape, plan: Pick<Plan, "warmUpMs" | "measureMs">): Promise<SingleRow> {
  const stage = await openStage(program, one, 1);
  try {
    const load = { unit: 1, payloadBytes: one.payload } as const;
    // One at a time, the compiler would need minutes to see enough operations: it is warmed up with several in flight.
    await stage.run({ ...load, arrival: { type: "closed", inFlight: WARM_UP_IN_FLIGHT }, durationMs: plan.warmUpMs });
    await stage.run({ ...load, arrival: { type: "closed", inFlight: 1 }, durationMs: plan.warmUpMs / 4 });
    return { shape: one, ...(await stage.measure({ ...load, arrival: { type: "closed", inFlight: 1 }, durationMs: plan.measureMs })) };
  } finally {
    await stage.close();
  }
}

/** Fixed rates on n = 4, all well and then with a backup killed. */
async function underLoad({ program, progress }: BenchOptions, plan: Plan): Promise<readonly RateRow[]> {
  const stage = await openStage(program, shape(4));
  const rows: RateRow[] = [];
  const run = async (rate: number, durationMs: number): Promise<LoadReport> =>
    stage.run({ arrival: { type: "open", operationsPerSecond: rate }, unit: 1, payloadBytes: 128, durationMs });
  try {
    await run(plan.rates[0] ?? 1, plan.warmUpMs);
    for (const crashed of [0, 1]) {
      if (crashed === 1) await stage.killBackup();
      for (const rate of plan.rates) {
        progress(`open load of ${rate} op/s${crashed === 0 ? "" : ", one backup crashed"}`);
        rows.push({ rate, crashed, load: await run(rate, plan.measureMs) });
      }
    }
    return rows;
  } finally {
    await stage.close();
  }
}

// ── report ───────────────────────────────────────────────────────────────────────────────────────────────────────

interface Rows {
  readonly single: readonly SingleRow[];
  readonly rates: readonly RateRow[];
  readonly kills: readonly FailoverRun[];
  readonly starts: readonly Start[];
}

const PROGRAMS: Readonly<Record<Program, string>> = { bundled: "one file each", compiled: "compiled packages", sources: "sources through tsx" };

const ms = (value: number): string => figure(Math.round(value * 100) / 100);
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? 0;

function sectionsOf({ single, rates, kills, starts }: Rows): readonly Section[] {
  const singleTable: Table = {
    title: "One client, one operation at a time",
    columns: ["n", "payload B", "op/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "CPU ms / op", "messages / batch", "disk waits / batch", "signatures checked / batch"],
    rows: single.map(({ shape: s, load: { latency: l }, usage: u, operationsPerSecond }) => [
      s.n, s.payload, Math.round(operationsPerSecond), ms(l.p50), ms(l.p90), ms(l.p99), ms(l.p999), ms(l.max), u.cpuPer100k / 100, u.messagesPerBatch, u.fsyncsPerBatch, u.signaturesCheckedPerBatch,
    ]),
    note: "Durable, every request and vote signed, client and all replicas on this machine's cores. CPU is over all processes.",
  };
  const rateTable: Table = {
    title: "Open load on n = 4, operations signed alone",
    columns: ["offered op/s", "replicas crashed", "answered", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "failed"],
    rows: rates.map(({ rate, crashed, load: { operations, failed, latency: l } }) => [rate, crashed, operations, ms(l.p50), ms(l.p90), ms(l.p99), ms(l.p999), ms(l.max), failed]),
  };
  const killTable: Table = {
    title: `kill -9 of the primary at ${FAILOVER_RATE} op/s`,
    columns: ["run", "longest pause ms", "answered", "failed", "resent bundles", "p50 ms", "p99 ms"],
    rows: kills.map(({ gapMs, load: { operations, failed, retransmissions, latency: l } }, i) => [i + 1, Math.round(gapMs), operations, failed, retransmissions, ms(l.p50), ms(l.p99)]),
  };
  const startTable: Table = {
    title: "From four new processes to the first committed operation",
    columns: ["program", "all listen after ms", "first answer after ms"],
    rows: starts.map(({ program, readyMs, firstAnswerMs }) => [PROGRAMS[program], Math.round(readyMs), Math.round(firstAnswerMs)]),
    note: "The client's process runs already and connects as soon as it can.",
  };
  return [
    { title: "Latency", tables: [singleTable, ...(rates.length > 0 ? [rateTable] : [])] },
    ...(kills.length > 0 ? [{ title: "Failover", tables: [killTable], plots: [failoverPlot(kills)] }] : []),
    ...(starts.length > 0 ? [{ title: "Start", tables: [startTable] }] : []),
  ];
}

function targetsOf({ single, kills, starts }: Omit<Rows, "rates">): readonly Target[] {
  const one = single.find(({ shape: s }) => s.n === 4 && s.payload === 128)?.load.latency;
  const target = (name: string, limitMs: number, value: number | undefined): Target => ({
    name, target: `≤ ${figure(limitMs)} ms`, measured: value === undefined ? "–" : `${ms(value)} ms (${figure(value / limitMs)}×)`, met: value === undefined ? undefined : value <= limitMs,
  });
  const gaps = kills.map(({ gapMs }) => gapMs);
  const start = (program: Program): number | undefined => {
    const values = starts.filter((s) => s.program === program).map(({ firstAnswerMs }) => firstAnswerMs);
    return values.length === 0 ? undefined : median(values);
  };
  return [
    target("one client, one operation at a time, p50", 2.5, one?.p50),
    target("one client, one operation at a time, p99", 8, one?.p99),
    target("kill -9 of the primary, longest pause of all runs", 700, gaps.length === 0 ? undefined : Math.max(...gaps)),
    target("four processes to the first committed operation, bundled", 1_000, start("bundled")),
    target("the same from the compiled packages", 1_000, start("compiled")),
    target("the same from sources through tsx", 1_000, start("sources")),
  ];
}

function metricsOf({ single, rates, kills, starts }: Rows): Readonly<Record<string, Metric>> {
  const metrics: Record<string, Metric> = {};
  const time = (name: string, value: number): void => void (metrics[name] = { value, unit: "ms", kind: "time", better: "lower" });
  for (const { shape: s, load: { latency: l }, usage } of single) {
    const name = `one at a time n=${s.n} payload=${s.payload}`;
    time(`${name} p50`, l.p50);
    time(`${name} p99`, l.p99);
    metrics[`${name} CPU`] = { value: usage.cpuPer100k, unit: "CPU-s/100k", kind: "cpu", better: "lower" };
  }
  for (const { rate, crashed, load: { latency: l } } of rates) {
    time(`open ${rate} op/s crashed=${crashed} p50`, l.p50);
    time(`open ${rate} op/s crashed=${crashed} p99`, l.p99);
  }
  if (kills.length > 0) time("primary killed, median pause", median(kills.map(({ gapMs }) => gapMs)));
  const quickest = starts.filter(({ program }) => program === starts[0]?.program);
  if (quickest.length > 0) time("start to first operation, median", median(quickest.map(({ firstAnswerMs }) => firstAnswerMs)));
  return metrics;
}
