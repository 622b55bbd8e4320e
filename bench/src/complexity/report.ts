/** Tables, sections and figures of `bench complexity`. */
import { DEFAULT_PARAMETERS, FRAME_BYTES_MAX } from "@narses/core";
import { figure, type Cell, type Metric, type Section, type Table } from "../result.ts";
import { ENGINES, replicasForWindow } from "../theory.ts";
import { batchPlot, bytesPlot, messagesPlot, pipelinePlot, signaturesPlot, transferPlot, viewChangeBytesPlot, viewChangePlot } from "./plots.ts";
import { PAYLOAD_BYTES, type BatchRow, type NormalRow, type PipelineRow, type ViewChangeRow } from "./scenarios.ts";
import type { SocketRow } from "./sockets.ts";
import type { TransferRow } from "./transfer.ts";

export const PIPELINE_DEPTH: number = DEFAULT_PARAMETERS.pipelineDepth;
/** Operations under one client signature, where they are not signed alone. */
export const BUNDLE = 100;

export interface Rows {
  readonly normal: readonly NormalRow[];
  readonly batches: readonly BatchRow[];
  readonly pipelines: readonly PipelineRow[];
  readonly viewChanges: readonly ViewChangeRow[];
  readonly transfers: readonly TransferRow[];
  readonly sockets: readonly SocketRow[];
}

const SHOWN: ReadonlySet<number> = new Set([1, 2, 3, 4, 5, 6, 7, 10, 13, 16, 22, 31, 46, 64, 82, 100]);

function normalTable(rows: readonly NormalRow[]): Table {
  return {
    title: "Normal case, one operation a batch, counted in the simulator (equal to theory at every n)",
    columns: ["n", "f", "PRE-PREPARE n−1", "PREPARE (n−1)²", "COMMIT n(n−1)", "messages 2n(n−1)", "bytes", "signatures made 2n", "checked, to quorum n(2Q−2)", "checked, all 2n(n−1)", "disk waits 2n", "delays", "CHECKPOINT n(n−1)"],
    rows: rows.filter(({ n }) => SHOWN.has(n)).map((r) => [r.n, r.f, r.prePrepare, r.prepare, r.commit, r.messages, r.bytes, r.made, r.checkedMin, r.checked, r.fsyncs, r.delays, r.checkpointMessages]),
    note: `Operations of ${PAYLOAD_BYTES} bytes. Delays are message delays from the client's request to its W-th matching reply. CHECKPOINT is per checkpoint, that is per K batches, with n signatures, 3n disk waits and one delay of its own. With n ≤ 3 the quorum check count is not the formula's: a replica may collect others' votes before its own.`,
  };
}

function batchTable(rows: readonly BatchRow[]): Table {
  return {
    title: "Batch sizes: what an operation costs",
    columns: ["n", "operations", "per signature", "batch bytes", "messages", "messages / op", "bytes / op", "signatures made / op", "checked / op", "client messages b + nb"],
    rows: rows.map((r) => [r.n, r.operations, r.bundle, r.batchBytes, r.messages, r.messagesPerOperation, r.bytesPerOperation, r.madePerOperation, r.checkedPerOperation, r.clientMessages]),
    note: "b bundles in a batch are b requests and n·b replies. Signatures here include the clients' (one a bundle, checked by every replica) and the replies' (one a replica and batch).",
  };
}

function viewChangeTable(rows: readonly ViewChangeRow[]): Table {
  return {
    title: "View change: all n replicas leave view 0",
    columns: ["n", "open slots", "votes", "VIEW-CHANGE n(n−1)", "NEW-VIEW n−1", "votes for open slots", "messages", "bytes of a VIEW-CHANGE", "of a NEW-VIEW", "bytes in all", "signatures made", "checked", "disk waits", "delays"],
    rows: rows.filter(({ open, merged }) => open > 1 || !merged).map((r) => [r.n, r.open, r.merged ? "merged" : "one a frame", r.viewChange, r.newView, r.votes, r.messages, r.viewChangeBytes, r.newViewBytes, r.bytes, r.made, r.checked, r.fsyncs, r.delays]),
    note: "Theory: VIEW-CHANGE n(n−1), NEW-VIEW (n−1), votes |O|·(n−1)(2n−1); n+1+2n|O| signatures made, each checked once by every other replica, since the PREPAREs inside were seen before. A replica that had seen none of them would check up to |P|·Q more. Disk waits 2n+1, and n more for COMMITs. Delays from the suspicion until the slots are decided; every replica is in the new view after two.",
  };
}

function transferTable(rows: readonly TransferRow[]): Table {
  return {
    title: "State transfer to an empty replica, from n−1 donors, counted in the simulator",
    columns: ["n", "keys", "pages that differ", "of", "their bytes", "header 2(n−1)", "tree", "pages", "messages", "bytes", "bytes / byte of state", "signatures", "made durable", "delays"],
    rows: rows.map((r) => [r.n, r.keys, r.pages, 2 ** r.bits, r.pageBytes, r.header, r.nodes, r.pageMessages, r.messages, r.bytes, r.bytes / r.pageBytes, 0, r.staged, r.delays]),
    note: "A request and its answer are two messages. Theory: header 2(n−1); two for each level of the tree (16 children a node, at most 256 nodes a request); pages 64 a request at first, to every donor twice, then as many as make a megabyte. The tree of a sparse state is as large as its pages: 32 bytes for each of 16 siblings.",
  };
}

function socketTable(rows: readonly SocketRow[]): Table {
  return {
    title: "Over libp2p sockets, whole replicas, one operation at a time",
    columns: ["n", "batches", "theory 2n(n−1)", "messages", "frames", "bytes, theory", "bytes", "signatures made", "checked", "disk waits", "STATUS frames", "repeated frames"],
    rows: rows.map((r) => [r.n, r.batches, r.theory, r.messages, r.frames, r.theoryBytes, r.bytes, r.made, r.checked, r.fsyncs, r.status, r.repeated]),
    note: "Per batch, but for STATUS and repeated frames, which are totals and counted apart. Signatures and disk waits here include replies, clients and checkpoints; a vote that shared a frame with another counts as its own message and saves a frame.",
  };
}

/** What a reader who sees one table should see. */
export function summaryTable(rows: Rows): Table {
  const shown = new Set([1, 4, 7, 10, 16, 31, 64, 100]);
  const at = <T extends { readonly n: number }>(list: readonly T[], n: number): T | undefined => list.find((row) => row.n === n);
  const cell = (value: number | undefined): Cell => value ?? "–";
  return {
    title: "Messages between replicas, counted; each equals its closed form",
    columns: ["n", "a batch: 2n(n−1)", "signatures made", "checked, to the quorum", "disk waits", "delays", `${PIPELINE_DEPTH} slots at once, per batch`, "checkpoint: n(n−1)", "view change, nothing open", "1 slot open", "state transfer, 1,000 keys", "a batch over sockets"],
    rows: rows.normal.filter(({ n }) => shown.has(n)).map((r) => [
      r.n, r.messages, r.made, r.checkedMin, r.fsyncs, r.delays, cell(at(rows.pipelines, r.n)?.messages), r.checkpointMessages,
      cell(at(rows.viewChanges.filter(({ open, merged }) => open === 0 && !merged), r.n)?.messages), cell(at(rows.viewChanges.filter(({ open, merged }) => open === 1 && !merged), r.n)?.messages),
      cell(at(rows.transfers.filter(({ keys }) => keys === 1_000), r.n)?.messages), cell(at(rows.sockets, r.n)?.messages),
    ]),
  };
}

const engineTable: Table = {
  title: "Other engines, closed forms only",
  columns: ["engine", "messages per batch", "n = 4", "n = 31", "n = 100", "signatures made", "delays with client", "tolerates"],
  rows: ENGINES.map((e) => [e.name, e.formula, e.messages(4), e.messages(31), e.messages(100), e.signatures, e.delays, `${e.faults} faults`]),
  note: "Steady state, one leader, point-to-point messages between replicas. Only PBFT is measured here.",
};

export function sectionsOf(rows: Rows, window: number): readonly Section[] {
  const fits = replicasForWindow(DEFAULT_PARAMETERS.logWindow);
  const pipelineTable: Table = {
    title: `${PIPELINE_DEPTH} slots proposed in one turn, votes merged, per batch`,
    columns: ["n", "messages, a vote a frame", "messages", "bytes", "signatures made", "checked", "disk waits"],
    rows: rows.pipelines.map((r) => [r.n, r.textbook, r.messages, r.bytes, r.made, r.checked, r.fsyncs]),
    note: `Theory: (n−1) + (n−1)(2n−1)/${PIPELINE_DEPTH} messages, 1 + (2n−1)/${PIPELINE_DEPTH} signatures made, 2n/${PIPELINE_DEPTH} disk waits.`,
  };
  return [
    {
      title: "Normal case",
      text: ["Engines of `@narses/pbft` and layouts of `@narses/wire` on a lock-step network, every vote in a frame of its own. Each figure must equal its closed form, or the run fails."],
      tables: [normalTable(rows.normal), engineTable], plots: [messagesPlot(rows.normal, rows.pipelines, rows.sockets), signaturesPlot(rows.normal)],
    },
    { title: "Batches and bundles", tables: [batchTable(rows.batches)], plots: [batchPlot(rows.batches), bytesPlot(rows.batches)] },
    { title: "Votes in one frame", text: ["What production does: the votes a replica casts in one turn share a frame and a signature."], tables: [pipelineTable], plots: [pipelinePlot(rows.pipelines)] },
    {
      title: "View change",
      text: [
        `A NEW-VIEW carries Q VIEW-CHANGEs with all their certificates, Q·L·(Q−1) votes when the whole window L is open: its bytes grow with n²·L and are sent n−1 times. The default window of ${DEFAULT_PARAMETERS.logWindow} slots is allowed up to n = ${fits}, where a NEW-VIEW still fits a frame (${figure(FRAME_BYTES_MAX)} bytes) although f liars pad theirs; larger clusters need a smaller \`logWindow\`.`,
      ],
      tables: [viewChangeTable(rows.viewChanges)], plots: [viewChangePlot(rows.viewChanges, window), viewChangeBytesPlot(rows.viewChanges, window)],
    },
    {
      title: "State transfer",
      text: [
        "A replica with empty disks joins whole replicas whose checkpoints are more than a log window ahead: it fetches block header, tree and pages of the last certified checkpoint, each piece checked against the hash above it. Nothing in it is signed: the checkpoint's Q signatures, which it has by then, vouch for everything.",
        "What leads to it (STATUS, STABLE, and decisions that come too late) depends on time and is not counted here.",
      ],
      tables: [transferTable(rows.transfers)], plots: [transferPlot(rows.transfers)],
    },
    { title: "Real sockets", tables: [socketTable(rows.sockets)] },
  ];
}

export function metricsOf(rows: Rows): Readonly<Record<string, Metric>> {
  const metrics: Record<string, Metric> = {};
  const count = (name: string, value: number, unit: string): void => void (metrics[name] = { value, unit, kind: "count", better: "lower" });
  for (const { n, messages, bytes, made, checked, fsyncs } of rows.normal.filter((row) => SHOWN.has(row.n))) {
    count(`normal n=${n} messages`, messages, "messages/batch");
    count(`normal n=${n} bytes`, bytes, "B/batch");
    count(`normal n=${n} signatures made`, made, "signatures/batch");
    count(`normal n=${n} signatures checked`, checked, "signatures/batch");
    count(`normal n=${n} disk waits`, fsyncs, "fsyncs/batch");
  }
  for (const { n, operations, bundle, bytesPerOperation } of rows.batches) count(`batch n=${n} ops=${operations} bundle=${bundle} bytes`, bytesPerOperation, "B/op");
  for (const { n, messages, made } of rows.pipelines) {
    count(`merged n=${n} messages`, messages, "messages/batch");
    count(`merged n=${n} signatures made`, made, "signatures/batch");
  }
  for (const { n, open, merged, messages, bytes } of rows.viewChanges) {
    count(`view change n=${n} open=${open}${merged ? " merged" : ""} messages`, messages, "messages");
    count(`view change n=${n} open=${open}${merged ? " merged" : ""} bytes`, bytes, "B");
  }
  for (const { n, bits, keys, messages, bytes } of rows.transfers) {
    count(`state transfer n=${n} keys=${keys} pages=${2 ** bits} messages`, messages, "messages");
    count(`state transfer n=${n} keys=${keys} pages=${2 ** bits} bytes`, bytes, "B");
  }
  for (const { n, messages, bytes } of rows.sockets) {
    count(`sockets n=${n} messages`, messages, "messages/batch");
    count(`sockets n=${n} bytes`, bytes, "B/batch");
  }
  return metrics;
}
