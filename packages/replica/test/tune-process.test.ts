import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { HEAP_GROWING_FLAG, tuneProcess } from "../src/tune-process.ts";

test("the engine that runs this knows the flag, on the command line and at run time", () => {
  // One that it does not know ends a process that is started with it, and only prints a line in one that runs.
  const code = `require("node:v8").setFlagsFromString(${JSON.stringify(HEAP_GROWING_FLAG)})`;
  const { status, stdout, stderr } = spawnSync(process.execPath, [HEAP_GROWING_FLAG, "-e", code], { encoding: "utf8" });
  expect([status, stdout, stderr]).toEqual([0, "", ""]);
  expect(tuneProcess).not.toThrow();
});
