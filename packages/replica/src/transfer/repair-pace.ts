/**
 * How soon a state that went wrong is repaired. At once the first time. If the next one is soon wrong too, an application or a machine is to
 * blame and no transfer helps: then later and later, so that neither this replica nor its donors are kept busy for nothing.
 */
import { REPAIR_WAIT_TICKS, REPAIR_WAIT_TICKS_MAX, REPAIRS_FORGOTTEN_TICKS } from "../limits.ts";

export interface RepairPace {
  /** Another repair is due: the tick from which it may begin. */
  next(now: number): number;
  /** In a row, the last one included. */
  readonly repairs: number;
}

export function createRepairPace(): RepairPace {
  let repairs = 0;
  let lastTick = 0;
  return {
    next(now) {
      if (now - lastTick > REPAIRS_FORGOTTEN_TICKS) repairs = 0;
      lastTick = now + (repairs === 0 ? 0 : Math.min(REPAIR_WAIT_TICKS * 2 ** (repairs - 1), REPAIR_WAIT_TICKS_MAX));
      repairs++;
      return lastTick;
    },
    get repairs() {
      return repairs;
    },
  };
}
