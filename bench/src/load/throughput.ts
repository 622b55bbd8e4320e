/** `bench throughput`: what the cluster takes, what an operation costs, and where it saturates. */
import { figure, type Metric, type Section, type Table, type Target } from "../result.ts";
import { Stage, loadChild, type Measurement } from "./stage.ts";
import type { BaselineReport, BaselineRequest, LoadReport } from "./load-spec.ts";
import type { Program } from "./program.ts";
import { curvePlot, cpuPlot } from "./plots.ts";

export interface BenchOptions {
  readonly quick: boolean;
  /** Seconds-long: for the smoke test. */
  readonly tiny: boolean;
  readonly program: Program;
  readonly progress: (text: string) => void;
}

export interface Measured {
  readonly sections: readonly Section[];
  readonly targets: readonly Target[];
  readonly metrics: Readonly<Record<string, Metric>>;
}

export interface Shape {
  readonly n: number;
  /** Operations under one client signature. */
  readonly bundle: number;
  readonly payload: number;
  /** Bundles each client keeps in flight when the cluster is to be saturated. */
  readonly inFlight: number;
  /** A backup is killed before the measurement. */
  readonly crashed?: true;
  /** Replicas wait for no disk. */
  readonly volatile?: true;
}

interface Plan {
  readonly shapes: readonly Shape[];
  /** Shapes whose saturation curve is drawn. */
  readonly curves: readonly Shape[];
  readonly warmUpMs: number;
  readonly measureMs: number;
  readonly curveMs: number;
  /** Operations after which memory is read. */
  readonly memoryOperations: number;
}

/** Of the highest throughput found. */
const FRACTIONS = [0.25, 0.5, 0.75, 0.9, 1.1] as const;
export const CLIENTS = 8;
/**
 * In flight for each client, below what a replica queues for one client: enough to fill batches, and for operations signed alone also a
 * moderate number, since a machine that takes longer than the clients' patience for the many sees them sent again.
 */
const IN_FLIGHT = { moderate: 8, alone: 32, bundled: 4 } as const;

const inFlightOf = (bundle: number): number => (bundle === 1 ? IN_FLIGHT.alone : IN_FLIGHT.bundled);

export const shapeOf = (n: number, bundle: number, payload: number): Shape => ({ n, bundle, payload, inFlight: inFlightOf(bundle) });

const shapes = (n: readonly number[], bundle: readonly number[], payload: readonly number[]): readonly Shape[] =>
  n.flatMap((replicas) => bundle.flatMap((operations) => payload.map((bytes) => shapeOf(replicas, operations, bytes))));

/** The common shape under two other conditions. */
const conditions: readonly Shape[] = [1, 100].flatMap((bundle) => [{ ...shapeOf(4, bundle, 128), crashed: true as const }, { ...shapeOf(4, bundle, 128), volatile: true as const }]);

const moderate: Shape = { ...shapeOf(4, 1, 128), inFlight: IN_FLIGHT.moderate };

function planOf({ quick, tiny }: BenchOptions): Plan {
  if (tiny) return { shapes: [shapeOf(4, 10, 128), { ...shapeOf(4, 10, 128), crashed: true, volatile: true }], curves: [], warmUpMs: 100, measureMs: 500, curveMs: 0, memoryOperations: 0 };
  const curves = [moderate, shapeOf(4, 100, 128)];
  if (quick) return { shapes: [moderate, ...shapes([4], [1, 100], [128]), ...shapes([1], [1, 100], [128])], curves, warmUpMs: 5_000, measureMs: 4_000, curveMs: 2_500, memoryOperations: 0 };
  return {
    shapes: [moderate, ...shapes([4], [1, 10, 100], [128, 0, 1_024]), ...shapes([1, 7, 10], [1, 100], [128]), ...conditions], curves, warmUpMs: 8_000, measureMs: 8_000, curveMs: 6_000, memoryOperations: 1_000_000,
  };
}

export interface Peak extends Measurement {
  readonly shape: Shape;
}

export interface CurvePoint {
  readonly shape: Shape;
  readonly offered: number;
  readonly load: LoadReport;
  readonly achieved: number;
}

interface Memory {
  readonly operations: number;
  readonly rssBytes: number;
}

/** Bundles never share: the cluster takes none larger than the shape's. */
export const openStage = (program: Program, shape: Shape, clients: number = CLIENTS): Promise<Stage> =>
  Stage.open({ program, n: shape.n, clients, bundlesInFlight: shape.inFlight, durable: shape.volatile !== true, parameters: { bundleOperationsMax: shape.bundle } });

export async function throughput(options: BenchOptions): Promise<Measured> {
  const plan = planOf(options);
  const { progress } = options;
  progress("baseline: the same application, not replicated");
  const baselines = await measureBaselines(options.program, options.tiny ? 50 : 1_000);
  const peaks: Peak[] = [];
  const points: CurvePoint[] = [];
  let memory: Memory | undefined;
  for (const shape of plan.shapes) {
    progress(`n = ${shape.n}, bundles of ${shape.bundle}, ${shape.payload} B`);
    const stage = await openStage(options.program, shape);
    try {
      const peak = await peakOf(stage, shape, plan);
      peaks.push(peak);
      progress(`  ${figure(Math.round(peak.operationsPerSecond))} op/s, ${figure(peak.usage.cpuPer100k)} CPU-s per 100k`);
      if (conditionOf(shape) === "" && plan.curves.some((c) => c.n === shape.n && c.bundle === shape.bundle && c.payload === shape.payload && c.inFlight === shape.inFlight)) points.push(...(await curveOf(stage, shape, peak, plan)));
      if (plan.memoryOperations > 0 && conditionOf(shape) === "" && shape.n === 4 && shape.bundle === 100 && shape.payload === 128) memory = await fill(stage, shape, plan, progress);
    } finally {
      await stage.close();
    }
  }
  return { sections: sectionsOf(peaks, points, baselines), targets: targetsOf(peaks, memory, plan), metrics: metricsOf(peaks, baselines) };
}

async function peakOf(stage: Stage, shape: Shape, plan: Plan): Promise<Peak> {
  const load = { arrival: { type: "closed", inFlight: shape.inFlight }, unit: shape.bundle, payloadBytes: shape.payload } as const;
  await stage.run({ ...load, durationMs: plan.warmUpMs });
  if (shape.crashed === true) {
    await stage.killBackup();
    await stage.run({ ...load, durationMs: plan.warmUpMs / 4 });
  }
  return { shape, ...(await stage.measure({ ...load, durationMs: plan.measureMs })) };
}

async function curveOf(stage: Stage, shape: Shape, peak: Peak, plan: Plan): Promise<readonly CurvePoint[]> {
  const points: CurvePoint[] = [];
  for (const fraction of FRACTIONS) {
    const offered = Math.max(shape.bundle, Math.round(peak.operationsPerSecond * fraction));
    const load = await stage.run({ arrival: { type: "open", operationsPerSecond: offered }, unit: shape.bundle, payloadBytes: shape.payload, durationMs: plan.curveMs });
    points.push({ shape, offered, load, achieved: load.operations / load.seconds });
  }
  return points;
}

async function fill(stage: Stage, shape: Shape, plan: Plan, progress: (text: string) => void): Promise<Memory> {
  progress(`memory after ${figure(plan.memoryOperations)} operations`);
  const { load, usage } = await stage.measure({
    arrival: { type: "closed", inFlight: shape.inFlight }, unit: shape.bundle, payloadBytes: shape.payload, durationMs: 300_000, operationsMax: plan.memoryOperations,
  });
  return { operations: load.operations, rssBytes: usage.rssBytes };
}

interface Baseline extends BaselineRequest, BaselineReport {}

export async function measureBaselines(program: Program, durationMs: number): Promise<readonly Baseline[]> {
  const child = loadChild(program);
  try {
    await child.ready;
    const measured: Baseline[] = [];
    for (const [unit, durable] of [[1, false], [1, true], [100, true]] as const) {
      const request: BaselineRequest = { payloadBytes: 128, unit, durable, durationMs };
      await child.call("baseline", { ...request, durationMs: durationMs / 4 });
      measured.push({ ...request, ...(await child.call<BaselineReport>("baseline", request)) });
    }
    return measured;
  } finally {
    await child.kill();
  }
}

// ── report ───────────────────────────────────────────────────────────────────────────────────────────────────────

const baselineName = ({ durable, unit }: BaselineRequest): string => (durable ? `log synced for every ${unit === 1 ? "operation" : `${unit} operations`}` : "in memory, not durable");
const cpuOf = ({ cpuUs, operations }: BaselineReport): number => (cpuUs / 1e6 / operations) * 100_000;
const ms = (value: number): string => figure(Math.round(value * 10) / 10);

const conditionOf = ({ crashed, volatile }: Shape): string => [crashed === true ? "one crashed" : "", volatile === true ? "not durable" : ""].filter((text) => text !== "").join(", ");

function peakTable(peaks: readonly Peak[]): Table {
  return {
    title: `Saturated: ${CLIENTS} clients that wait for nothing but their answers`,
    columns: ["n", "", "ops per signature", "payload B", "bundles in flight", "op/s", "CPU-s / 100k", "of it clients", "ops / batch", "messages / batch", "disk waits / batch", "signatures made / batch", "checked / batch", "p50 ms", "p99 ms", "failed", "resent bundles", "view changes", "repair / batch", "RSS MB"],
    rows: peaks.map(({ shape, usage: u, load, operationsPerSecond }) => [
      shape.n, conditionOf(shape), shape.bundle, shape.payload, CLIENTS * shape.inFlight, Math.round(operationsPerSecond), u.cpuPer100k, u.clientCpuPer100k, u.operationsPerBatch, u.messagesPerBatch, u.fsyncsPerBatch,
      u.signaturesMadePerBatch, u.signaturesCheckedPerBatch, ms(load.latency.p50), ms(load.latency.p99), load.failed, load.retransmissions, u.viewChanges, u.repairPerBatch, Math.round(u.rssBytes / 1e6),
    ]),
    note: "CPU-s are user and system time of all replica processes and the client process together, for 100,000 operations: the figure that travels between machines. Operations a second and latency are of this machine in this run, on which all processes share the cores. Durable unless it says otherwise; every bundle and every vote frame signed. Repair is bundles relayed by backups and decisions, payloads sent again: with resent bundles and view changes it tells a cluster that is overloaded, whose CPU per operation is then no cost of the protocol.",
  };
}

function baselineTable(baselines: readonly Baseline[], peaks: readonly Peak[]): Table {
  const best = Math.max(...peaks.filter(({ shape }) => shape.n === 4 && conditionOf(shape) === "").map(({ operationsPerSecond }) => operationsPerSecond));
  return {
    title: "Baseline in the same run: the same application, one process, no replication",
    columns: ["what", "op/s", "CPU-s / 100k", "times the best of n = 4"],
    rows: baselines.map((b) => [baselineName(b), Math.round(b.operations / b.seconds), cpuOf(b), b.operations / b.seconds / best]),
    note: "No network, no signatures, no receipts, no authenticated state. etcd is not measured: this benchmark has no driver for it yet.",
  };
}

function curveTable(points: readonly CurvePoint[]): Table {
  return {
    title: "Open load: arrivals at a fixed rate, latency from the time an operation was due",
    columns: ["n", "ops per signature", "offered op/s", "answered op/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "failed", "shed"],
    rows: points.map(({ shape, offered, achieved, load: { latency: l, failed, shed } }) => [shape.n, shape.bundle, offered, Math.round(achieved), ms(l.p50), ms(l.p90), ms(l.p99), ms(l.p999), ms(l.max), failed, shed]),
  };
}

function sectionsOf(peaks: readonly Peak[], points: readonly CurvePoint[], baselines: readonly Baseline[]): readonly Section[] {
  return [
    { title: "Throughput and cost", tables: [peakTable(peaks), baselineTable(baselines, peaks)], plots: [cpuPlot(peaks)] },
    ...(points.length === 0 ? [] : [{ title: "Saturation", tables: [curveTable(points)], plots: [curvePlot(points)] }]),
  ];
}

function targetsOf(peaks: readonly Peak[], memory: Memory | undefined, plan: Plan): readonly Target[] {
  const of = (bundle: number): Peak | undefined =>
    peaks.filter(({ shape }) => conditionOf(shape) === "" && shape.n === 4 && shape.bundle === bundle && shape.payload === 128).sort((a, b) => a.usage.cpuPer100k - b.usage.cpuPer100k)[0];
  const [alone, bundled] = [of(1), of(100)];
  const cpu = (name: string, peak: Peak | undefined, limit: number): Target => ({
    name, target: `≤ ${limit} CPU-s per 100k`, measured: peak === undefined ? "–" : `${figure(peak.usage.cpuPer100k)} (${figure(peak.usage.cpuPer100k / limit)}×), ${CLIENTS * peak.shape.inFlight} bundles in flight`,
    met: peak === undefined ? undefined : peak.usage.cpuPer100k <= limit,
  });
  return [
    cpu("every operation signed alone, many clients, n = 4", alone, 30),
    cpu("bundles of 100, n = 4", bundled, 3),
    { name: "bundles of 100, n = 4", target: "≥ 50,000 op/s", measured: bundled === undefined ? "–" : `${figure(Math.round(bundled.operationsPerSecond))} op/s`, met: bundled === undefined ? undefined : bundled.operationsPerSecond >= 50_000 },
    {
      name: "memory of a replica after 1,000,000 operations", target: "≤ 200 MB RSS", met: memory === undefined ? undefined : memory.rssBytes <= 200e6,
      measured: memory === undefined ? (plan.memoryOperations === 0 ? "in the full run only" : "–") : `${figure(Math.round(memory.rssBytes / 1e6))} MB after ${figure(memory.operations)}`,
    },
  ];
}

function metricsOf(peaks: readonly Peak[], baselines: readonly Baseline[]): Readonly<Record<string, Metric>> {
  const metrics: Record<string, Metric> = {};
  for (const { shape, usage, load, operationsPerSecond } of peaks) {
    const name = `n=${shape.n} bundle=${shape.bundle} payload=${shape.payload}${shape.inFlight === inFlightOf(shape.bundle) ? "" : ` in flight=${shape.inFlight}`}${conditionOf(shape) === "" ? "" : `, ${conditionOf(shape)}`}`;
    metrics[`${name} CPU`] = { value: usage.cpuPer100k, unit: "CPU-s/100k", kind: "cpu", better: "lower" };
    metrics[`${name} throughput`] = { value: operationsPerSecond, unit: "op/s", kind: "time", better: "higher" };
    metrics[`${name} p99`] = { value: load.latency.p99, unit: "ms", kind: "time", better: "lower" };
    metrics[`${name} RSS`] = { value: usage.rssBytes / 1e6, unit: "MB", kind: "memory", better: "lower" };
  }
  for (const b of baselines) metrics[`baseline ${baselineName(b)} CPU`] = { value: cpuOf(b), unit: "CPU-s/100k", kind: "cpu", better: "lower" };
  return metrics;
}
