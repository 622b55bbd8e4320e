/** The plots of the complexity report, as Vega-Lite. */
import { colour, lines as linesWithPoints, logAxis, STROKES } from "../report/encodings.ts";
import type { Plot } from "../result.ts";
import { ENGINES } from "../theory.ts";
import type { BatchRow, NormalRow, PipelineRow, ViewChangeRow } from "./scenarios.ts";
import type { SocketRow } from "./sockets.ts";

const REPLICAS = { field: "n", type: "quantitative", title: "replicas n", scale: { domain: [0, 100] } } as const;

/** Lines that coincide share a name. */
function curves(): readonly { readonly name: string; readonly messages: (n: number) => number }[] {
  const byValue = new Map<string, { names: string[]; formula: string; messages: (n: number) => number }>();
  for (const { name, formula, messages } of ENGINES) {
    const key = `${messages(10)} ${messages(100)}`;
    const known = byValue.get(key);
    if (known === undefined) byValue.set(key, { names: [name], formula: formula.replace(/,? (\+2|with).*/, ""), messages });
    else known.names.push(name);
  }
  return [...byValue.values()].map(({ names, formula, messages }) => ({ name: `${names.join(", ")}: ${formula}`, messages })).sort((a, b) => b.messages(100) - a.messages(100));
}

export function messagesPlot(rows: readonly NormalRow[], socketRows: readonly SocketRow[]): Plot {
  const lines = curves();
  const theory = lines.flatMap(({ name, messages }) => Array.from({ length: 99 }, (_, i) => ({ n: i + 2, messages: messages(i + 2), name })));
  const points = [
    ...rows.filter(({ n }) => n === 2 || n === 4 || n % 7 === 0 || n === 100).map(({ n, messages }) => ({ n, messages, what: "PBFT, simulator" })),
    ...socketRows.filter(({ n }) => n > 1).map(({ n, messages }) => ({ n, messages, what: "PBFT, sockets" })),
  ];
  return {
    id: "messages", title: "Messages between replicas per decided batch",
    spec: {
      layer: [
        { data: { values: theory }, mark: { type: "line", strokeWidth: 2 }, encoding: { x: REPLICAS, y: logAxis("messages", "messages per batch"), color: colour("name", "closed form", theory) } },
        {
          data: { values: points }, mark: { type: "point", filled: false, size: 62, color: "black", strokeWidth: 1.4 },
          encoding: { x: REPLICAS, y: logAxis("messages", "messages per batch"), shape: { field: "what", type: "nominal", title: "measured", scale: { range: ["circle", "triangle-up"] } } },
        },
      ],
    },
    caption: "Lines are closed forms, points are counted. PBFT and Tendermint pay n² for five message delays; the linear engines pay 7 to 9 delays or a collector instead. Lines that coincide share a colour.",
  };
}

export function signaturesPlot(rows: readonly NormalRow[]): Plot {
  const values = rows.filter(({ n }) => n >= 4).flatMap(({ n, made, checkedMin, checked }) => [
    { n, value: checked, what: "checked, if every message is" }, { n, value: checkedMin, what: "checked, if a replica stops at its quorum" }, { n, value: made, what: "made" },
  ]);
  return {
    id: "signatures", title: "Signature operations of the replicas per decided batch",
    spec: {
      data: { values }, mark: { type: "line", strokeWidth: 2.5 },
      encoding: { x: REPLICAS, y: logAxis("value", "signatures per batch"), color: colour("what", null, values) },
    },
    caption: "Without replies (n more are made, one per replica) and client signatures (n more are checked per bundle). Stopping at the quorum saves a third.",
  };
}

export function batchPlot(rows: readonly BatchRow[]): Plot {
  const values = rows.filter(({ bundle, operations }) => bundle === 1 || operations < bundle).map(({ n, operations, messagesPerOperation }) => ({ replicas: `n = ${n}`, n, operations, messagesPerOperation }));
  return {
    id: "batching", title: "Batching divides the quadratic cost",
    spec: linesWithPoints(values, {
      x: logAxis("operations", "operations in a batch"), y: logAxis("messagesPerOperation", "messages per operation", "~r"),
      color: colour("replicas", null, values),
    }),
    caption: "Messages between replicas per operation. A batch of 1,000 makes PBFT with 31 replicas cost two messages an operation.",
  };
}

export function bytesPlot(rows: readonly BatchRow[]): Plot {
  const values = rows.map(({ n, operations, bundle, bytesPerOperation }) => ({ n, operations, bytesPerOperation, bundle: bundle === 1 ? "each signed alone" : "bundles of 100" })).filter(({ operations, bundle }) => operations >= 100 || bundle === "each signed alone")
    .map((value) => ({ ...value, batch: `batch of ${value.operations.toLocaleString("en-US")}` }));
  return {
    id: "bytes", title: "Bytes between replicas per operation of 128 bytes",
    spec: linesWithPoints(values, {
      x: { field: "n", type: "quantitative", title: "replicas n (log)", scale: { type: "log", domain: [4, 100] }, axis: { values: [4, 7, 10, 31, 100] } }, y: logAxis("bytesPerOperation", "bytes per operation"),
      color: colour("batch", null, values), strokeDash: { field: "bundle", type: "nominal", title: "client signatures", sort: ["each signed alone", "bundles of 100"], legend: STROKES },
    }),
    caption: "Once votes are spread over a large batch, the n−1 copies of the payload that the primary uploads are what is left.",
  };
}

export function pipelinePlot(rows: readonly PipelineRow[]): Plot {
  const shown = rows.filter(({ n }) => n >= 4);
  const values = shown.flatMap(({ n, messages, textbook, depth }) => [{ n, value: textbook, what: "a frame for every vote" }, { n, value: messages, what: `${depth} slots at once, votes of a turn in one frame` }]);
  return {
    id: "vote-frames", title: "Vote frames: one signature for the votes of a turn",
    spec: linesWithPoints(values, {
      x: REPLICAS, y: logAxis("value", "messages per batch"), color: colour("what", null, values),
    }),
    caption: "Messages between replicas per batch. Signatures made and checked fall by the same factor. The order of growth stays n².",
  };
}

export function viewChangePlot(rows: readonly ViewChangeRow[], window: number): Plot {
  const name = (open: number): string => (open === 0 ? "nothing open" : open === 1 ? "1 slot open" : `window of ${open} open`);
  const values = rows.filter(({ open, n }) => open <= window && n <= 100).flatMap(({ n, open, merged, messages }) =>
    open <= 1 && merged ? [] : [{ n, messages, open, what: name(open), votes: merged ? "merged" : "one a frame" }]);
  return {
    id: "view-change", title: "A view change, until every carried slot is decided again",
    spec: linesWithPoints(values, {
      x: REPLICAS, y: logAxis("messages", "messages"), color: colour("what", null, values),
      strokeDash: { field: "votes", type: "nominal", title: "votes", sort: ["one a frame", "merged"], legend: STROKES },
    }),
    caption: "VIEW-CHANGE from all to all, NEW-VIEW, and the votes for the slots carried over. With merged votes a full window costs as many messages as one slot (the dashed line lies on that one); the bytes stay.",
  };
}
