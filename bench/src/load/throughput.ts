/** `bench throughput`: what the cluster takes, what an operation costs, and where it saturates. */
import { figure } from "../result.ts";
import { measureEtcd, measureUnreplicated, type BaselinePlan, type Baselines, type EtcdShape } from "./baselines.ts";
import type { LoadReport } from "./load-spec.ts";
import { CLIENTS, conditionOf, MODERATE, openStage, saturating, shapeOf, shapesOf, STAGE_SECONDS, withStage, type BenchOptions, type Measured, type Shape } from "./shapes.ts";
import type { Measurement, Stage } from "./stage.ts";
import { reportThroughput } from "./throughput-report.ts";

interface Plan {
  readonly shapes: readonly Shape[];
  /** Shapes whose saturation curve is drawn. */
  readonly curves: readonly Shape[];
  readonly warmUpMs: number;
  readonly measureMs: number;
  readonly curveMs: number;
  /** Operations after which memory is read. */
  readonly memoryOperations: number;
  readonly memoryMsMax: number;
  readonly baselines: BaselinePlan;
}

/** Of the highest throughput found. */
const FRACTIONS = [0.25, 0.5, 0.75, 0.9, 1.1] as const;

const ALONE = shapeOf(4, 1, 128);
const BUNDLED = shapeOf(4, 100, 128);
/** The common shapes under two other conditions. */
const CONDITIONS: readonly Shape[] = [ALONE, BUNDLED].flatMap((shape) => [{ ...shape, crashed: true as const }, { ...shape, volatile: true as const }]);

const underEtcd = ({ inFlight, bundle, payload }: Shape): EtcdShape => ({ clients: CLIENTS, inFlight, unit: bundle, payload });

function planOf({ quick, tiny }: Pick<BenchOptions, "quick" | "tiny">): Plan {
  if (tiny) {
    return {
      shapes: [shapeOf(4, 10, 128), { ...shapeOf(4, 10, 128), crashed: true, volatile: true }], curves: [], warmUpMs: 100, measureMs: 300, curveMs: 0, memoryOperations: 0, memoryMsMax: 0,
      baselines: { unreplicatedMs: 50, warmUpMs: 50, measureMs: 200, shapes: [underEtcd(shapeOf(4, 10, 128))] },
    };
  }
  const curves = [MODERATE, BUNDLED];
  const etcd = [MODERATE, ALONE, BUNDLED].map(underEtcd);
  if (quick) {
    return {
      shapes: [MODERATE, ...shapesOf([4, 1], [1, 100], [128])], curves, warmUpMs: 5_000, measureMs: 4_000, curveMs: 2_500, memoryOperations: 0, memoryMsMax: 0,
      baselines: { unreplicatedMs: 1_000, warmUpMs: 1_500, measureMs: 3_000, shapes: etcd },
    };
  }
  return {
    shapes: [MODERATE, ...shapesOf([4], [1, 10, 100], [128, 0, 1_024]), ...shapesOf([1, 7, 10], [1, 10, 100], [128]), ...CONDITIONS], curves,
    warmUpMs: 12_000, measureMs: 6_000, curveMs: 5_000, memoryOperations: 1_000_000, memoryMsMax: 120_000,
    baselines: { unreplicatedMs: 1_000, warmUpMs: 3_000, measureMs: 5_000, shapes: etcd },
  };
}

/** Without the time that compilation takes. The time until memory is read is that of a cluster which reaches its target. */
export function throughputSeconds(options: Pick<BenchOptions, "quick" | "tiny">): number {
  const { shapes, curves, warmUpMs, measureMs, curveMs, memoryOperations, baselines } = planOf(options);
  const crashed = shapes.filter((shape) => shape.crashed === true).length;
  const clusters = shapes.length * ((warmUpMs + measureMs) / 1_000 + STAGE_SECONDS) + (crashed * warmUpMs) / 4_000 + (curves.length * FRACTIONS.length * curveMs) / 1_000;
  const others = (3 * 1.25 * baselines.unreplicatedMs + baselines.shapes.length * (baselines.warmUpMs + baselines.measureMs + 2_000)) / 1_000;
  return clusters + others + memoryOperations / 40_000;
}

export interface Peak extends Measurement {
  readonly shape: Shape;
}

export interface CurvePoint {
  readonly shape: Shape;
  /** Of the highest throughput found. */
  readonly fraction: number;
  readonly offered: number;
  readonly load: LoadReport;
  readonly achieved: number;
}

export interface Memory {
  readonly operations: number;
  readonly rssBytes: number;
}

export interface Throughput {
  readonly peaks: readonly Peak[];
  readonly points: readonly CurvePoint[];
  /** Undefined when it is not read in this run. */
  readonly memory: Memory | undefined;
  readonly baselines: Baselines;
}

/** Whether both load the same cluster alike. */
const isSame = (a: Shape, b: Shape): boolean => conditionOf(a) === conditionOf(b) && a.n === b.n && a.bundle === b.bundle && a.payload === b.payload && a.inFlight === b.inFlight;

export async function throughput(options: BenchOptions): Promise<Measured> {
  const plan = planOf(options);
  const { program, progress } = options;
  progress("baseline: the same application, not replicated");
  const unreplicated = await measureUnreplicated(program, plan.baselines.unreplicatedMs);
  const peaks: Peak[] = [];
  const points: CurvePoint[] = [];
  let memory: Memory | undefined;
  for (const shape of plan.shapes) {
    const condition = conditionOf(shape);
    progress(`n = ${shape.n}, bundles of ${shape.bundle}, ${shape.payload} B${condition === "" ? "" : `, ${condition}`}`);
    await withStage(openStage(program, shape), async (stage) => {
      const peak = await peakOf(stage, shape, plan);
      peaks.push(peak);
      progress(`  ${figure(Math.round(peak.operationsPerSecond))} op/s, ${figure(peak.usage.cpuPer100k)} CPU-s per 100k`);
      if (plan.curves.some((curve) => isSame(curve, shape))) points.push(...(await curveOf(stage, shape, peak, plan)));
      if (plan.memoryOperations > 0 && isSame(shape, BUNDLED)) memory = await fill(stage, shape, plan, progress);
    });
  }
  const under = ({ unit, inFlight, payload }: EtcdShape): { operationsPerSecond: number; cpuPer100k: number } | undefined => {
    const peak = peaks.find(({ shape }) => isSame(shape, { n: 4, bundle: unit, payload, inFlight }));
    return peak === undefined ? undefined : { operationsPerSecond: peak.operationsPerSecond, cpuPer100k: peak.usage.cpuPer100k };
  };
  const etcd = await measureEtcd(program, plan.baselines, under, progress);
  return reportThroughput({ peaks, points, memory, baselines: { unreplicated, etcd } }, plan.memoryOperations > 0);
}

async function peakOf(stage: Stage, shape: Shape, plan: Plan): Promise<Peak> {
  await stage.run({ ...saturating(shape), durationMs: plan.warmUpMs });
  if (shape.crashed === true) {
    await stage.killBackup();
    await stage.run({ ...saturating(shape), durationMs: plan.warmUpMs / 4 });
  }
  return { shape, ...(await stage.measure({ ...saturating(shape), durationMs: plan.measureMs })) };
}

async function curveOf(stage: Stage, shape: Shape, peak: Peak, plan: Plan): Promise<readonly CurvePoint[]> {
  const points: CurvePoint[] = [];
  for (const fraction of FRACTIONS) {
    const offered = Math.max(shape.bundle, Math.round(peak.operationsPerSecond * fraction));
    const load = await stage.run({ arrival: { type: "open", operationsPerSecond: offered }, unit: shape.bundle, payloadBytes: shape.payload, durationMs: plan.curveMs });
    points.push({ shape, fraction, offered, load, achieved: load.operations / load.seconds });
  }
  return points;
}

async function fill(stage: Stage, shape: Shape, plan: Plan, progress: (text: string) => void): Promise<Memory> {
  progress(`memory after ${figure(plan.memoryOperations)} operations`);
  const { load, usage } = await stage.measure({ ...saturating(shape), durationMs: plan.memoryMsMax, operationsMax: plan.memoryOperations });
  return { operations: load.operations, rssBytes: usage.rssBytes };
}
