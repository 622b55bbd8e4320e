/** "What to persist before what": each row of the table, in the effects of a real run, in their order. */
import { describe, expect, test } from "vitest";
import type { Effect } from "@narses/core";
import { Recorded } from "./paper-stage.ts";

/** A run that says everything a replica can say: two batches, a checkpoint, a view change with a prepared slot, and on. */
function eventful(): Recorded {
  const stage = new Recorded(4);
  for (let i = 0; i < 3; i++) stage.order();
  stage.request(0, stage.makeBundle());
  stage.pass(({ message }) => !(message.type === "votes" && message.signed.body.votes[0]?.phase === "commit"));
  stage.drop();
  stage.suspect([0]);
  stage.pass();
  stage.order();
  return stage;
}

/** For every effect that matches `said`, `durable` must hold of some effect before it. */
function precedes(stage: Recorded, said: (e: Effect) => boolean, durable: (record: Extract<Effect, { type: "persist" }>["record"], said: Effect) => boolean): number {
  let count = 0;
  for (const id of stage.ids) {
    const effects = stage.acts(id);
    effects.forEach((effect, i) => {
      if (!said(effect)) return;
      count++;
      expect(effects.slice(0, i).some((e) => e.type === "persist" && !e.lazy && durable(e.record, effect))).toBe(true);
    });
  }
  return count;
}

describe("what before what", () => {
  const stage = eventful();

  test("row 1: (v, n, D) and its payload before PRE-PREPARE", () => {
    expect(precedes(stage, (e) => e.type === "pre-prepare", (r, e) => r.type === "pre-prepared" && e.type === "pre-prepare"
      && r.view === e.view && r.seq === e.seq && r.digest === e.digest && r.batch?.digest === e.digest)).toBeGreaterThan(3);
  });

  test("row 2: the accepted (v, n, D), with payload somewhere in the log, before PREPARE", () => {
    expect(precedes(stage, (e) => e.type === "vote" && e.vote.phase === "prepare", (r, e) => r.type === "pre-prepared" && e.type === "vote"
      && r.view === e.vote.view && r.seq === e.vote.seq && r.digest === e.vote.digest && r.batch !== undefined)).toBeGreaterThan(9);
  });

  test("row 3: the prepared certificate before COMMIT", () => {
    expect(precedes(stage, (e) => e.type === "vote" && e.vote.phase === "commit", (r, e) => r.type === "prepared" && e.type === "vote"
      && r.certificate.prePrepare.body.view === e.vote.view && r.certificate.prePrepare.body.seq === e.vote.seq && r.certificate.prePrepare.body.digest === e.vote.digest)).toBeGreaterThan(12);
  });

  test("row 4: the departure, with P, before VIEW-CHANGE", () => {
    expect(precedes(stage, (e) => e.type === "view-change", (r, e) => r.type === "view-left" && e.type === "view-change"
      && r.view === e.view && r.prepared === e.prepared && r.stable === e.stable)).toBeGreaterThanOrEqual(3);
  });

  test("row 5: V before NEW-VIEW; NEW-VIEW before the first vote in its view", () => {
    expect(precedes(stage, (e) => e.type === "new-view", (r, e) => r.type === "new-view" && e.type === "new-view" && r.view === e.view && r.viewChanges === e.viewChanges)).toBe(1);
    expect(precedes(stage, (e) => e.type === "vote" && e.vote.view > 0, (r, e) => r.type === "new-view" && e.type === "vote" && r.view === e.vote.view && r.signed !== undefined)).toBeGreaterThan(6);
  });

  test("row 6: the state before CHECKPOINT: it is said only when the shell reports it durable", () => {
    const held = new Recorded(4, { holdCheckpoints: true });
    for (let i = 0; i < 2; i++) held.order();
    expect(held.acts(0).some((e) => e.type === "checkpoint")).toBe(false);
    held.checkpointDurable(0);
    expect(held.acts(0).filter((e) => e.type === "checkpoint")).toHaveLength(1);
    expect(held.disks[0]?.snapshot.seq).toBe(2);
  });

  test("row 7: the proof before the log is cut", () => {
    expect(precedes(stage, (e) => e.type === "truncate", (r, e) => r.type === "stable" && e.type === "truncate" && r.stable.seq === e.seq)).toBeGreaterThanOrEqual(4);
  });

  test("commits and execution need no sync of their own before replies: their records are lazy", () => {
    for (const id of stage.ids) {
      const committed = stage.acts(id).flatMap((e) => (e.type === "persist" && e.record.type === "committed" ? [e.lazy] : []));
      expect(committed.length).toBeGreaterThan(2);
      expect(committed).not.toContain(false);
    }
  });
});
