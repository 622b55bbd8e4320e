/** Tables, plots, targets and figures of `bench latency`. */
import { figure, type Metric, type Section, type Table, type Target } from "../result.ts";
import { GOALS, reachedOr } from "./goals.ts";
import { FAILOVER_RATE, type Latency } from "./latency.ts";
import { failoverPlot, ratesPlot } from "./plots.ts";
import type { Program } from "./program.ts";
import type { Measured } from "./shapes.ts";

const PROGRAMS: Readonly<Record<Program, string>> = { bundled: "one file each", compiled: "compiled packages", sources: "sources through tsx" };

const ms = (value: number): string => figure(Math.round(value * 100) / 100);
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? 0;

const singleTable = ({ single, etcd }: Latency): Table => ({
  title: "One client, one operation at a time",
  columns: ["what", "payload B", "op/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "CPU ms / op", "messages / batch", "disk waits / batch", "signatures checked / batch"],
  rows: [
    ...single.map(({ shape: s, load: { latency: l }, usage: u, operationsPerSecond }) => [
      `n = ${s.n}`, s.payload, Math.round(operationsPerSecond), ms(l.p50), ms(l.p90), ms(l.p99), ms(l.p999), ms(l.max), u.cpuPer100k / 100, u.messagesPerBatch, u.fsyncsPerBatch, u.signaturesCheckedPerBatch,
    ]),
    ...("absent" in etcd ? [] : etcd.rows.map(({ payload, measured: { load: { latency: l }, operationsPerSecond, cpuPer100k } }) => [
      `etcd ${etcd.version}, 3 nodes`, payload, Math.round(operationsPerSecond), ms(l.p50), ms(l.p90), ms(l.p99), ms(l.p999), ms(l.max), cpuPer100k === undefined ? "–" : cpuPer100k / 100, "–", "–", "–",
    ])),
  ],
  note: `Durable, every request and vote signed, client and all replicas on this machine's cores. CPU is over all processes.${"absent" in etcd ? ` etcd is not beside it: ${etcd.absent}.` : " etcd signs nothing and tolerates crashes only."}`,
});

const rateTable = ({ rates }: Latency): Table => ({
  title: "Open load on n = 4, operations signed alone",
  columns: ["offered op/s", "replicas crashed", "answered", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "failed"],
  rows: rates.map(({ rate, crashed, load: { operations, failed, latency: l } }) => [rate, crashed, operations, ms(l.p50), ms(l.p90), ms(l.p99), ms(l.p999), ms(l.max), failed]),
});

const killTable = ({ kills }: Latency): Table => ({
  title: `kill -9 of the primary at ${FAILOVER_RATE} op/s`,
  columns: ["run", "longest pause ms", "answered", "failed", "resent bundles", "p50 ms", "p99 ms"],
  rows: kills.map(({ gapMs, load: { operations, failed, retransmissions, latency: l } }, i) => [i + 1, Math.round(gapMs), operations, failed, retransmissions, ms(l.p50), ms(l.p99)]),
  note: "Default settings. Every operation that was due in the pause is answered after it, so it shows in the percentiles.",
});

const startTable = ({ starts }: Latency): Table => ({
  title: "From four new processes to the first committed operation",
  columns: ["program", "all listen after ms", "first answer after ms"],
  rows: starts.map(({ program, readyMs, firstAnswerMs }) => [PROGRAMS[program], Math.round(readyMs), Math.round(firstAnswerMs)]),
  note: "The client's process runs already and connects as soon as it can.",
});

function summaryTable({ single, rates, etcd }: Latency): Table {
  const line = (what: string, l: { readonly p50: number; readonly p99: number; readonly p999: number; readonly max: number }): readonly string[] => [what, ms(l.p50), ms(l.p99), ms(l.p999), ms(l.max)];
  return {
    title: "Latency, milliseconds",
    columns: ["what", "p50", "p99", "p99.9", "max"],
    rows: [
      ...single.map(({ shape: s, load }) => line(`one at a time, n = ${s.n}, ${figure(s.payload)} B`, load.latency)),
      ...("absent" in etcd ? [] : etcd.rows.map(({ measured }) => line(`one at a time, etcd ${etcd.version}, 3 nodes, 128 B`, measured.load.latency))),
      ...rates.filter(({ rate }) => rate >= 100).map(({ rate, crashed, load }) => line(`open load of ${figure(rate)} op/s, n = 4${crashed === 0 ? "" : ", one crashed"}`, load.latency)),
    ],
  };
}

function targetsOf({ single, kills, starts }: Latency): readonly Target[] {
  const one = single.find(({ shape: s }) => s.n === 4 && s.payload === 128)?.load.latency;
  const shipped = starts.filter(({ program }) => program === starts[0]?.program).map(({ firstAnswerMs }) => firstAnswerMs);
  return [
    reachedOr(GOALS.p50, one?.p50, "not in this run"),
    reachedOr(GOALS.p99, one?.p99, "not in this run"),
    reachedOr(GOALS.pause, kills.length === 0 ? undefined : Math.max(...kills.map(({ gapMs }) => gapMs)), "not in a tiny run"),
    reachedOr(GOALS.start, shipped.length === 0 ? undefined : median(shipped), "not in a tiny run"),
  ];
}

function metricsOf({ single, rates, kills, starts }: Latency): Readonly<Record<string, Metric>> {
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
  if (kills.length > 0) {
    time("primary killed, median pause", median(kills.map(({ gapMs }) => gapMs)));
    time("primary killed, longest pause", Math.max(...kills.map(({ gapMs }) => gapMs)));
  }
  for (const program of new Set(starts.map((start) => start.program))) {
    time(`start to first operation, ${PROGRAMS[program]}, median`, median(starts.filter((start) => start.program === program).map(({ firstAnswerMs }) => firstAnswerMs)));
  }
  return metrics;
}

export function reportLatency(found: Latency): Measured {
  const { rates, kills, starts } = found;
  const sections: readonly Section[] = [
    { title: "Latency", tables: [singleTable(found), ...(rates.length > 0 ? [rateTable(found)] : [])], ...(rates.length > 0 && { plots: [ratesPlot(rates)] }) },
    ...(kills.length > 0 ? [{ title: "Failover", tables: [killTable(found)], plots: [failoverPlot(kills)] }] : []),
    ...(starts.length > 0 ? [{ title: "Start", tables: [startTable(found)] }] : []),
  ];
  return { summary: [summaryTable(found)], sections, targets: targetsOf(found), metrics: metricsOf(found) };
}
