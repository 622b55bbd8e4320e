/** An application of one's own: it runs in whole replicas, and what it must not do is caught. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, test, vi } from "vitest";
import type { StateMachine } from "@narses/core";
import * as counter from "../examples/counter.ts";
import * as broken from "../examples/not-deterministic.ts";
import { load, resolve } from "../src/cli/typescript-hooks.ts";
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
    // Chance itself: with other numbers two replicas may agree on a wrong answer first, and a client's history tells.
    let drawn = 1;
    const chance = vi.spyOn(Math, "random").mockImplementation(() => (drawn = (drawn * 16_807) % 2_147_483_647) / 2_147_483_647);
    const result = await simulate(broken.app as StateMachine, { seed: 42, n: 4, faults: "none", operation: broken.operation }).finally(() => chance.mockRestore());
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

  test.each<[string, StateMachine["apply"], RegExp]>([
    ["an error that is no refusal", () => {
      throw new RangeError("a bug in here");
    }, /^apply failed at c\w+:1 \(RangeError: a bug in here\), was undone and answered INTERNAL; a refusal would be an AppRejection$/],
    ["a promise", () => Promise.resolve(1), /apply returned a promise: it must be synchronous/],
    ["an answer without an encoding", () => new Map(), /is a Map: only plain objects, arrays and Uint8Array/],
  ])("%s in apply: a crash of the application, in words", async (_, apply, detail) => {
    const result = await simulate({ apply }, { seed: 1, n: 4, faults: "none", chaosMs: 200, operation: () => 1 });
    expect([result.outcome, result.oracle]).toEqual(["crash", "application"]);
    expect(result.detail).toMatch(detail);
  });

  test("a refusal is none, also by another copy of AppRejection, and its writes are undone", async () => {
    class AppRejection extends Error {
      override readonly name = "AppRejection";
      readonly code = "ODD";
      readonly data = {};
    }
    const app: StateMachine = {
      apply: (_op, { store }) => {
        const next = ((store.get("calls") as number | undefined) ?? 0) + 1;
        store.put("calls", next);
        if (next % 2 === 1) store.put("odd", true);
        if (store.get("odd") === true && next > 1) throw new AppRejection("odd");
        return { next, bytes: Uint8Array.of(1, 2) };
      },
    };
    const result = await simulate(app, { seed: 2, n: 4, faults: "crash", chaosMs: 300, operation: () => 1 });
    expect([result.outcome, result.detail]).toEqual(["ok", undefined]);
  });

  test("operations without an encoding, or a generator that throws, are named", async () => {
    const app: StateMachine = { apply: () => null };
    const run = async (operation: () => unknown): Promise<string | undefined> => (await simulate(app, { seed: 1, n: 1, faults: "none", operation })).detail;
    expect(await run(() => ({ f: () => 1 }))).toMatch(/^operation\(random, \d\) gives no operation: TypeError: payload: value.f /);
    expect(await run(() => {
      throw new RangeError("boom");
    })).toMatch(/^operation\(random, \d\) gives no operation: RangeError: boom$/);
  });

  test("what is missing is named", async () => {
    await expect(simulate({} as StateMachine, { seed: 1, operation: () => 1 })).rejects.toThrow(/an object with a function `apply`/);
    await expect(simulate(counter.app as StateMachine, { seed: 1 } as never)).rejects.toThrow(/options.operation/);
  });
});

describe("narses-sim --app", () => {
  test("catches the example that is not deterministic: exit code 2, a readable trace, the repeat command", () => {
    // Chance as V8 has it, the same each time: see above.
    const { status, stdout } = spawnSync(process.execPath, ["--random-seed=7", bin, "--app", example("not-deterministic"), "--seed", "42", "--faults", "none", "--n", "4"], { encoding: "utf8" });
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

describe("applications in TypeScript, where the simulator runs compiled", () => {
  const context = { conditions: [], importAttributes: {}, importAssertions: {}, format: undefined, parentURL: "file:///app/my-app.ts" };

  test("are made ES modules, with enums and parameter properties, whatever their package says", async () => {
    const dir = mkdtempSync(join(tmpdir(), "narses-app-"));
    try {
      writeFileSync(join(dir, "package.json"), "{\"type\":\"commonjs\"}");
      const file = join(dir, "my-app.ts");
      writeFileSync(file, "enum Fee { None }\nclass Rule { constructor(readonly fee: Fee) {} }\nexport const fee: number = new Rule(Fee.None).fee;\n");
      const { format, source } = await load(pathToFileURL(file).href, context, () => Promise.reject(new Error("left to Node")));
      expect(format).toBe("module");
      expect(await import(`data:text/javascript,${encodeURIComponent(String(source))}`)).toMatchObject({ fee: 0 });
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  test("dependencies and JavaScript are left to Node", async () => {
    const left = { format: "module", source: "left to Node" };
    for (const url of ["file:///app/node_modules/x/index.ts", "file:///app/x.js", "node:fs"]) expect(await load(url, context, () => left)).toBe(left);
  });

  test("may import each other without an extension, or by the name of what they compile to", async () => {
    const here = new Set(["./rules.ts", "./ledger/index.ts"]);
    const next = (specifier: string): { readonly url: string } => {
      if (!here.has(specifier)) throw new TypeError(`no ${specifier}`);
      return { url: specifier };
    };
    for (const [written, meant] of [["./rules.js", "./rules.ts"], ["./rules", "./rules.ts"], ["./ledger", "./ledger/index.ts"], ["./rules.ts", "./rules.ts"]] as const) {
      expect(await resolve(written, context, next)).toEqual({ url: meant });
    }
    await expect(resolve("./nothing.js", context, next)).rejects.toThrow("no ./nothing.js");
    await expect(resolve("./rules.js", { ...context, parentURL: "file:///app/x.js" }, next)).rejects.toThrow("no ./rules.js");
  });
});
