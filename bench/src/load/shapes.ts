/** What a load looks like, and the cluster it runs on. */
import type { Metric, Section, Table, Target } from "../result.ts";
import type { Program } from "./program.ts";
import { Stage } from "./stage.ts";
import type { LoadRequest } from "./load-spec.ts";

export interface BenchOptions {
  readonly quick: boolean;
  /** Seconds-long: for the smoke test. */
  readonly tiny: boolean;
  readonly program: Program;
  readonly progress: (text: string) => void;
}

export interface Measured {
  readonly summary: readonly Table[];
  readonly sections: readonly Section[];
  readonly targets: readonly Target[];
  readonly metrics: Readonly<Record<string, Metric>>;
}

export interface Shape {
  readonly n: number;
  /** Operations under one client signature. */
  readonly bundle: number;
  readonly payload: number;
  /** Bundles each client keeps in flight when the cluster is to be saturated. */
  readonly inFlight: number;
  /** A backup is killed before the measurement. */
  readonly crashed?: true;
  /** Replicas wait for no disk. */
  readonly volatile?: true;
}

export const CLIENTS = 8;
/**
 * In flight for each client, below what a replica queues for one client: enough to fill batches, and for operations signed alone also a
 * moderate number, since a machine that takes longer than the clients' patience for the many sees them sent again.
 */
const IN_FLIGHT = { moderate: 8, alone: 32, bundled: 6 } as const;

export const shapeOf = (n: number, bundle: number, payload: number): Shape => ({ n, bundle, payload, inFlight: bundle === 1 ? IN_FLIGHT.alone : IN_FLIGHT.bundled });

/** Operations signed alone, with a queue that a slow machine can serve within the clients' patience. */
export const MODERATE: Shape = { ...shapeOf(4, 1, 128), inFlight: IN_FLIGHT.moderate };

export const shapesOf = (n: readonly number[], bundle: readonly number[], payload: readonly number[]): readonly Shape[] =>
  n.flatMap((replicas) => bundle.flatMap((operations) => payload.map((bytes) => shapeOf(replicas, operations, bytes))));

export const conditionOf = ({ crashed, volatile }: Shape): string => [crashed === true ? "one crashed" : "", volatile === true ? "not durable" : ""].filter((text) => text !== "").join(", ");

export const bundleName = ({ bundle }: Pick<Shape, "bundle">): string => (bundle === 1 ? "each signed alone" : `bundles of ${bundle}`);

/** Clients that wait for nothing but their answers. */
export const saturating = ({ inFlight, bundle, payload }: Shape): Omit<LoadRequest, "durationMs"> => ({ arrival: { type: "closed", inFlight }, unit: bundle, payloadBytes: payload });

/** Bundles never share: the cluster takes none larger than the shape's. */
export const openStage = (program: Program, shape: Shape, clients: number = CLIENTS): Promise<Stage> =>
  Stage.open({ program, n: shape.n, clients, bundlesInFlight: shape.inFlight, durable: shape.volatile !== true, parameters: { bundleOperationsMax: shape.bundle } });

export async function withStage<T>(stage: Promise<Stage>, use: (stage: Stage) => Promise<T>): Promise<T> {
  const opened = await stage;
  try {
    return await use(opened);
  } finally {
    await opened.close();
  }
}

/** To open and close a stage, about, for estimates. */
export const STAGE_SECONDS = 3;
