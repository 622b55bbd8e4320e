/** The plots of the complexity report, as Vega-Lite. Both axes are logarithmic: a power of n is a straight line, and its slope the power. */
import { quorums } from "@narses/core";
import { colour, lines as linesWithPoints, logAxis } from "../report/encodings.ts";
import type { Plot } from "../result.ts";
import { ENGINES } from "../theory.ts";
import type { BatchRow, NormalRow, PipelineRow, ViewChangeRow } from "./scenarios.ts";
import type { SocketRow } from "./sockets.ts";
import type { TransferRow } from "./transfer.ts";

const REPLICAS_SHOWN = [1, 2, 3, 4, 7, 10, 16, 22, 31, 46, 64, 100];

const replicas = (least: number, most = 100): object => ({
  field: "n", type: "quantitative", title: "replicas n (log)", scale: { type: "log", domain: [least, most], nice: false }, axis: { values: REPLICAS_SHOWN.filter((n) => n >= least && n <= most), format: "d" },
});

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

export function messagesPlot(rows: readonly NormalRow[], merged: readonly PipelineRow[], socketRows: readonly SocketRow[]): Plot {
  const lines = curves();
  const theory = lines.flatMap(({ name, messages }) => Array.from({ length: 97 }, (_, i) => ({ n: i + 4, messages: messages(i + 4), name })));
  const shown = new Set(REPLICAS_SHOWN);
  const depth = merged[0]?.depth ?? 1;
  const together = `PBFT, simulator, ${depth} slots at once`;
  const points = [
    ...rows.filter(({ n }) => n >= 4 && shown.has(n)).map(({ n, messages }) => ({ n, messages, what: "PBFT, simulator" })),
    ...socketRows.filter(({ n }) => n >= 4).map(({ n, messages }) => ({ n, messages, what: "PBFT, libp2p sockets" })),
    ...merged.filter(({ n }) => n >= 4).map(({ n, messages }) => ({ n, messages, what: together })),
  ];
  const y = logAxis("messages", "messages per batch");
  return {
    id: "messages", title: "Messages between replicas per decided batch",
    spec: {
      layer: [
        { data: { values: theory }, mark: { type: "line", strokeWidth: 2 }, encoding: { x: replicas(4), y, color: colour("name", "closed forms", theory) } },
        {
          data: { values: points }, mark: { type: "point", filled: false, size: 64, color: "black", strokeWidth: 1.4 },
          encoding: { x: replicas(4), y, shape: { field: "what", type: "nominal", title: "counted", sort: null, scale: { domain: ["PBFT, simulator", "PBFT, libp2p sockets", together], range: ["circle", "cross", "triangle-up"] } } },
        },
      ],
    },
    caption: `Lines are closed forms, symbols are counted. PBFT and Tendermint pay n² for five message delays; the linear engines pay seven to nine delays, or a collector whose failure costs more, and Raft, Multi-Paxos and ZAB trust every replica. Under load PBFT decides several slots with one vote frame (triangles): the slope stays, the constant falls by up to ${depth}. Lines that coincide share a colour.`,
  };
}

/** What a replica checks is the quorum's from n = 4 on. */
const SIGNATURES = [
  { name: "checked, if every message is: 2n(n−1)", of: (n: number): number => 2 * n * (n - 1) },
  { name: "checked, if a replica stops at its quorum: n(2Q−2)", of: (n: number): number => n * (2 * quorums(n).strong - 2) },
  { name: "made: 2n", of: (n: number): number => 2 * n },
] as const;

export function signaturesPlot(rows: readonly NormalRow[]): Plot {
  const theory = SIGNATURES.flatMap(({ name, of }) => Array.from({ length: 97 }, (_, i) => ({ n: i + 4, value: of(i + 4), name })));
  const shown = new Set(REPLICAS_SHOWN);
  const points = rows.filter(({ n }) => n >= 4 && shown.has(n)).flatMap(({ n, made, checkedMin, checked }) => [made, checkedMin, checked].map((value) => ({ n, value, what: "PBFT, simulator" })));
  const y = logAxis("value", "signatures per batch");
  return {
    id: "signatures", title: "Signature operations of the replicas per decided batch",
    spec: {
      layer: [
        { data: { values: theory }, mark: { type: "line", strokeWidth: 2 }, encoding: { x: replicas(4), y, color: colour("name", "closed forms", theory) } },
        {
          data: { values: points }, mark: { type: "point", filled: false, size: 64, color: "black", strokeWidth: 1.4 },
          encoding: { x: replicas(4), y, shape: { field: "what", type: "nominal", title: "counted" } },
        },
      ],
    },
    caption: "Lines are closed forms, symbols are counted. Without replies (n more are made, one per replica) and client signatures (n more are checked per bundle). Stopping at the quorum saves a third; its steps are those of Q.",
  };
}

export function batchPlot(rows: readonly BatchRow[]): Plot {
  const values = rows.filter(({ bundle, operations }) => bundle === 1 || operations < bundle).map(({ n, operations, messagesPerOperation }) => ({ replicas: `n = ${n}`, n, operations, messagesPerOperation }));
  return {
    id: "batching", title: "Batching divides the quadratic cost",
    spec: linesWithPoints(values, { x: logAxis("operations", "operations in a batch", ",d"), y: logAxis("messagesPerOperation", "messages per operation", ",~r"), color: colour("replicas", null, values) }),
    caption: "Messages between replicas per operation: 2n(n−1)/b. A batch of 1,000 makes PBFT with 31 replicas cost two messages an operation.",
  };
}

const SIGNERS = ["each signed alone", "bundles of 100"] as const;

export function bytesPlot(rows: readonly BatchRow[]): Plot {
  const values = rows.map(({ n, operations, bundle, bytesPerOperation }) => ({ n, operations, bytesPerOperation, bundle: bundle === 1 ? SIGNERS[0] : SIGNERS[1] }))
    .filter(({ operations, bundle }) => operations >= 100 || bundle === SIGNERS[0]).map((value) => ({ ...value, batch: `batch of ${value.operations.toLocaleString("en-US")}` }));
  return {
    id: "bytes", title: "Bytes between replicas per operation of 128 bytes",
    spec: linesWithPoints(values, {
      x: replicas(4), y: logAxis("bytesPerOperation", "bytes per operation"), color: colour("batch", null, values), strokeDash: { field: "bundle", type: "nominal", title: "client signatures", sort: SIGNERS },
    }),
    caption: "Once votes are spread over a large batch, the n−1 copies of the payload that the primary uploads are what is left, and then a client's signature counts for as much as half of it.",
  };
}

export function pipelinePlot(rows: readonly PipelineRow[]): Plot {
  const values = rows.filter(({ n }) => n >= 4).flatMap(({ n, messages, textbook, depth, made }) => [
    { n, value: textbook, what: "messages, a frame for every vote" }, { n, value: messages, what: `messages, ${depth} slots at once` },
    { n, value: 2 * n, what: "signatures made, a frame for every vote" }, { n, value: made, what: `signatures made, ${depth} slots at once` },
  ]);
  return {
    id: "vote-frames", title: "Vote frames: one signature for the votes of a turn",
    spec: linesWithPoints(values, { x: replicas(4), y: logAxis("value", "per batch", ",~r"), color: colour("what", null, values) }),
    caption: "Messages between replicas, and signatures made, per batch. Checked signatures fall like messages. The order of growth stays n².",
  };
}

const VOTES = ["one a frame", "merged"] as const;
const openName = (open: number): string => (open === 0 ? "nothing open" : open === 1 ? "1 slot open" : `window of ${open} open`);

const ofWindow = (rows: readonly ViewChangeRow[], window: number): readonly ViewChangeRow[] => rows.filter(({ open, merged }) => open <= window && (open > 1 || !merged));

export function viewChangePlot(rows: readonly ViewChangeRow[], window: number): Plot {
  const values = ofWindow(rows, window).map(({ n, open, merged, messages }) => ({ n, messages, what: openName(open), votes: merged ? VOTES[1] : VOTES[0] }));
  return {
    id: "view-change", title: "Messages of a view change, until every carried slot is decided again",
    spec: linesWithPoints(values, { x: replicas(4), y: logAxis("messages", "messages"), color: colour("what", null, values), strokeDash: { field: "votes", type: "nominal", title: "votes", sort: VOTES } }),
    caption: "VIEW-CHANGE from all to all, NEW-VIEW, and the votes for the slots carried over. With merged votes a full window costs as many messages as one slot (the dashed line lies on that one); the bytes stay.",
  };
}

export function viewChangeBytesPlot(rows: readonly ViewChangeRow[], window: number): Plot {
  const values = ofWindow(rows, window).filter(({ merged, open }) => merged || open <= 1).flatMap(({ n, open, viewChangeBytes, newViewBytes }) => [
    { n, bytes: newViewBytes, message: "a NEW-VIEW", what: openName(open) }, { n, bytes: viewChangeBytes, message: "a VIEW-CHANGE", what: openName(open) },
  ]);
  return {
    id: "view-change-bytes", title: "Size of one VIEW-CHANGE and one NEW-VIEW",
    spec: linesWithPoints(values, { x: replicas(4), y: logAxis("bytes", "bytes"), color: colour("what", null, values), strokeDash: { field: "message", type: "nominal", title: "size of", sort: ["a NEW-VIEW", "a VIEW-CHANGE"] } }),
    caption: "A NEW-VIEW holds Q VIEW-CHANGEs, each with Q−1 signed votes for every open slot: n² times the slots, sent n−1 times. That is where O(n³) hurts, and what bounds the window of a large cluster.",
  };
}

export function transferPlot(rows: readonly TransferRow[]): Plot {
  const values = rows.filter(({ keys }) => keys === 1_000).flatMap(({ n, messages, header, nodes, pageMessages }) => [
    { n, value: messages, what: "all" }, { n, value: header, what: "header, asked of everybody: 2(n−1)" }, { n, value: pageMessages, what: "pages" }, { n, value: nodes, what: "tree" },
  ]);
  return {
    id: "state-transfer", title: "Messages of a state transfer to an empty replica, 1,000 keys",
    spec: linesWithPoints(values, { x: replicas(3, Math.max(...values.map(({ n }) => n))), y: logAxis("value", "messages", "~r", { fine: true }), color: colour("what", null, values) }),
    caption: "Requests and answers. Only the header is asked of every donor; tree and pages are shared out among them, so their number hardly depends on n: with few donors more of the pages come in large chunks.",
  };
}
