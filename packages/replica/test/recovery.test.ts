import { seqNum, type LogRecord } from "@narses/core";
import { expect, test } from "vitest";
import { RECOVERY_WAIT_MS } from "../src/limits.ts";
import { systemScheduler } from "../src/scheduler.ts";
import { recoveryHorizon, untilRecovered } from "../src/recovery.ts";

test("the horizon is the highest slot executed, decided or prepared before the restart", () => {
  const prepared = (seq: number): LogRecord => ({ type: "prepared", certificate: { prePrepare: { body: { seq } }, prepares: [] } } as unknown as LogRecord);
  const committed = (seq: number): LogRecord => ({ type: "committed", certificate: { seq } } as unknown as LogRecord);
  const proposed = { type: "pre-prepared", seq: seqNum(99) } as unknown as LogRecord;
  expect(recoveryHorizon([], { head: undefined })).toBe(0);
  expect(recoveryHorizon([prepared(7), committed(5), proposed], { head: seqNum(6) })).toBe(7);
  expect(recoveryHorizon([prepared(7)], { head: seqNum(8) })).toBe(8);
});

test("waits until it is reached, and not for ever", async () => {
  await untilRecovered(3, () => 3, systemScheduler);
  let executed = 0;
  const reached = untilRecovered(2, () => executed++, systemScheduler);
  await reached;
  expect(executed).toBe(3);
  expect(RECOVERY_WAIT_MS).toBeLessThan(15_000); // below a client's patience at connecting
});
