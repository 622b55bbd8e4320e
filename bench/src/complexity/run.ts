/** `bench complexity`: counts, closed forms, and the report that sets them side by side. */
import { FRAME_BYTES_MAX, DEFAULT_PARAMETERS } from "@narses/core";
import { Checks, figure, type Metric, type Section, type Table } from "../result.ts";
import { ENGINES, replicasForWindow } from "../theory.ts";
import { batchPlot, bytesPlot, messagesPlot, pipelinePlot, signaturesPlot, viewChangePlot } from "./plots.ts";
import { batch, normal, PAYLOAD_BYTES, pipeline, viewChange, type BatchRow, type NormalRow, type PipelineRow, type ViewChangeRow } from "./scenarios.ts";
import { sockets, type SocketRow } from "./sockets.ts";

export interface ComplexityOptions {
  readonly quick: boolean;
  /** Seconds-long: for the smoke test. */
  readonly tiny?: boolean;
  readonly progress: (text: string) => void;
}

export interface Complexity {
  readonly checks: Checks;
  readonly sections: readonly Section[];
  readonly metrics: Readonly<Record<string, Metric>>;
}

interface Plan {
  readonly normal: readonly number[];
  readonly batches: { readonly n: readonly number[]; readonly operations: readonly number[] };
  readonly pipeline: readonly number[];
  readonly viewChange: readonly number[];
  /** Of the view changes over all n. */
  readonly window: number;
  /** n for which the default window is filled. */
  readonly fullWindow: readonly number[];
  readonly sockets: readonly number[];
  readonly socketBatches: number;
}

const upTo = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i + 1);
const PIPELINE_DEPTH = DEFAULT_PARAMETERS.pipelineDepth;
const BUNDLE = 100;

function planOf({ quick, tiny }: ComplexityOptions): Plan {
  if (tiny === true) {
    return { normal: [1, 2, 3, 4, 7, 10], batches: { n: [4], operations: [1, 10] }, pipeline: [1, 4, 7], viewChange: [4, 7], window: 8, fullWindow: [], sockets: [4], socketBatches: 4 };
  }
  return {
    normal: upTo(100), batches: { n: [4, 7, 10, 31, 100], operations: [1, 10, 100, 1_000] }, pipeline: [1, 2, 4, 7, 10, 16, 22, 31, 46, 64, 82, 100],
    viewChange: quick ? [4, 7, 10, 16, 31, 64, 100] : [4, 7, 10, 13, 16, 22, 31, 46, 64, 82, 100], window: 8, fullWindow: quick ? [4, 7] : [4, 7, 10, 16, 31],
    sockets: quick ? [1, 4, 7, 10, 16] : upTo(16), socketBatches: quick ? 10 : 40,
  };
}

/** About, on a quiet core. */
export const complexitySeconds = ({ quick, tiny }: Pick<ComplexityOptions, "quick" | "tiny">): number => (tiny === true ? 3 : quick ? 50 : 180);

interface Rows {
  readonly normal: readonly NormalRow[];
  readonly batches: readonly BatchRow[];
  readonly pipelines: readonly PipelineRow[];
  readonly viewChanges: readonly ViewChangeRow[];
  readonly sockets: readonly SocketRow[];
}

export async function complexity(options: ComplexityOptions): Promise<Complexity> {
  const plan = planOf(options);
  const { progress } = options;
  const checks = new Checks();
  progress(`normal case and checkpoints, n = ${plan.normal[0]} … ${plan.normal.at(-1)}`);
  const normalRows = plan.normal.map((n) => normal(n, checks));
  progress("batch sizes");
  const batches = plan.batches.n.flatMap((n) => plan.batches.operations.flatMap((operations) =>
    [1, ...(operations > 1 ? [BUNDLE] : [])].map((bundle) => batch(n, operations, bundle, checks))));
  progress("merged votes");
  const pipelines = plan.pipeline.map((n) => pipeline(n, PIPELINE_DEPTH, checks));
  progress("view changes");
  const viewChanges = [
    ...plan.viewChange.flatMap((n) => [0, 1, plan.window].flatMap((open) => [false, true].map((merged) => viewChange(n, { open, window: plan.window, merged }, checks)))),
    ...plan.fullWindow.flatMap((n) => [false, true].map((merged) => viewChange(n, { open: DEFAULT_PARAMETERS.logWindow, window: DEFAULT_PARAMETERS.logWindow, merged }, checks))),
  ];
  const socketRows: SocketRow[] = [];
  for (const n of plan.sockets) {
    progress(`sockets, n = ${n}`);
    socketRows.push(await sockets(n, plan.socketBatches, checks));
  }
  const rows: Rows = { normal: normalRows, batches, pipelines, viewChanges, sockets: socketRows };
  return { checks, sections: sectionsOf(rows, plan), metrics: metricsOf(rows) };
}

// ── report ───────────────────────────────────────────────────────────────────────────────────────────────────────

const SHOWN: ReadonlySet<number> = new Set([1, 2, 3, 4, 5, 6, 7, 10, 13, 16, 22, 31, 46, 64, 82, 100]);

function normalTable(rows: readonly NormalRow[]): Table {
  return {
    title: "Normal case, one operation a batch, counted in the simulator (equal to theory at every n)",
    columns: ["n", "f", "PRE-PREPARE n−1", "PREPARE (n−1)²", "COMMIT n(n−1)", "messages 2n(n−1)", "bytes", "signatures made 2n", "checked, to quorum n(2Q−2)", "checked, all 2n(n−1)", "disk waits 2n", "delays", "CHECKPOINT n(n−1)"],
    rows: rows.filter(({ n }) => SHOWN.has(n)).map((r) => [r.n, r.f, r.prePrepare, r.prepare, r.commit, r.messages, r.bytes, r.made, r.checkedMin, r.checked, r.fsyncs, r.delays, r.checkpointMessages]),
    note: `Operations of ${PAYLOAD_BYTES} bytes. Delays are message delays from the client's request to its W-th matching reply. CHECKPOINT is per checkpoint, that is per K batches, with n signatures and 2n disk waits of its own. With n ≤ 3 the quorum check count is not the formula's: a replica may collect others' votes before its own.`,
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
    columns: ["n", "open slots", "votes", "VIEW-CHANGE n(n−1)", "NEW-VIEW n−1", "votes for open slots", "messages", "bytes of a VIEW-CHANGE", "of a NEW-VIEW", "bytes in all", "signatures made", "checked"],
    rows: rows.filter(({ open, merged }) => open > 1 || !merged).map((r) => [r.n, r.open, r.merged ? "merged" : "one a frame", r.viewChange, r.newView, r.votes, r.messages, r.viewChangeBytes, r.newViewBytes, r.bytes, r.made, r.checked]),
    note: "Theory: VIEW-CHANGE n(n−1), NEW-VIEW (n−1), votes |O|·(n−1)(2n−1); n+1+2n|O| signatures made, each checked once by every other replica, since the PREPAREs inside were seen before. A replica that had seen none of them would check up to |P|·Q more.",
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

const engineTable: Table = {
  title: "Other engines, closed forms only",
  columns: ["engine", "messages per batch", "n = 4", "n = 31", "n = 100", "signatures made", "delays with client", "tolerates"],
  rows: ENGINES.map((e) => [e.name, e.formula, e.messages(4), e.messages(31), e.messages(100), e.signatures, e.delays, `${e.faults} faults`]),
  note: "Steady state, one leader, point-to-point messages between replicas. Only PBFT is measured here.",
};

function sectionsOf(rows: Rows, plan: Plan): readonly Section[] {
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
      tables: [normalTable(rows.normal), engineTable], plots: [messagesPlot(rows.normal, rows.sockets), signaturesPlot(rows.normal)],
    },
    { title: "Batches and bundles", tables: [batchTable(rows.batches)], plots: [batchPlot(rows.batches), bytesPlot(rows.batches)] },
    { title: "Votes in one frame", text: ["What production does: the votes a replica casts in one turn share a frame and a signature."], tables: [pipelineTable], plots: [pipelinePlot(rows.pipelines)] },
    {
      title: "View change",
      text: [
        `A NEW-VIEW carries Q VIEW-CHANGEs with all their certificates, Q·L·(Q−1) votes when the whole window L is open: its bytes grow with n²·L and are sent n−1 times. The default window of ${DEFAULT_PARAMETERS.logWindow} slots is allowed up to n = ${fits}, where a NEW-VIEW still fits a frame (${figure(FRAME_BYTES_MAX)} bytes) although f liars pad theirs; larger clusters need a smaller \`logWindow\`.`,
        "State transfer is not built yet and not measured.",
      ],
      tables: [viewChangeTable(rows.viewChanges)], plots: [viewChangePlot(rows.viewChanges, plan.window)],
    },
    { title: "Real sockets", tables: [socketTable(rows.sockets)] },
  ];
}

function metricsOf(rows: Rows): Readonly<Record<string, Metric>> {
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
  for (const { n, messages, bytes } of rows.sockets) {
    count(`sockets n=${n} messages`, messages, "messages/batch");
    count(`sockets n=${n} bytes`, bytes, "B/batch");
  }
  return metrics;
}
