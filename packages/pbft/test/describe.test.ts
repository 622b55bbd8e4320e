/** Status in plain words: what is waited for, and from whom. */
import { describe, expect, test } from "vitest";
import { batchOf, bench, commit, configOf, frameOf, prepare, prePrepare, stableOf, viewChangeOf, vote } from "./helpers.ts";

const a = batchOf("a");
const words = (b: ReturnType<typeof bench>): string => b.status().waitingFor.join("; ");

describe("waitingFor", () => {
  test("nothing while idle", () => {
    expect(bench(configOf(1)).status().waitingFor).toEqual([]);
  });

  test("follows a slot through its phases", () => {
    const b = bench(configOf(1));
    b.from(2, prepare(2, 0, 1, a.digest));
    expect(words(b)).toContain("the pre-prepare of slot 1 in view 0");
    b.from(0, prePrepare(0, 1, a));
    expect(words(b)).toContain("prepares for slot 1: has 1 of 2");
    b.own(frameOf(1, vote("prepare", 0, 1, a.digest)));
    expect(words(b)).toContain("commits for slot 1: has 0 of 3");
    b.from(0, commit(0, 0, 1, a.digest));
    expect(words(b)).toContain("commits for slot 1: has 1 of 3");
  });

  test("a decided slot waits for those before it, or for its payload", () => {
    const b = bench(configOf(1));
    b.from(0, prePrepare(0, 2, a));
    for (const id of [0, 2, 3]) b.from(id, commit(id, 0, 2, a.digest));
    expect(words(b)).toContain("slots before 2, which is decided");
    const c = bench(configOf(1));
    for (const id of [0, 2, 3]) c.from(id, commit(id, 0, 1, a.digest));
    expect(words(c)).toContain("the payload of decided slot 1");
  });

  test("a view change: whose VIEW-CHANGEs are here, then whose NEW-VIEW is missing", () => {
    const b = bench(configOf(2));
    b.from(0, { type: "view-change", signed: viewChangeOf(0, 1) });
    b.from(3, { type: "view-change", signed: viewChangeOf(3, 1) });
    expect(words(b)).toContain("view-changes to view 1 or later: has 2 of 3 (from 0, 3)");
    b.own(viewChangeOf(2, 1));
    expect(words(b)).toContain("the new-view of view 1 from replica 1");
  });

  test("a replica that is behind says so", () => {
    const b = bench(configOf(1));
    b.from(0, { type: "stable", stable: stableOf(4, [0, 2, 3]) });
    expect(words(b)).toContain("decided slots up to the stable checkpoint 4 from peers: executed 0");
  });

  test("is bounded, and names the timer", () => {
    const b = bench(configOf(1, 4, { logWindow: 64, pipelineDepth: 2 }));
    for (let n = 1; n <= 40; n++) b.from(0, prePrepare(0, n, batchOf(`b${n}`)));
    expect(b.status().waitingFor.length).toBeLessThanOrEqual(17);
    expect(words(b)).toContain("request timer of view 0: 10 ticks left");
    expect(b.status().openSlots).toBe(40);
  });
});
