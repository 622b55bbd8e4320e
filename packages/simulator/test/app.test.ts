/** An application of one's own: it runs in whole replicas, and what it must not do is caught. */
import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import type { StateMachine } from "@narses/core";
import * as counter from "../examples/counter.ts";
import * as broken from "../examples/not-deterministic.ts";
import { simulate } from "../src/index.ts";

const bin = new URL("../bin/narses-sim.js", import.meta.url).pathname;
const example = (name: string): string => new URL(`../examples/${name}.ts`, import.meta.url).pathname;

describe("simulate(app, options)", () => {
  test.each(["none", "byzantine", "all"] as const)("a deterministic application, its refusals included, is linearizable (%s)", async (faults) => {
    const result = await simulate(counter.app as StateMachine, { seed: 3, replicas: 4, faults, chaosMs: 500, operation: counter.operation });
    expect([result.outcome, result.detail]).toEqual(["ok", undefined]);
    expect(result.plan.quorums.n).toBe(4);
    expect(result.accepted).toBeGreaterThan(3);
  });

  test("the same seed gives the same trace", async () => {
    const run = async (): Promise<string> => (await simulate(counter.app as StateMachine, { seed: 5, n: 4, chaosMs: 300, operation: counter.operation })).traceHash;
    expect(await run()).toBe(await run());
  });

  test("an application that is not deterministic is caught, with what two replicas answered", async () => {
    const result = await simulate(broken.app as StateMachine, { seed: 42, n: 4, faults: "none", operation: broken.operation });
    expect([result.outcome, result.oracle]).toEqual(["safety", "state"]);
    expect(result.detail).toMatch(/^n\d+, the same operations on equal states: r\d answers request \d+:\d+, r\d answers \d+:\d+\. Is the application deterministic\?$/);
  });

  test("writes that differ under equal answers are caught too", async () => {
    const app: StateMachine = { apply: (_op, { store }) => (store.put("x", Math.random()), null) };
    const result = await simulate(app, { seed: 1, n: 4, faults: "none", operation: () => 1 });
    expect(result.detail).toMatch(/the answers of r\d and r\d are equal, but they wrote different values/);
  });

  test("state kept outside the store does not survive a restart, and that is caught", async () => {
    const app = (): StateMachine => ({ apply: (_op, { store }) => (store.put("calls", ++calls), null) });
    let calls = 0;
    const result = await simulate(app(), { seed: 1, n: 4, faults: "none", operation: () => 1 });
    expect([result.outcome, result.oracle]).toEqual(["safety", "state"]);
  });

  test("what is missing is named", async () => {
    await expect(simulate({} as StateMachine, { seed: 1, operation: () => 1 })).rejects.toThrow(/an object with a function `apply`/);
    await expect(simulate(counter.app as StateMachine, { seed: 1 } as never)).rejects.toThrow(/options.operation/);
  });
});

describe("narses-sim --app", () => {
  test("catches the example that is not deterministic: exit code 2, a readable trace, the repeat command", () => {
    const { status, stdout } = spawnSync(process.execPath, [bin, "--app", example("not-deterministic"), "--seed", "42", "--faults", "none", "--n", "4"], { encoding: "utf8" });
    expect(status).toBe(2);
    expect(stdout).toMatch(/safety \(state\): n\d+, the same operations on equal states/);
    expect(stdout).toMatch(/> all: (pre-prepare|prepare|commit) v0 n\d+/);
    expect(stdout).toMatch(/^repeat: npx narses-sim 42 --faults none --n 4 --app .* --trace 60$/m);
  });

  test("a module that exports no application: what it should export, exit code 64", () => {
    const { status, stdout } = spawnSync(process.execPath, [bin, "--app", example("../test/random.test"), "--seed", "1"], { encoding: "utf8" });
    expect(status).toBe(64);
    expect(stdout).toMatch(/APP|cannot load|exports no state machine/);
  });
});
