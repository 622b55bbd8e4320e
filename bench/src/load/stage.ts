/** A cluster of processes and the process that loads it; measures between two samples of all of them. */
import { rmSync } from "node:fs";
import type { Parameters } from "@narses/core";
import { createHomes, type Homes } from "./homes.ts";
import { Child } from "./ipc.ts";
import type { LoadReport, LoadRequest, OpenRequest } from "./load-spec.ts";
import { NOT_DURABLE } from "./not-durable.ts";
import { argumentsOf, type Program } from "./program.ts";
import { protocolMessages, type ReplicaSample, type Sample } from "./sample.ts";

export interface StageOptions {
  readonly program: Program;
  readonly n: number;
  readonly parameters?: Partial<Parameters>;
  readonly clients: number;
  readonly bundlesInFlight: number;
  /** Default. False: replicas wait for no disk. */
  readonly durable?: boolean;
}

/** Per batch and operation, over all processes. */
export interface Usage {
  readonly batches: number;
  readonly operationsPerBatch: number;
  readonly messagesPerBatch: number;
  readonly bytesPerBatch: number;
  readonly fsyncsPerBatch: number;
  readonly signaturesMadePerBatch: number;
  readonly signaturesCheckedPerBatch: number;
  /** Bundles a backup passed on to the primary, and decided slots or payloads sent again: traffic of a cluster in trouble. */
  readonly repairPerBatch: number;
  /** Views left meanwhile. */
  readonly viewChanges: number;
  /** Seconds of CPU for 100,000 operations: replicas and clients. */
  readonly cpuPer100k: number;
  readonly clientCpuPer100k: number;
  /** Of the largest replica. */
  readonly rssBytes: number;
}

export interface Measurement {
  readonly load: LoadReport;
  readonly usage: Usage;
  readonly operationsPerSecond: number;
}

export const replicaChild = (program: Program, id: number, home: string, durable = true): Child =>
  new Child({ name: `replica ${id}`, args: argumentsOf(program, "replica-process", home), ...(durable ? {} : { env: { [NOT_DURABLE]: "1" } }) });
export const loadChild = (program: Program): Child => new Child({ name: "load", args: argumentsOf(program, "load-process") });

export class Stage {
  readonly n: number;
  readonly homes: Homes;
  readonly replicas: Child[];
  readonly load: Child;

  private constructor({ n, program, durable }: StageOptions, homes: Homes) {
    this.n = n;
    this.homes = homes;
    this.load = loadChild(program);
    this.replicas = homes.homes.map((home, id) => replicaChild(program, id, home, durable));
  }

  static async open(options: StageOptions): Promise<Stage> {
    const { n, parameters, clients, bundlesInFlight } = options;
    const stage = new Stage(options, await createHomes(n, parameters ?? {}));
    try {
      await Promise.all([stage.load, ...stage.replicas].map((child) => child.ready));
      await stage.load.call("open", { cluster: stage.homes.cluster, clients, bundlesInFlight } satisfies OpenRequest);
      return stage;
    } catch (error) {
      await stage.close();
      throw error;
    }
  }

  run(request: LoadRequest): Promise<LoadReport> {
    return this.load.call<LoadReport>("run", request);
  }

  /** Runs the load between two samples of every running process. */
  async measure(request: LoadRequest): Promise<Measurement> {
    const before = await this.#sample();
    const load = await this.run(request);
    const after = await this.#sample();
    return { load, usage: usageOf(before, after, load), operationsPerSecond: load.operations / load.seconds };
  }

  async primary(): Promise<number> {
    const sample = await this.#running[0]?.call<ReplicaSample>("sample");
    return sample?.status.engine.primary ?? 0;
  }

  /** kill -9 of the backup that would be the last to be primary. */
  async killBackup(): Promise<void> {
    const primary = await this.primary();
    await this.replicas[(primary + this.n - 1) % this.n]?.kill("SIGKILL");
  }

  async close(): Promise<void> {
    await Promise.all([this.load, ...this.replicas].map((child) => child.end()));
    rmSync(this.homes.directory, { recursive: true, force: true });
  }

  get #running(): readonly Child[] {
    return this.replicas.filter((replica) => replica.running);
  }

  async #sample(): Promise<Samples> {
    const [client, ...replicas] = await Promise.all([this.load.call<Sample>("sample"), ...this.#running.map((replica) => replica.call<ReplicaSample>("sample"))]);
    return { client, replicas };
  }
}

interface Samples {
  readonly client: Sample;
  readonly replicas: readonly ReplicaSample[];
}

function usageOf(before: Samples, after: Samples, { operations }: LoadReport): Usage {
  const grown = (of: (sample: ReplicaSample) => number): number =>
    after.replicas.reduce((sum, sample, i) => sum + of(sample) - of(before.replicas[i] ?? sample), 0);
  const batches = grown(({ status }) => status.counters.slotsExecuted) / Math.max(1, after.replicas.length);
  const perBatch = (of: (sample: ReplicaSample) => number): number => grown(of) / Math.max(1, batches);
  const per100k = (cpuUs: number): number => (cpuUs / 1e6 / Math.max(1, operations)) * 100_000;
  const clientUs = after.client.cpuUs - before.client.cpuUs;
  return {
    batches, operationsPerBatch: operations / Math.max(1, batches),
    messagesPerBatch: perBatch(({ status }) => protocolMessages(status.counters)),
    bytesPerBatch: perBatch(({ status }) => status.counters.bytesSent),
    fsyncsPerBatch: perBatch(({ status }) => status.counters.fsyncs),
    signaturesMadePerBatch: perBatch(({ status }) => status.counters.signaturesMade),
    signaturesCheckedPerBatch: perBatch(({ status }) => status.counters.signaturesVerified),
    repairPerBatch: perBatch(({ status: { counters: { sent } } }) => sent.forward + sent.decision + sent.batch + sent["fetch-batch"]),
    viewChanges: Math.max(0, ...after.replicas.map(({ status }, i) => status.engine.view - (before.replicas[i]?.status.engine.view ?? 0))),
    cpuPer100k: per100k(grown(({ cpuUs }) => cpuUs) + clientUs), clientCpuPer100k: per100k(clientUs),
    rssBytes: Math.max(...after.replicas.map(({ rssBytes }) => rssBytes)),
  };
}
