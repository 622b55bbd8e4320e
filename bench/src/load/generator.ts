/**
 * Load on a cluster. Open arrivals come at fixed times whether or not earlier ones were answered, and latency counts from the time a unit
 * was due (no coordinated omission): a stall of the cluster, or of this process, shows in every unit that was due meanwhile.
 */
import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import { TIMELINE_PART_MS, type LoadReport, type LoadRequest, type Percentiles } from "./load-spec.ts";

/** Operations due and unanswered, at most; more are shed, counted, and mean overload. */
const BACKLOG_MAX = 30_000;
const OPERATION_TIMEOUT_MS = 20_000;
const NS = 1e6;

/** Whatever takes operations. */
export interface LoadClient {
  /** Under one signature, or as one transaction; rejects when any of them fails. */
  submit(payloads: readonly Uint8Array[], timeoutMs: number): Promise<void>;
  /** Requests sent again so far. */
  resent(): number;
  close(): Promise<void>;
}

export async function generate(clients: readonly LoadClient[], request: LoadRequest): Promise<LoadReport> {
  const run = new Run(clients, request);
  const before = resent(clients);
  await (request.arrival.type === "closed" ? run.closed(request.arrival.inFlight) : run.open(request.arrival.operationsPerSecond));
  return { ...run.report(), retransmissions: resent(clients) - before };
}

const resent = (clients: readonly LoadClient[]): number => clients.reduce((sum, client) => sum + client.resent(), 0);

class Run {
  readonly #clients: readonly LoadClient[];
  readonly #request: LoadRequest;
  readonly #histogram: RecordableHistogram = createHistogram();
  readonly #payloads: readonly Uint8Array[];
  readonly #startMs = performance.now();
  #issued = 0;
  #operations = 0;
  #failed = 0;
  #shed = 0;
  #firstFailure: string | undefined;
  #lastArrivalMs = this.#startMs;
  #lastAnswerMs = this.#startMs;
  #longestGapMs = 0;
  /** Answered operations, by part of the run. */
  readonly #timeline: number[] = [];

  constructor(clients: readonly LoadClient[], request: LoadRequest) {
    this.#clients = clients;
    this.#request = request;
    this.#payloads = Array.from({ length: request.unit }, (_, i) => new Uint8Array(request.payloadBytes).fill(i));
  }

  get #over(): boolean {
    const { durationMs, operationsMax } = this.#request;
    return performance.now() - this.#startMs >= durationMs || (operationsMax !== undefined && this.#issued >= operationsMax);
  }

  async closed(inFlight: number): Promise<void> {
    const worker = async (client: LoadClient): Promise<void> => {
      while (!this.#over) await this.#unit(client, performance.now());
    };
    await Promise.all(this.#clients.flatMap((client) => Array.from({ length: inFlight }, () => worker(client))));
  }

  async open(operationsPerSecond: number): Promise<void> {
    const { unit } = this.#request;
    const periodMs = (1_000 * unit) / operationsPerSecond;
    const running = new Set<Promise<void>>();
    for (let i = 0, dueMs = this.#startMs; !this.#over; ) {
      for (; dueMs <= performance.now() && !this.#over; dueMs += periodMs, i++) {
        const client = this.#clients[i % this.#clients.length];
        if (client === undefined) return;
        if (this.#issued - this.#operations - this.#failed + unit > BACKLOG_MAX) {
          this.#shed += unit;
          continue;
        }
        const done = this.#unit(client, dueMs).finally(() => running.delete(done));
        running.add(done);
      }
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, dueMs - performance.now())));
    }
    await Promise.all(running);
  }

  async #unit(client: LoadClient, dueMs: number): Promise<void> {
    this.#issued += this.#payloads.length;
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs, dueMs);
    try {
      await client.submit(this.#payloads, OPERATION_TIMEOUT_MS);
    } catch (error) {
      this.#failed += this.#payloads.length;
      this.#firstFailure ??= error instanceof Error ? error.message : String(error);
      return;
    }
    const nowMs = performance.now();
    this.#operations += this.#payloads.length;
    const part = Math.floor((nowMs - this.#startMs) / TIMELINE_PART_MS);
    this.#timeline[part] = (this.#timeline[part] ?? 0) + this.#payloads.length;
    this.#histogram.record(Math.max(1, Math.round((nowMs - dueMs) * NS)));
    if (nowMs <= this.#lastArrivalMs + OPERATION_TIMEOUT_MS) this.#longestGapMs = Math.max(this.#longestGapMs, nowMs - this.#lastAnswerMs);
    this.#lastAnswerMs = nowMs;
  }

  report(): Omit<LoadReport, "retransmissions"> {
    return {
      operations: this.#operations, failed: this.#failed, shed: this.#shed, firstFailure: this.#firstFailure, seconds: (this.#lastAnswerMs - this.#startMs) / 1_000,
      latency: percentiles(this.#histogram), longestGapMs: this.#longestGapMs,
      timeline: Array.from(this.#timeline, (answered) => answered ?? 0),
    };
  }
}

function percentiles(histogram: RecordableHistogram): Percentiles {
  if (histogram.count === 0) return { p50: 0, p90: 0, p99: 0, p999: 0, max: 0, mean: 0 };
  const at = (percentile: number): number => histogram.percentile(percentile) / NS;
  return { p50: at(50), p90: at(90), p99: at(99), p999: at(99.9), max: histogram.max / NS, mean: histogram.mean / NS };
}
