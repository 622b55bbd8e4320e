/**
 * How far this replica had come before it was restarted. Until it is there again, what it says about sessions would be older
 * than what it has acknowledged: a client that begins on such an answer would use request ids that are used up.
 */
import type { BlockStore, LogRecord } from "@narses/core";
import { RECOVERY_POLL_MS, RECOVERY_WAIT_MS } from "./limits.ts";
import type { Scheduler } from "./scheduler.ts";

/** The highest slot this replica executed, or prepared (its result may have been acknowledged by others). */
export function recoveryHorizon(records: readonly LogRecord[], blocks: Pick<BlockStore, "head">): number {
  let horizon: number = blocks.head ?? 0;
  for (const record of records) {
    if (record.type === "prepared") horizon = Math.max(horizon, record.certificate.prePrepare.body.seq);
    if (record.type === "committed") horizon = Math.max(horizon, record.certificate.seq);
  }
  return horizon;
}

/** Resolves when `executed` has reached the horizon, or after RECOVERY_WAIT_MS: a prepared slot need not have been decided. */
export async function untilRecovered(horizon: number, executed: () => number, scheduler: Scheduler): Promise<void> {
  for (let waitedMs = 0; executed() < horizon && waitedMs < RECOVERY_WAIT_MS; waitedMs += RECOVERY_POLL_MS) {
    await new Promise<void>((resolve) => void scheduler.after(RECOVERY_POLL_MS, resolve));
  }
}
