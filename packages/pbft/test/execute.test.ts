/** Execution in order, once (PBFT §4.2). */
import { describe, expect, test } from "vitest";
import { type Effect, InvariantViolation } from "@narses/core";
import { batchOf, bench, type Bench, checkpointOf, commit, committedOf, configOf, digestOf, executeOf, persistCommitted, prePrepare, types } from "./helpers.ts";

const batch = (n: number): ReturnType<typeof batchOf> => batchOf(`b${n}`);
/** Proposal and Q COMMITs for slot n at replica 1; returns the effects of the last vote. */
function decide(b: Bench, n: number): readonly Effect[] {
  b.from(0, prePrepare(0, n, batch(n)));
  for (const id of [0, 2]) b.from(id, commit(id, 0, n, batch(n).digest));
  return b.from(3, commit(3, 0, n, batch(n).digest));
}
const certificate = (n: number): ReturnType<typeof committedOf> => committedOf(0, n, batch(n).digest, [0, 2, 3]);

describe("execution", () => {
  test("a decided slot waits for those before it; then all go, in order", () => {
    const b = bench(configOf(1));
    expect(decide(b, 3)).toEqual([persistCommitted(certificate(3))]);
    expect(decide(b, 2)).toEqual([persistCommitted(certificate(2))]);
    expect(decide(b, 1)).toEqual([
      persistCommitted(certificate(1)),
      executeOf(certificate(1), batch(1), false), executeOf(certificate(2), batch(2), true), executeOf(certificate(3), batch(3), false),
    ]);
  });

  test("every K-th slot asks for a checkpoint", () => {
    const b = bench(configOf(1, 4, { checkpointInterval: 1, logWindow: 4 }));
    expect(decide(b, 1)).toContainEqual(executeOf(certificate(1), batch(1), true));
  });

  test("a slot is handed over once, whatever arrives again", () => {
    const b = bench(configOf(1));
    decide(b, 1);
    expect(b.from(0, { type: "decision", certificate: certificate(1), batch: batch(1) })).toEqual([]);
    expect(b.from(1, commit(1, 0, 1, batch(1).digest))).toEqual([]);
  });

  test("what the shell reports must be the next slot handed over", () => {
    const b = bench(configOf(1));
    decide(b, 1);
    expect(() => b.executed(2)).toThrow(InvariantViolation);
    expect(() => bench(configOf(1)).executed(1)).toThrow(InvariantViolation);
    b.executed(1);
    expect(() => b.executed(1)).toThrow(InvariantViolation);
  });

  test("two commit certificates for one slot: more than f are faulty, this replica stops", () => {
    const b = bench(configOf(1));
    for (const id of [0, 2, 3]) b.from(id, commit(id, 0, 1, digestOf("x")));
    expect(() => b.from(0, { type: "decision", certificate: committedOf(1, 1, digestOf("y"), [0, 2, 3]), batch: undefined })).toThrow(/two digests/);
  });

  test("a diverged replica executes nothing more", () => {
    const b = bench(configOf(1));
    for (const n of [1, 2]) {
      decide(b, n);
      b.executed(n);
    }
    b.checkpointed(2, digestOf("wrong"));
    for (const id of [0, 2]) b.from(id, { type: "checkpoint", signed: checkpointOf(id, 2, digestOf("right")) });
    expect(types(b.from(3, { type: "checkpoint", signed: checkpointOf(3, 2, digestOf("right")) }))).toEqual(["diverged", "transfer"]);
    expect(types(decide(b, 3))).toEqual([]);
    expect(b.status().waitingFor.join(" ")).toContain("the state as of checkpoint 2 from peers");
  });
});
