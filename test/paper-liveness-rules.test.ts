/**
 * The liveness rules that PBFT (OSDI'99 §4.5.2) leaves open or that implementations learnt the hard way, one by one.
 *   1 the request timer runs on the oldest request, and not during a view change (Fabric #971)
 *   2 leaving a view: nothing of it is voted for any more, durable first, then VIEW-CHANGE
 *   3 VIEW-CHANGE is repeated until the view begins (Fabric #1917)
 *   4 the new-view timer starts with Q VIEW-CHANGEs (sawtooth-pbft #133) and doubles; only proven progress shrinks it
 *   5 joining by the W-th highest view, one VIEW-CHANGE per sender
 *   6 evidence of a later view is followed; who left alone follows passively (Fabric #1120)
 *   7 watermark skew: proposals a window above H are kept (Fabric #1119); a window with a hole is a faulty primary's
 *   8 certificates of any view count
 *   9 null batches where something must move although nothing waits
 */
import { describe, expect, test } from "vitest";
import { view } from "@narses/core";
import { Recorded, words } from "./paper-stage.ts";

const views = (stage: Recorded, ids: readonly number[]): readonly string[] => ids.map((id) => `${stage.shell(id).status().view}${stage.shell(id).status().active ? "" : " inactive"}`);

describe("liveness rules", () => {
  test("rule 1: the request timer runs on the oldest request: a primary that serves others and starves one client is replaced", () => {
    const stage = new Recorded(4, { parameters: { logWindow: 200, checkpointInterval: 100 } });
    const starved = stage.makeBundle();
    for (const id of [1, 2, 3]) stage.request(id, starved);
    stage.drop();
    for (let i = 0; i < 90 && stage.shell(1).status().view === 0; i++) {
      stage.order();
      for (const id of [1, 2, 3]) stage.tick(id);
    }
    stage.pass();
    expect(stage.shell(1).status().view).toBe(1);
    expect(stage.answered.some(([, digest]) => digest === starved.digest)).toBe(true);
  });

  test("rule 3: VIEW-CHANGE is repeated with STATUS until the view begins: losing every copy once deadlocks nobody", () => {
    const stage = new Recorded(4, { parameters: { statusIntervalTicks: 2 } });
    stage.crash(0);
    stage.suspect([0]);
    stage.drop();
    for (let i = 0; i < 6; i++) for (const id of [1, 2, 3]) {
      stage.tick(id);
      stage.pass();
    }
    expect(new Set(views(stage, [1, 2, 3]))).toEqual(new Set(["1"]));
  });

  test("rule 5: an invalid NEW-VIEW of a view far away, well signed by its primary, drags nobody", () => {
    const stage = new Recorded(4);
    const { epoch, self } = stage.config(3);
    const signed = stage.signer(3).sign({ type: "new-view", epoch, sender: self, view: view(4_003), viewChanges: [], prePrepares: [] });
    for (const to of [0, 1, 2]) stage.inject(3, to, { type: "new-view", signed });
    stage.pass();
    expect(views(stage, [0, 1, 2])).toEqual(["0", "0", "0"]);
  });

  test("rule 6: a replica that left alone follows the others by commit certificates, and joins when they move", () => {
    const stage = new Recorded(4, { parameters: { statusIntervalTicks: 2 } });
    stage.request(3, stage.makeBundle());
    stage.drop();
    stage.tick(3, 10);
    stage.drop();
    stage.order();
    stage.tick(3, 2);
    stage.pass();
    expect(views(stage, [3])).toEqual(["1 inactive"]);
    expect(stage.executed(3)).toEqual([1]);
    stage.suspect([0, 3]);
    stage.pass();
    expect(views(stage, [0, 1, 2, 3])).toEqual(["1", "1", "1", "1"]);
  });

  test("rule 6: one who missed NEW-VIEW gets it by STATUS", () => {
    const stage = new Recorded(4, { parameters: { statusIntervalTicks: 2 } });
    stage.suspect([0]);
    stage.pass(({ to }) => to !== 3);
    stage.drop();
    expect(views(stage, [3])).toEqual(["1 inactive"]);
    for (const id of stage.ids) stage.tick(id, 2);
    stage.pass();
    expect(views(stage, [3])).toEqual(["1"]);
  });

  test("rule 7: proposals up to a window above H are kept: a slow replica needs no view change", () => {
    const stage = new Recorded(4, { holdCheckpoints: true });
    for (let i = 0; i < 4; i++) stage.order();
    for (const id of [0, 1, 2]) stage.checkpointDurable(id);
    stage.pass();
    stage.request(0, stage.makeBundle());
    stage.pass();
    // r3 is at h = 0, H = 4: it keeps slot 5 until its own state is durable.
    expect(stage.votes(3, "prepare")).not.toContain("v0 n5");
    stage.checkpointDurable(3);
    expect(stage.votes(3, "prepare")).toContain("v0 n5");
    expect(views(stage, [3])).toEqual(["0"]);
  });

  test("rule 8: a commit certificate of any view is used, whatever view one is in", () => {
    const stage = new Recorded(4, { parameters: { statusIntervalTicks: 2 } });
    stage.suspect([0, 3]);
    stage.pass(({ from, to }) => from !== 3 && to !== 3);
    stage.drop();
    stage.request(1, stage.makeBundle());
    stage.pass(({ to }) => to !== 3);
    stage.drop();
    stage.tick(3, 2);
    stage.pass(({ from, to, message }) => (to === 3 && message.type === "decision") || from === 3);
    expect([views(stage, [0, 3]), stage.executed(3)]).toEqual([["1", "0"], stage.executed(0)]);
    expect(stage.executed(3)).not.toEqual([]);
  });

  test("rule 7: lost CHECKPOINTs leave no log full for ever: they are repeated with STATUS", () => {
    const stage = new Recorded(4, { parameters: { statusIntervalTicks: 2 } });
    for (let i = 0; i < 4; i++) {
      stage.request(0, stage.makeBundle());
      stage.pass(({ message }) => message.type !== "checkpoint");
      stage.drop();
    }
    expect(stage.ids.map((id) => stage.shell(id).status().stableSeq)).toEqual([0, 0, 0, 0]);
    for (const id of stage.ids) {
      stage.tick(id, 2);
      stage.pass();
    }
    expect(stage.ids.map((id) => stage.shell(id).status().stableSeq)).toEqual([4, 4, 4, 4]);
  });

  test("rule 1: request timers neither run nor restart during a view change: waiting for the new view costs no second doubling", () => {
    const stage = new Recorded(4);
    stage.request(2, stage.makeBundle());
    stage.tick(2, 10);
    stage.drop();
    stage.tick(2, 500);
    expect(views(stage, [2])).toEqual(["1 inactive"]);
    expect(stage.acts(2).filter((e) => e.type === "view-change")).toHaveLength(1);
  });

  test("rule 2: leaving: durable first, then VIEW-CHANGE; then no PREPARE and no COMMIT of the view left, but checkpoints and certificates count", () => {
    const stage = new Recorded(4, { parameters: { statusIntervalTicks: 2 } });
    stage.request(0, stage.makeBundle());
    stage.pass(({ to }) => to !== 2);
    stage.request(2, stage.makeBundle());
    stage.drop(({ from }) => from === 2);
    stage.forget();
    stage.tick(2, 10);
    expect(words(stage.acts(2).filter((e) => e.type === "persist" || e.type === "view-change"))).toEqual(["persist view-left", "view-change"]);
    stage.order();
    for (let i = 0; i < 4; i++) for (const id of [0, 1, 3, 2]) {
      stage.tick(id);
      stage.pass();
    }
    expect(stage.acts(2).filter((e) => e.type === "vote")).toEqual([]);
    expect(stage.shell(2).status()).toMatchObject({ active: false, executedSeq: 3, stableSeq: 2 });
  });

  test("rule 4: the new-view timer waits for Q VIEW-CHANGEs, however long: who is alone does not run ahead through the views", () => {
    const stage = new Recorded(4);
    stage.request(2, stage.makeBundle());
    stage.tick(2, 10);
    stage.inject(3, 2, stage.viewChange(3, 1));
    stage.pass(({ from }) => from === 3);
    stage.drop();
    stage.tick(2, 1_000);
    expect(views(stage, [2])).toEqual(["1 inactive"]);
  });

  test("rule 4: entering a view shrinks no timeout, executing what the view itself proposed does", () => {
    const stage = new Recorded(4);
    const ticksLeft = (): number | undefined => stage.shell(2).status().timer?.ticksLeft;
    stage.suspect([0]);
    stage.pass(({ message }) => message.type === "view-change" || message.type === "new-view");
    expect(views(stage, [2])).toEqual(["1"]);
    expect(ticksLeft()).toBe(20);
    stage.pass();
    stage.request(2, stage.makeBundle());
    expect(ticksLeft()).toBe(10);
  });

  test("rule 5: one VIEW-CHANGE is kept per sender, the highest: a flood of future views costs no memory and moves nobody", () => {
    const stage = new Recorded(4);
    stage.request(1, stage.makeBundle());
    stage.tick(1, 10);
    for (let v = 1; v <= 300; v++) stage.inject(3, 1, stage.viewChange(3, v * 1_000_000));
    stage.pass(({ from, to }) => from === 3 && to === 1);
    expect(views(stage, [1])).toEqual(["1 inactive"]);
    expect(stage.shell(1).status().viewChange?.have).toEqual([1, 3]);
  });

  test("rule 6: W replicas' COMMITs in a later view make a replica ask, and it joins the view at work", () => {
    const stage = new Recorded(4, { parameters: { statusIntervalTicks: 2 } });
    stage.tick(3, 2); // its next STATUS is due ten times later, while it knows of nothing
    stage.drop();
    stage.suspect([0, 3]);
    stage.pass(({ to }) => to !== 3);
    stage.drop();
    stage.request(1, stage.makeBundle());
    stage.pass(({ from, to, message }) => to !== 3 || (message.type === "votes" && from !== 0));
    stage.drop();
    expect(views(stage, [3])).toEqual(["0"]);
    stage.tick(3, 2);
    stage.pass();
    expect(views(stage, [3])).toEqual(["1"]);
  });

  test("rule 7: a primary that leaves a slot out and fills the window behind it is left, long before the window is exhausted", () => {
    const stage = new Recorded(4, { parameters: { statusIntervalTicks: 2, requestTimeoutTicks: 1_000 } });
    for (const to of [1, 2, 3]) for (const n of [2, 3, 4]) stage.propose(0, to, 0, n, [stage.makeBundle()]);
    stage.pass();
    for (let i = 0; i < 9; i++) for (const id of [1, 2, 3]) stage.tick(id);
    expect(views(stage, [1, 2, 3])).toEqual(["1 inactive", "1 inactive", "1 inactive"]);
  });

  test("rule 9: null batches settle the holes of a new view, so that what lies above them can execute", () => {
    const stage = new Recorded(4);
    const second = stage.makeBundle();
    for (const to of [1, 2, 3]) stage.propose(0, to, 0, 2, [second]);
    stage.pass();
    expect(stage.executed(1)).toEqual([]);
    stage.suspect([0]);
    stage.pass();
    expect(stage.executed(1).slice(0, 2)).toEqual([1, 2]);
    expect(stage.answered.some(([, digest]) => digest === second.digest)).toBe(true);
  });

  test("rule 9: with heartbeats on, an idle primary orders empty batches: it shows that it lives, and a dead one is found out with nothing waiting", () => {
    const stage = new Recorded(4, { parameters: { heartbeatTicks: 5 } });
    for (let i = 0; i < 12; i++) {
      for (const id of stage.ids) stage.tick(id);
      stage.pass();
    }
    expect(stage.executed(3)).toEqual([1, 2]);
    stage.crash(0);
    for (const id of [1, 2, 3]) stage.tick(id, 16);
    stage.pass();
    expect(views(stage, [1, 2, 3])).toEqual(["1", "1", "1"]);
  });
});
