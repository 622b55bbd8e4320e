/** Timers of one process: they fire when its thread is free, never once it is dead, and a period that was missed is not made up for. */
import type { Scheduler as ReplicaScheduler, Timer } from "@narses/replica/core";
import type { Process } from "../process.ts";
import type { MachineClock } from "./machine-clock.ts";
import type { Random } from "../random.ts";

/** Time until a turn that was asked for comes. */
const TURN_DELAY_MAX_US = 30;
/** Imprecision of timers. */
const JITTER_US = 50;

export function processTimers(process: Process, clock: MachineClock, random: Random): ReplicaScheduler {
  const stoppable = (start: (active: () => boolean) => void): Timer => {
    let active = true;
    start(() => active);
    return {
      stop: () => {
        active = false;
      },
    };
  };
  return {
    soon: (run) => process.after(random.int(1, TURN_DELAY_MAX_US), run),
    after: (ms, run) => stoppable((active) => process.after(clock.trueUs(ms), () => {
      if (active()) run();
    })),
    every: (ms, run) => stoppable((active) => {
      const next = (): void => process.after(clock.trueUs(ms) + random.int(-JITTER_US, JITTER_US), () => {
        if (!active()) return;
        next();
        run();
      });
      next();
    }),
  };
}
