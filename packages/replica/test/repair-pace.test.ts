/** A state that is repaired and goes wrong again. */
import { expect, test } from "vitest";
import { REPAIR_WAIT_TICKS, REPAIR_WAIT_TICKS_MAX, REPAIRS_FORGOTTEN_TICKS } from "../src/limits.ts";
import { createRepairPace } from "../src/transfer/repair-pace.ts";

test("the first repair begins at once, the next ones after twice as long each time, up to a bound; ten quiet minutes forgive", () => {
  const pace = createRepairPace();
  let now = 5;
  const waits = Array.from({ length: 9 }, () => {
    const wait = pace.next(now) - now;
    now += wait + 10;
    return wait;
  });
  expect(waits).toEqual([0, 1, 2, 4, 8, 16, 32, 60, 60].map((factor) => factor * REPAIR_WAIT_TICKS));
  expect([Math.max(...waits), pace.repairs]).toEqual([REPAIR_WAIT_TICKS_MAX, 9]);
  now += REPAIRS_FORGOTTEN_TICKS + 1;
  expect([pace.next(now), pace.repairs]).toEqual([now, 1]);
});
