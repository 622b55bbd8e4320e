/** The message chart: read back from the lines of a trace. */
import { describe, expect, test } from "vitest";
import { ARROWS_MAX, drawChart } from "../src/chart/chart.ts";
import { readTrace } from "../src/chart/read.ts";
import { simulateEngine } from "../src/index.ts";

const TRACE = [
  "    10.000 c0  @ submits abcdef (ids 1 … 1)",
  "    10.500 r0  > all: pre-prepare v0 n1 abcdef (1 bundle)",
  "    11.000 r1  < r0: pre-prepare v0 n1 abcdef (1 bundle)",
  "    11.100 r1  > all: prepare v0 n1 abcdef",
  "    11.900 r0  < r1: prepare v0 n1 abcdef, commit v0 n1 abcdef",
  "    12.000 -   # cuts links (halves): r0>r1",
  "    13.000 r1  = execute n1 abcdef (1 bundle)",
  "    14.000 r1  * left for v1: primary 0 <left> a request & more",
];

describe("chart", () => {
  test("pairs what was said with where it arrived", () => {
    const { lanes, arrows, marks } = readTrace(TRACE);
    expect(lanes).toEqual(["r0", "r1", "c0"]);
    expect(arrows.map(({ from, to, sentAt, arrivedAt }) => [from, to, sentAt, arrivedAt])).toEqual([["r0", "r1", 10.5, 11], ["r1", "r0", 11.1, 11.9]]);
    expect(marks.map(({ kind }) => kind)).toEqual(["client", "fault", "execute", "view"]);
  });

  test("draws the window, escaped, and nothing outside it", () => {
    const svg = drawChart(TRACE, { fromMs: 10, toMs: 20 });
    expect(svg).toMatch(/^<svg .*\n/);
    expect(svg.match(/marker-end/g)).toHaveLength(2);
    expect(svg).toContain("primary 0 &lt;left&gt; a request &amp;");
    expect(drawChart(TRACE, { fromMs: 0, toMs: 5 })).toContain("0 messages; the next one after is sent at 10.5 ms");
    expect(() => drawChart(TRACE, { fromMs: 5, toMs: 5 })).toThrow(RangeError);
  });

  test("no label covers another, and marks are explained", () => {
    const { trace } = simulateEngine({ seed: 4, n: 7, faults: "none", chaosMs: 300, traceLines: 1_000_000 });
    const svg = drawChart(trace, { fromMs: 0, toMs: 300 });
    const labels = [...svg.matchAll(/<text x="([\d.]+)" y="([\d.]+)" fill="#[0-9a-f]+" font-size="9">([^<]*)</g)].map(([, x, y, text]) => [Number(x), Number(y), (text as string).length] as const);
    expect(labels.length).toBeGreaterThan(20);
    const covers = labels.flatMap((a, i) => labels.slice(i + 1).filter((b) => Math.abs(a[1] - b[1]) < 9 && a[0] < b[0] + b[2] * 4 && b[0] < a[0] + a[2] * 4));
    expect(covers).toEqual([]);
    expect(svg).toContain("slot executed");
  });

  test("of a real run: most messages are paired, twins and liars have lanes, a wide window is cut off aloud", () => {
    const { trace, virtualMs } = simulateEngine({ seed: 4, n: 4, faults: "byzantine", policies: ["twins"], chaosMs: 600, traceLines: 1_000_000 });
    const { lanes, arrows } = readTrace(trace);
    expect(lanes.filter((lane) => /^r\d[ab]!$/.test(lane))).toHaveLength(2);
    expect(arrows.filter(({ sentAt, arrivedAt }) => sentAt < arrivedAt).length).toBeGreaterThan(arrows.length * 0.8);
    if (arrows.length > ARROWS_MAX) expect(drawChart(trace, { fromMs: 0, toMs: virtualMs })).toContain("choose a narrower window");
  });
});
