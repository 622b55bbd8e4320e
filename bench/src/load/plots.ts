/** The plots of the load benchmarks. */
import { colour, linearAxis, lines, logAxis } from "../report/encodings.ts";
import type { Plot } from "../result.ts";
import type { FailoverRun } from "./failover.ts";
import type { RateRow } from "./latency.ts";
import { TIMELINE_PART_MS } from "./load-spec.ts";
import { bundleName, CLIENTS, conditionOf, type Shape } from "./shapes.ts";
import type { CurvePoint, Peak } from "./throughput.ts";

const PERCENTILES = ["p50", "p99"] as const;
const DASHES = { field: "percentile", type: "nominal", title: null, sort: PERCENTILES } as const;

export function curvePlot(points: readonly CurvePoint[]): Plot {
  const values = points.flatMap(({ shape, achieved, load: { latency } }) =>
    PERCENTILES.map((percentile) => ({ achieved, ms: latency[percentile], percentile, bundles: `${bundleName(shape)}, ${CLIENTS} clients` })));
  return {
    id: "saturation", title: "Latency under open load, n = 4, 128-byte operations, durable",
    spec: lines(values, {
      x: logAxis("achieved", "answered operations per second", "~s", { fine: true }), y: logAxis("ms", "latency, ms", "~r", { fine: true }), order: { field: "achieved" }, color: colour("bundles", null, values), strokeDash: DASHES,
    }),
    caption: "Arrivals at 25, 50, 75, 90 and 110 % of the throughput of the saturated cluster. No coordinated omission: latency counts from the time an operation was due, so beyond saturation it is the length of the queue.",
  };
}

/** In words, since shapes differ in five ways and no plot has as many dimensions. */
const nameOf = (shape: Shape): string => {
  const condition = conditionOf(shape);
  return `n = ${shape.n}, ${bundleName(shape)}, ${shape.payload.toLocaleString("en-US")} B, ${CLIENTS * shape.inFlight} in flight${condition === "" ? "" : `, ${condition}`}`;
};

export function cpuPlot(peaks: readonly Peak[]): Plot {
  const values = peaks.flatMap(({ shape, usage }) => [
    { what: nameOf(shape), part: "all processes", cpu: usage.cpuPer100k }, { what: nameOf(shape), part: "clients alone", cpu: usage.clientCpuPer100k },
  ]);
  return {
    id: "cpu", title: "CPU for 100,000 operations",
    spec: {
      height: { step: 22 }, data: { values }, mark: { type: "point", filled: true, size: 80, opacity: 1 },
      encoding: {
        y: { field: "what", type: "nominal", title: null, sort: null, axis: { labelLimit: 480, grid: true } }, x: logAxis("cpu", "CPU seconds per 100,000 operations", "~r", { fine: true }),
        color: { field: "part", type: "nominal", title: null, sort: ["all processes", "clients alone"] },
      },
    },
    caption: "User and system time of all replicas and the clients. Compare this between machines, not operations a second.",
  };
}

export function ratesPlot(rows: readonly RateRow[]): Plot {
  const values = rows.flatMap(({ rate, crashed, load: { latency } }) =>
    PERCENTILES.map((percentile) => ({ rate, ms: latency[percentile], percentile, state: crashed === 0 ? "all replicas up" : "one backup crashed" })));
  return {
    id: "rates", title: "Latency at a fixed rate, n = 4, operations signed alone",
    spec: lines(values, {
      x: { ...logAxis("rate", "offered operations per second", "~r"), axis: { values: [...new Set(rows.map(({ rate }) => rate))], format: "~r" } }, y: logAxis("ms", "latency, ms", "~r", { fine: true }), color: colour("state", null, values), strokeDash: DASHES,
    }),
    caption: "Open arrivals; latency counts from the time an operation was due. One crashed backup leaves exactly a quorum: every vote of the others is needed.",
  };
}

export function failoverPlot(runs: readonly FailoverRun[]): Plot {
  const values = runs.flatMap(({ killedMs, load: { timeline } }, i) =>
    timeline.map((answered, part) => ({ run: `run ${i + 1}`, seconds: ((part + 0.5) * TIMELINE_PART_MS - killedMs) / 1_000, rate: (answered * 1_000) / TIMELINE_PART_MS })));
  return {
    id: "failover", title: "Answers when the primary is killed",
    spec: {
      height: { step: 70 }, data: { values },
      mark: { type: "bar", width: 5 },
      encoding: {
        x: linearAxis("seconds", "seconds since kill -9 of the primary", "~g"), y: linearAxis("rate", "operations per second"), row: { field: "run", type: "nominal", title: null },
      },
    },
    caption: `Operations answered in each ${TIMELINE_PART_MS} ms, under open load, n = 4. What was due in the pause is answered right after it; the target for the pause is 0.7 s.`,
  };
}
