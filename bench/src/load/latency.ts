/** `bench latency`: percentiles of one client and under fixed load, with a replica crashed, the primary killed, and from a cold start. */
import { measureEtcd, type Baselines } from "./baselines.ts";
import { killPrimary, type FailoverRun } from "./failover.ts";
import { reportLatency } from "./latency-report.ts";
import type { LoadReport } from "./load-spec.ts";
import { startable, type Program } from "./program.ts";
import { openStage, shapeOf, STAGE_SECONDS, withStage, type BenchOptions, type Measured, type Shape } from "./shapes.ts";
import type { Measurement } from "./stage.ts";
import { startup, type Startup } from "./startup.ts";

interface Plan {
  /** One client, one operation at a time. */
  readonly single: readonly Shape[];
  /** Open load, operations a second, on n = 4. */
  readonly rates: readonly number[];
  readonly warmUpMs: number;
  readonly measureMs: number;
  readonly kills: number;
  readonly starts: number;
  readonly etcd: boolean;
}

const shape = (n: number, payload = 128): Shape => shapeOf(n, 1, payload);
/** Light enough that what is seen is the failover and not a queue. */
export const FAILOVER_RATE = 200;
const WARM_UP_IN_FLIGHT = 8;
const FAILOVER_MS = { beforeMs: 1_500, afterMs: 4_000 } as const;

function planOf({ quick, tiny }: Pick<BenchOptions, "quick" | "tiny">): Plan {
  if (tiny) return { single: [shape(4)], rates: [], warmUpMs: 100, measureMs: 300, kills: 0, starts: 0, etcd: false };
  if (quick) return { single: [shape(4), shape(1)], rates: [100, 400], warmUpMs: 4_000, measureMs: 4_000, kills: 2, starts: 2, etcd: true };
  return { single: [shape(4), shape(4, 0), shape(4, 1_024), shape(1), shape(7), shape(10)], rates: [50, 100, 200, 400, 800], warmUpMs: 12_000, measureMs: 6_000, kills: 5, starts: 3, etcd: true };
}

/** Without the time that compilation takes. */
export function latencySeconds(options: Pick<BenchOptions, "quick" | "tiny">): number {
  const { single, rates, warmUpMs, measureMs, kills, starts, etcd } = planOf(options);
  const perKill = (warmUpMs + FAILOVER_MS.beforeMs + FAILOVER_MS.afterMs) / 1_000 + STAGE_SECONDS;
  const underLoad = rates.length === 0 ? 0 : (warmUpMs + 2 * rates.length * measureMs) / 1_000 + STAGE_SECONDS;
  return single.length * ((1.25 * warmUpMs + measureMs) / 1_000 + STAGE_SECONDS) + underLoad + kills * perKill + starts * 9 + (etcd ? (warmUpMs + measureMs) / 1_000 + 2 : 0);
}

export interface SingleRow extends Measurement {
  readonly shape: Shape;
}

export interface Start extends Startup {
  readonly program: Program;
}

export interface RateRow {
  readonly rate: number;
  readonly crashed: number;
  readonly load: LoadReport;
}

export interface Latency {
  readonly single: readonly SingleRow[];
  readonly rates: readonly RateRow[];
  readonly kills: readonly FailoverRun[];
  readonly starts: readonly Start[];
  readonly etcd: Baselines["etcd"];
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
    kills.push(await killPrimary({ program, shape: shape(4), operationsPerSecond: FAILOVER_RATE, warmUpMs: plan.warmUpMs, ...FAILOVER_MS }));
  }
  const starts: Start[] = [];
  for (const started of plan.starts === 0 ? [] : startable(program, progress)) {
    for (let i = 0; i < plan.starts; i++) {
      progress(`start of four processes, ${started}`);
      starts.push({ program: started, ...(await startup(started, 4)) });
    }
  }
  const etcdShapes = plan.etcd ? [{ clients: 1, inFlight: 1, unit: 1, payload: 128 }] : [];
  const etcd = await measureEtcd(program, { unreplicatedMs: 0, warmUpMs: plan.warmUpMs, measureMs: plan.measureMs, shapes: etcdShapes }, () => undefined, progress);
  return reportLatency({ single, rates, kills, starts, etcd });
}

export async function oneAtATime(program: Program, one: Shape, plan: Pick<Plan, "warmUpMs" | "measureMs">): Promise<SingleRow> {
  return withStage(openStage(program, one, 1), async (stage) => {
    const load = { unit: 1, payloadBytes: one.payload } as const;
    // One at a time, the compiler would need minutes to see enough operations: it is warmed up with several in flight.
    await stage.run({ ...load, arrival: { type: "closed", inFlight: WARM_UP_IN_FLIGHT }, durationMs: plan.warmUpMs });
    await stage.run({ ...load, arrival: { type: "closed", inFlight: 1 }, durationMs: plan.warmUpMs / 4 });
    return { shape: one, ...(await stage.measure({ ...load, arrival: { type: "closed", inFlight: 1 }, durationMs: plan.measureMs })) };
  });
}

/** Fixed rates on n = 4, all well and then with a backup killed. */
async function underLoad({ program, progress }: BenchOptions, plan: Plan): Promise<readonly RateRow[]> {
  return withStage(openStage(program, shape(4)), async (stage) => {
    const rows: RateRow[] = [];
    const run = async (rate: number, durationMs: number): Promise<LoadReport> =>
      stage.run({ arrival: { type: "open", operationsPerSecond: rate }, unit: 1, payloadBytes: 128, durationMs });
    await run(plan.rates[0] ?? 1, plan.warmUpMs);
    for (const crashed of [0, 1]) {
      if (crashed === 1) await stage.killBackup();
      for (const rate of plan.rates) {
        progress(`open load of ${rate} op/s${crashed === 0 ? "" : ", one backup crashed"}`);
        rows.push({ rate, crashed, load: await run(rate, plan.measureMs) });
      }
    }
    return rows;
  });
}
