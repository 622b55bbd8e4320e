/** Large bundles in whole replicas under faults: named by digest, fetched, and never missed for good, whatever a primary names. */
import { expect, test } from "vitest";
import { simulate } from "../src/index.ts";

const named = (coverage: Readonly<Record<string, number>>): readonly number[] =>
  ["large bundles: a compact proposal is executed", "large bundles: one is fetched by its digest", "liar: phantom"].map((id) => coverage[id] ?? 0);

test("primaries name bundles by digest, backups fetch what they lack, and a primary that names what nobody has is left", async () => {
  const sums = [0, 0, 0];
  for (const seed of [3, 7]) {
    const result = await simulate({ seed, n: 4, chaosMs: 500, faults: "byzantine", policies: ["phantom"], parameters: { largeBundleBytes: 0 } });
    expect(result).toMatchObject({ outcome: "ok" });
    for (const [i, count] of named(result.coverage).entries()) sums[i] = (sums[i] ?? 0) + count;
  }
  expect(Math.min(...sums)).toBeGreaterThan(0);
});

test("without faults nobody leaves a view for it, though clients send three bundles of ten to the primary only", async () => {
  const result = await simulate({ seed: 5, n: 4, chaosMs: 500, faults: "none", parameters: { largeBundleBytes: 0 } });
  expect(result).toMatchObject({ outcome: "ok" });
  const [executed, fetched] = named(result.coverage);
  expect(executed).toBeGreaterThan(10);
  expect(fetched).toBeGreaterThan(0);
  expect(result.coverage["view change: a request was left unexecuted"] ?? 0).toBe(0);
});
