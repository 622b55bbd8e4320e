/** `bench complexity`: counts beside closed forms. */
import { DEFAULT_PARAMETERS } from "@narses/core";
import { Checks, type Metric, type Section, type Table } from "../result.ts";
import { BUNDLE, metricsOf, PIPELINE_DEPTH, sectionsOf, summaryTable, type Rows } from "./report.ts";
import { batch, normal, pipeline, viewChange } from "./scenarios.ts";
import { sockets, type SocketRow } from "./sockets.ts";
import { transfer, type TransferRow } from "./transfer.ts";

export interface ComplexityOptions {
  readonly quick: boolean;
  /** Seconds-long: for the smoke test. */
  readonly tiny?: boolean;
  readonly progress: (text: string) => void;
}

export interface Complexity {
  readonly checks: Checks;
  readonly summary: readonly Table[];
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
  /** States are of this many keys on 2^bits pages. */
  readonly transfers: readonly { readonly n: number; readonly bits: number; readonly keys: number }[];
  readonly sockets: readonly number[];
  readonly socketBatches: number;
}

const upTo = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i + 1);

function planOf({ quick, tiny }: ComplexityOptions): Plan {
  if (tiny === true) {
    return { normal: [1, 2, 3, 4, 7, 10], batches: { n: [4], operations: [1, 10] }, pipeline: [1, 4, 7], viewChange: [4, 7], window: 8, fullWindow: [], transfers: [{ n: 4, bits: 8, keys: 100 }, { n: 4, bits: 12, keys: 1_000 }], sockets: [4], socketBatches: 4 };
  }
  return {
    normal: upTo(100), batches: { n: [4, 7, 10, 31, 100], operations: [1, 10, 100, 1_000] }, pipeline: [1, 2, 4, 7, 10, 16, 22, 31, 46, 64, 82, 100],
    viewChange: quick ? [4, 7, 10, 16, 31, 64, 100] : [4, 7, 10, 13, 16, 22, 31, 46, 64, 82, 100], window: 8, fullWindow: quick ? [4, 7] : [4, 7, 10, 16, 31],
    transfers: [
      { n: 4, bits: 8, keys: 100 }, { n: 4, bits: 16, keys: 200 }, { n: 4, bits: 12, keys: 3_000 },
      ...[3, 4, 5, 7, 10, 13, 16, 22, 31, ...(quick ? [] : [46, 64, 100])].map((n) => ({ n, bits: 12, keys: 1_000 })),
    ],
    sockets: quick ? [1, 4, 7, 10, 16] : upTo(16), socketBatches: quick ? 10 : 40,
  };
}

/** About, on a quiet core. */
export const complexitySeconds = ({ quick, tiny }: Pick<ComplexityOptions, "quick" | "tiny">): number => (tiny === true ? 3 : quick ? 50 : 180);

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
  progress("state transfer");
  const transfers: TransferRow[] = [];
  for (const one of plan.transfers) transfers.push(await transfer(one, checks));
  const socketRows: SocketRow[] = [];
  for (const n of plan.sockets) {
    progress(`sockets, n = ${n}`);
    socketRows.push(await sockets(n, plan.socketBatches, checks));
  }
  const rows: Rows = { normal: normalRows, batches, pipelines, viewChanges, transfers, sockets: socketRows };
  return { checks, summary: [summaryTable(rows)], sections: sectionsOf(rows, plan.window), metrics: metricsOf(rows) };
}
