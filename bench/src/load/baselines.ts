/** What the cluster is measured against in the same run: the application unreplicated in one process, and etcd where there is one. */
import { figure, type Metric, type Table } from "../result.ts";
import { EtcdCluster, etcdVersion, type EtcdMeasurement } from "./etcd.ts";
import type { BaselineReport, BaselineRequest } from "./load-spec.ts";
import type { Program } from "./program.ts";
import { loadChild, type Measurement } from "./stage.ts";

interface Unreplicated extends BaselineRequest, BaselineReport {}

/** Operations of a unit are one transaction for etcd, one bundle for the cluster. */
export interface EtcdShape {
  readonly clients: number;
  readonly inFlight: number;
  readonly unit: number;
  readonly payload: number;
}

export interface EtcdRow extends EtcdShape {
  readonly measured: EtcdMeasurement;
  /** The cluster under the same load, when it was measured. */
  readonly cluster: Pick<Measurement, "operationsPerSecond"> & { readonly cpuPer100k: number } | undefined;
}

export interface Baselines {
  readonly unreplicated: readonly Unreplicated[];
  readonly etcd: { readonly version: string; readonly rows: readonly EtcdRow[] } | { readonly absent: string };
}

export interface BaselinePlan {
  readonly unreplicatedMs: number;
  readonly warmUpMs: number;
  readonly measureMs: number;
  readonly shapes: readonly EtcdShape[];
}

export async function measureUnreplicated(program: Program, durationMs: number): Promise<readonly Unreplicated[]> {
  const child = loadChild(program);
  try {
    await child.ready;
    const measured: Unreplicated[] = [];
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

/** A failure of etcd is not one of the benchmark: its row says what happened. */
export async function measureEtcd(
  program: Program, { shapes, warmUpMs, measureMs }: BaselinePlan, clusterUnder: (shape: EtcdShape) => EtcdRow["cluster"], progress: (text: string) => void,
): Promise<Baselines["etcd"]> {
  const found = etcdVersion();
  if ("absent" in found || shapes.length === 0) return "absent" in found ? found : { absent: "not in this run" };
  const rows: EtcdRow[] = [];
  const load = loadChild(program);
  try {
    await load.ready;
    for (const shape of shapes) {
      progress(`etcd ${found.version}, 3 nodes, ${shape.unit === 1 ? "single puts" : `transactions of ${shape.unit}`}, ${shape.clients * shape.inFlight} in flight`);
      const etcd = await EtcdCluster.open(load, shape.clients);
      try {
        const request = { arrival: { type: "closed", inFlight: shape.inFlight }, unit: shape.unit, payloadBytes: shape.payload } as const;
        await etcd.run({ ...request, durationMs: warmUpMs });
        rows.push({ ...shape, measured: await etcd.measure({ ...request, durationMs: measureMs }), cluster: clusterUnder(shape) });
      } finally {
        await etcd.close();
      }
    }
    return { version: found.version, rows };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    progress(`  etcd could not be measured: ${why}`);
    return { absent: `it failed: ${why.slice(0, 300)}` };
  } finally {
    await load.end();
  }
}

// ── report ───────────────────────────────────────────────────────────────────────────────────────────────────────

const cpuOf = ({ cpuUs, operations }: BaselineReport): number => (cpuUs / 1e6 / operations) * 100_000;
const nameOf = ({ durable, unit }: BaselineRequest): string => `unreplicated, one process, ${durable ? `log synced for every ${unit === 1 ? "operation" : `${unit} operations`}` : "in memory, not durable"}`;
const etcdName = ({ unit, clients, inFlight }: EtcdShape): string => `etcd, ${unit === 1 ? "single puts" : `transactions of ${unit} puts`}, ${clients * inFlight} in flight`;
const ms = (value: number): string => figure(Math.round(value * 100) / 100);
const ratio = (a: number | undefined, b: number | undefined): string => (a === undefined || b === undefined ? "–" : `${figure(a / b)}×`);

export function baselineTable({ unreplicated, etcd }: Baselines): Table {
  const rows = unreplicated.map((b) => [nameOf(b), Math.round(b.operations / b.seconds), cpuOf(b), "–", "–", "–", "–", "–", "–"]);
  const others = "absent" in etcd ? [["etcd", etcd.absent, "–", "–", "–", "–", "–", "–", "–"]] : etcd.rows.map(({ measured: m, cluster, ...shape }) => [
    etcdName(shape), Math.round(m.operationsPerSecond), m.cpuPer100k ?? "not told by this system", m.clientCpuPer100k, ms(m.load.latency.p50), ms(m.load.latency.p99),
    m.rssBytes === undefined ? "–" : Math.round(m.rssBytes / 1e6), ratio(cluster?.operationsPerSecond, m.operationsPerSecond), ratio(cluster?.cpuPer100k, m.cpuPer100k),
  ]);
  return {
    title: "Baselines of the same run, 128-byte operations",
    columns: ["what", "op/s", "CPU-s / 100k", "of it clients", "p50 ms", "p99 ms", "RSS MB", "Narses under this load: op/s", "CPU"],
    rows: [...rows, ...others],
    note: `Unreplicated: the same application without network, signatures, receipts and authenticated state. ${"absent" in etcd ? "Where `etcd` is on PATH, three servers of it are measured here under the same load." : `etcd ${etcd.version}: three servers on this machine with their defaults (every write synced), plain gRPC to the leader from the same load process; crash-tolerant only, nothing signed or encrypted; a transaction stands for a bundle. The last two columns divide the cluster's figure by etcd's.`}`,
  };
}

export function baselineMetrics({ unreplicated, etcd }: Baselines): Readonly<Record<string, Metric>> {
  const metrics: Record<string, Metric> = {};
  for (const b of unreplicated) metrics[`baseline ${nameOf(b)} CPU`] = { value: cpuOf(b), unit: "CPU-s/100k", kind: "cpu", better: "lower" };
  for (const { measured: m, ...shape } of "absent" in etcd ? [] : etcd.rows) {
    if (m.cpuPer100k !== undefined) metrics[`baseline ${etcdName(shape)} CPU`] = { value: m.cpuPer100k, unit: "CPU-s/100k", kind: "cpu", better: "lower" };
    metrics[`baseline ${etcdName(shape)} throughput`] = { value: m.operationsPerSecond, unit: "op/s", kind: "time", better: "higher" };
    metrics[`baseline ${etcdName(shape)} p50`] = { value: m.load.latency.p50, unit: "ms", kind: "time", better: "lower" };
  }
  return metrics;
}
