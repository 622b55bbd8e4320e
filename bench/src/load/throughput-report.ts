/** Tables, plots, targets and figures of `bench throughput`. */
import { figure, type Metric, type Section, type Table, type Target } from "../result.ts";
import { baselineMetrics, baselineTable } from "./baselines.ts";
import { GOALS, reached, reachedOr, unmeasured } from "./goals.ts";
import { cpuPlot, curvePlot } from "./plots.ts";
import { bundleName, CLIENTS, conditionOf, shapeOf, type Measured, type Shape } from "./shapes.ts";
import type { CurvePoint, Memory, Peak, Throughput } from "./throughput.ts";

const ms = (value: number): string => figure(Math.round(value * 10) / 10);

function peakTable(peaks: readonly Peak[]): Table {
  return {
    title: `Saturated: ${CLIENTS} clients that wait for nothing but their answers`,
    columns: ["n", "", "ops per signature", "payload B", "bundles in flight", "op/s", "CPU-s / 100k", "of it clients", "ops / batch", "messages / batch", "bytes / batch", "disk waits / batch", "signatures made / batch", "checked / batch", "p50 ms", "p99 ms", "failed", "resent bundles", "view changes", "repair / batch", "RSS MB"],
    rows: peaks.map(({ shape, usage: u, load, operationsPerSecond }) => [
      shape.n, conditionOf(shape), shape.bundle, shape.payload, CLIENTS * shape.inFlight, Math.round(operationsPerSecond), u.cpuPer100k, u.clientCpuPer100k, u.operationsPerBatch, u.messagesPerBatch, Math.round(u.bytesPerBatch),
      u.fsyncsPerBatch, u.signaturesMadePerBatch, u.signaturesCheckedPerBatch, ms(load.latency.p50), ms(load.latency.p99), load.failed, load.retransmissions, u.viewChanges, u.repairPerBatch, Math.round(u.rssBytes / 1e6),
    ]),
    note: "CPU-s are user and system time of all replica processes and the client process together, for 100,000 operations: the figure that travels between machines. Operations a second and latency are of this machine in this run, on which all processes share the cores. Durable unless it says otherwise; every bundle and every vote frame signed. Messages, bytes, disk waits and signatures are summed over the replicas. Repair is bundles relayed by backups and decisions, payloads sent again: with resent bundles and view changes it tells a cluster that is overloaded, whose CPU per operation is then no cost of the protocol.",
  };
}

/** What a reader who sees one table should see. */
function summaryTable(peaks: readonly Peak[]): Table {
  const one = (n: number, bundle: number, payload: number): boolean => payload === 128 && (n === 4 || bundle !== 10);
  return {
    title: "Throughput, saturated, 128-byte operations",
    columns: ["n", "", "client signatures", "in flight", "op/s", "CPU-s / 100k op", "ops / batch", "messages / batch", "disk waits / batch", "p50 ms", "p99 ms", "RSS MB"],
    rows: peaks.filter(({ shape: s }) => one(s.n, s.bundle, s.payload)).map(({ shape, usage: u, load, operationsPerSecond }) => [
      shape.n, conditionOf(shape), bundleName(shape), CLIENTS * shape.inFlight, Math.round(operationsPerSecond), u.cpuPer100k, u.operationsPerBatch, u.messagesPerBatch, u.fsyncsPerBatch,
      ms(load.latency.p50), ms(load.latency.p99), Math.round(u.rssBytes / 1e6),
    ]),
  };
}

function curveTable(points: readonly CurvePoint[]): Table {
  return {
    title: "Open load: arrivals at a fixed rate, latency from the time an operation was due",
    columns: ["n", "ops per signature", "offered op/s", "answered op/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "failed", "shed"],
    rows: points.map(({ shape, offered, achieved, load: { latency: l, failed, shed } }) => [shape.n, shape.bundle, offered, Math.round(achieved), ms(l.p50), ms(l.p90), ms(l.p99), ms(l.p999), ms(l.max), failed, shed]),
    note: "Shed: arrivals that found the generator's backlog full; they count as neither answered nor failed, and mean overload.",
  };
}

function targetsOf(peaks: readonly Peak[], memory: Memory | undefined, fills: boolean): readonly Target[] {
  const of = (bundle: number): Peak | undefined =>
    peaks.filter(({ shape }) => conditionOf(shape) === "" && shape.n === 4 && shape.bundle === bundle && shape.payload === 128).sort((a, b) => a.usage.cpuPer100k - b.usage.cpuPer100k)[0];
  const [alone, bundled] = [of(1), of(100)];
  return [
    alone === undefined ? unmeasured(GOALS.alone, "not in this run") : reached(GOALS.alone, alone.usage.cpuPer100k, `${CLIENTS * alone.shape.inFlight} in flight, ${figure(Math.round(alone.operationsPerSecond))} op/s`),
    reachedOr(GOALS.bundledCpu, bundled?.usage.cpuPer100k, "not in this run"),
    reachedOr(GOALS.bundledRate, bundled?.operationsPerSecond, "not in this run"),
    memory === undefined ? unmeasured(GOALS.memory, fills ? "the run ended before" : "in the full run only") : reached(GOALS.memory, memory.rssBytes / 1e6, `after ${figure(memory.operations)} more`),
  ];
}

const metricName = (shape: Shape): string => {
  const { n, bundle, payload, inFlight } = shape;
  const condition = conditionOf(shape);
  return `n=${n} bundle=${bundle} payload=${payload}${inFlight === shapeOf(n, bundle, payload).inFlight ? "" : ` in flight=${inFlight}`}${condition === "" ? "" : `, ${condition}`}`;
};

function metricsOf({ peaks, points, memory, baselines }: Throughput): Readonly<Record<string, Metric>> {
  const metrics: Record<string, Metric> = {};
  for (const { shape, usage: u, load, operationsPerSecond } of peaks) {
    const name = metricName(shape);
    metrics[`${name} CPU`] = { value: u.cpuPer100k, unit: "CPU-s/100k", kind: "cpu", better: "lower" };
    metrics[`${name} throughput`] = { value: operationsPerSecond, unit: "op/s", kind: "time", better: "higher" };
    metrics[`${name} p99`] = { value: load.latency.p99, unit: "ms", kind: "time", better: "lower" };
    metrics[`${name} RSS`] = { value: u.rssBytes / 1e6, unit: "MB", kind: "memory", better: "lower" };
    metrics[`${name} messages`] = { value: u.messagesPerBatch / Math.max(1, u.operationsPerBatch), unit: "messages/op", kind: "count", better: "lower" };
    metrics[`${name} disk waits`] = { value: u.fsyncsPerBatch / Math.max(1, u.operationsPerBatch), unit: "fsyncs/op", kind: "count", better: "lower" };
  }
  for (const { shape, fraction, load } of points) {
    metrics[`${metricName(shape)}, open load, p99 at ${Math.round(100 * fraction)} % of the peak`] = { value: load.latency.p99, unit: "ms", kind: "time", better: "lower" };
  }
  if (memory !== undefined) metrics["memory after 1,000,000 operations"] = { value: memory.rssBytes / 1e6, unit: "MB", kind: "memory", better: "lower" };
  return { ...metrics, ...baselineMetrics(baselines) };
}

export function reportThroughput(found: Throughput, fills: boolean): Measured {
  const { peaks, points, memory, baselines } = found;
  const sections: readonly Section[] = [
    {
      title: "Throughput and cost", tables: [peakTable(peaks)], plots: [cpuPlot(peaks)],
      text: ["Each line is a fresh cluster of processes, loaded until nothing but its own speed limits it, measured after it has warmed up."],
    },
    { title: "Baselines", tables: [baselineTable(baselines)] },
    ...(points.length === 0 ? [] : [{
      title: "Saturation", tables: [curveTable(points)], plots: [curvePlot(points)],
      text: ["Open load: operations arrive at fixed times whether or not earlier ones were answered, at 25, 50, 75, 90 and 110 % of the throughput above. Latency counts from the time an operation was due, so a stall shows in every operation that was due meanwhile."],
    }]),
  ];
  return { summary: [summaryTable(peaks), baselineTable(baselines)], sections, targets: targetsOf(peaks, memory, fills), metrics: metricsOf(found) };
}
