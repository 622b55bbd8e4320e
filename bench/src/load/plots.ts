/** The plots of the load benchmarks. */
import { colour, linearAxis, lines, logAxis } from "../report/encodings.ts";
import type { Plot } from "../result.ts";
import type { FailoverRun } from "./failover.ts";
import { CLIENTS, type CurvePoint, type Peak, type Shape } from "./throughput.ts";

const bundleName = ({ bundle }: Shape): string => (bundle === 1 ? "each signed alone" : `bundles of ${bundle}`);

export function curvePlot(points: readonly CurvePoint[]): Plot {
  const values = points.flatMap(({ shape, achieved, load: { latency } }) =>
    [["p50", latency.p50], ["p99", latency.p99]].map(([percentile, value]) => ({ achieved, ms: value, percentile, bundles: bundleName(shape), what: `${bundleName(shape)}, ${String(percentile)}` })));
  return {
    id: "saturation", title: "Latency under open load, n = 4",
    spec: lines(values, {
      x: logAxis("achieved", "answered operations per second"), y: logAxis("ms", "latency, ms"), order: { field: "achieved" }, color: colour("what", null, values),
    }),
    caption: "Arrivals at 25, 50, 75, 90 and 110 % of the throughput found with a full pipeline. Coordinated omission cannot hide a stall: latency counts from the time an operation was due.",
  };
}

export function cpuPlot(peaks: readonly Peak[]): Plot {
  const values = peaks.flatMap(({ shape, usage }) => {
    const what = `n = ${shape.n}, ${bundleName(shape)}, ${shape.payload} B, ${CLIENTS * shape.inFlight} in flight${shape.crashed === true ? ", one crashed" : shape.volatile === true ? ", not durable" : ""}`;
    return [{ what, part: "all processes", cpu: usage.cpuPer100k }, { what, part: "clients alone", cpu: usage.clientCpuPer100k }];
  });
  return {
    id: "cpu", title: "CPU for 100,000 operations",
    spec: {
      height: { step: 28 }, data: { values }, mark: { type: "point", filled: true, size: 90, opacity: 1 },
      encoding: {
        y: { field: "what", type: "nominal", title: null, sort: null, axis: { labelLimit: 480, grid: true } }, x: logAxis("cpu", "CPU seconds per 100,000 operations", "~r"),
        color: { field: "part", type: "nominal", title: null, sort: ["all processes", "clients alone"] },
      },
    },
    caption: "User and system time. Compare this between machines, not operations a second.",
  };
}

export function failoverPlot(runs: readonly FailoverRun[]): Plot {
  const values = runs.map(({ gapMs }, i) => ({ run: `run ${i + 1}`, gapMs }));
  return {
    id: "failover", title: "Longest pause of answers when the primary is killed",
    spec: {
      height: { step: 34 },
      layer: [
        { data: { values }, mark: { type: "bar", height: 20 }, encoding: { y: { field: "run", type: "nominal", title: null, sort: null }, x: linearAxis("gapMs", "milliseconds") } },
        { data: { values: [{ target: 700 }] }, mark: { type: "rule", strokeDash: [5, 4], strokeWidth: 2, color: "#d55e00" }, encoding: { x: { field: "target", type: "quantitative" } } },
      ],
    },
    caption: "kill -9 of the primary under open load, n = 4. The dashed line is the target of 700 ms.",
  };
}
