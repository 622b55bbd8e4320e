/** kill -9 under load: how long nobody gets an answer. */
import type { LoadReport } from "./load-spec.ts";
import type { Program } from "./program.ts";
import { openStage, withStage, type Shape } from "./shapes.ts";

export interface FailoverRun {
  readonly gapMs: number;
  /** After the start of the load, about. */
  readonly killedMs: number;
  readonly load: LoadReport;
}

export interface FailoverOptions {
  readonly program: Program;
  readonly shape: Shape;
  readonly operationsPerSecond: number;
  readonly warmUpMs: number;
  /** The victim dies after the first part, and the load goes on for the second. */
  readonly beforeMs: number;
  readonly afterMs: number;
}

export async function killPrimary({ program, shape, operationsPerSecond, warmUpMs, beforeMs, afterMs }: FailoverOptions): Promise<FailoverRun> {
  return withStage(openStage(program, shape), async (stage) => {
    const load = { arrival: { type: "open", operationsPerSecond }, unit: shape.bundle, payloadBytes: shape.payload } as const;
    await stage.run({ ...load, durationMs: warmUpMs });
    const primary = await stage.primary();
    const running = stage.run({ ...load, durationMs: beforeMs + afterMs });
    await new Promise((resolve) => setTimeout(resolve, beforeMs));
    await stage.replicas[primary]?.kill("SIGKILL");
    const report = await running;
    return { gapMs: report.longestGapMs, killedMs: beforeMs, load: report };
  });
}
