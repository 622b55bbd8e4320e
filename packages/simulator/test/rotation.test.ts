/** Seeds with rotation, heartbeats and an impatient watch on the primary: views end all the time, and nothing else goes wrong. */
import { describe, expect, test } from "vitest";
import type { Parameters } from "@narses/core";
import { simulateEngine } from "../src/index.ts";

const restless: Partial<Parameters> = { rotationCheckpoints: 1, heartbeatTicks: 15, proposalDelayTicksMax: 10, overtakenBundlesMax: 8 };

describe("rotation", () => {
  test.each(["none", "crash", "network", "byzantine", "all"] as const)("under faults %s: agreement, exactly once, and everything is served", (faults) => {
    for (const seed of ["a", "b"]) {
      const run = simulateEngine({ seed: `rotation ${seed}`, faults, parameters: restless });
      expect(run.detail).toBeUndefined();
      expect(run.outcome).toBe("ok");
    }
  });
});
