/**
 * Submits a planned import: accounts first, then payments, pipelined. Payments may be ordered differently from the file
 * (several bundles are under way, and a failing primary can reorder them), so one refused for lack of cover waits and is
 * tried again when the others are done, as payment systems do; what is refused in a round that moves nothing is final.
 */
import type { Receipt } from "@narses/core";
import type { LedgerClient } from "../client/ledger-client.ts";
import { refusalOf, type Refusal } from "../cli/failure.ts";
import type { Payment } from "../csv/formats.ts";
import { transferOf, type ImportPlan } from "./plan.ts";
import { pipeline } from "./pipeline.ts";

export interface ImportProgress {
  readonly phase: "accounts" | "payments";
  readonly done: number;
  readonly total: number;
  readonly elapsedMs: number;
}

export interface RefusedPayment extends Refusal {
  readonly payment: Payment;
}

export interface ImportReport {
  readonly accountsCreated: number;
  readonly accountsPresent: number;
  readonly applied: number;
  /** Had been applied before: nothing moved. */
  readonly replayed: number;
  readonly refused: readonly RefusedPayment[];
  /** Payments that had to wait for cover, and got it. */
  readonly waited: number;
  readonly accountsMs: number;
  readonly paymentsMs: number;
  /** Blocks that hold this run's answers; undefined when there were none. */
  readonly firstBlock: number | undefined;
  readonly lastBlock: number | undefined;
}

export interface ImportOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: ImportProgress) => void) | undefined;
  /** After each payment was answered; `receipt` proves it. */
  readonly onPayment?:
    ((payment: Payment, outcome: { readonly replayed: boolean; readonly seq: number; readonly receipt: Receipt }) => void) | undefined;
  /** Payments per bundle. */
  readonly chunk?: number | undefined;
  readonly chunksInFlight?: number | undefined;
  /** Milliseconds an operation may take, a view change included. */
  readonly timeoutMs?: number | undefined;
  readonly before?: ((started: number) => Promise<void>) | undefined;
}

/** Rounds for payments that wait for cover. */
const ROUNDS_MAX = 100;
const CHUNK = 250;
const CHUNKS_IN_FLIGHT = 4;

interface Run {
  readonly ledger: LedgerClient;
  readonly plan: ImportPlan;
  readonly options: ImportOptions;
}

interface Counts {
  created: number;
  present: number;
  applied: number;
  replayed: number;
  firstBlock: number | undefined;
  lastBlock: number | undefined;
}

const submitOptions = ({ options }: Run): { readonly signal?: AbortSignal; readonly timeoutMs: number } => ({
  timeoutMs: options.timeoutMs ?? 120_000,
  ...(options.signal === undefined ? {} : { signal: options.signal }),
});

const flow = ({ options }: Run): { readonly chunk: number; readonly chunksInFlight: number; readonly signal: AbortSignal | undefined } => ({
  chunk: options.chunk ?? CHUNK,
  chunksInFlight: options.chunksInFlight ?? CHUNKS_IN_FLIGHT,
  signal: options.signal,
});

/** An account that exists is used as it is, whoever opened it. Any other refusal stops the import before its first payment. */
async function createAccounts(run: Run, counts: Counts): Promise<number> {
  const started = performance.now();
  const { accounts } = run.plan;
  let done = 0;
  await pipeline(
    accounts,
    async (account) => {
      try {
        const { result } = await run.ledger.submit(account, submitOptions(run));
        if (result.replayed) counts.present++;
        else counts.created++;
      } catch (error) {
        if (refusalOf(error)?.code !== "ACCOUNT_EXISTS") throw error;
        counts.present++;
      }
      run.options.onProgress?.({ phase: "accounts", done: ++done, total: accounts.length, elapsedMs: performance.now() - started });
    },
    { ...flow(run), chunk: CHUNK },
  );
  return performance.now() - started;
}

export async function runImport(ledger: LedgerClient, plan: ImportPlan, options: ImportOptions = {}): Promise<ImportReport> {
  const run: Run = { ledger, plan, options };
  const counts: Counts = { created: 0, present: 0, applied: 0, replayed: 0, firstBlock: undefined, lastBlock: undefined };
  const accountsMs = await createAccounts(run, counts);
  const started = performance.now();
  let done = 0;
  let refused: RefusedPayment[] = [];
  const progress = (): void =>
    options.onProgress?.({ phase: "payments", done: ++done, total: plan.payments.length, elapsedMs: performance.now() - started });

  const pay = async (payment: Payment, uncovered: RefusedPayment[]): Promise<void> => {
    try {
      const { result, seq, receipt } = await ledger.submit({ ...transferOf(plan.batchId, payment) }, submitOptions(run));
      if (result.replayed) counts.replayed++;
      else counts.applied++;
      counts.firstBlock = Math.min(counts.firstBlock ?? seq, seq);
      counts.lastBlock = Math.max(counts.lastBlock ?? seq, seq);
      options.onPayment?.(payment, { replayed: result.replayed, seq, receipt });
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal === undefined) throw error;
      if (refusal.code === "OVERDRAFT") {
        uncovered.push({ ...refusal, payment });
        return; // its time may come
      }
      refused.push({ ...refusal, payment });
    }
    progress();
  };

  let waiting: RefusedPayment[] = [];
  await pipeline(plan.payments, (payment) => pay(payment, waiting), { ...flow(run), before: options.before });
  const uncoveredAtFirst = waiting.length;
  for (let round = 0; waiting.length > 0 && round < ROUNDS_MAX; round++) {
    const again: RefusedPayment[] = [];
    const inOrder = waiting.map(({ payment }) => payment).sort((a, b) => a.line - b.line);
    await pipeline(inOrder, (payment) => pay(payment, again), flow(run));
    const stuck = again.length === waiting.length;
    waiting = again;
    if (stuck) break;
  }
  for (const _ of waiting) progress();
  refused = [...refused, ...waiting].sort((a, b) => a.payment.line - b.payment.line);
  return {
    accountsCreated: counts.created,
    accountsPresent: counts.present,
    applied: counts.applied,
    replayed: counts.replayed,
    refused,
    waited: uncoveredAtFirst - waiting.length,
    accountsMs,
    paymentsMs: performance.now() - started,
    firstBlock: counts.firstBlock,
    lastBlock: counts.lastBlock,
  };
}
