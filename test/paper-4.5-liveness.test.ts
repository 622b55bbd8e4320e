/** PBFT (OSDI'99) §4.5.2, "Liveness", and the rules learnt since (protocol notes 1.5). */
import { describe, expect, test } from "vitest";
import { view } from "@narses/core";
import { Recorded } from "./paper-stage.ts";

const views = (stage: Recorded, ids: readonly number[]): readonly string[] => ids.map((id) => `${stage.shell(id).status().view}${stage.shell(id).status().active ? "" : " inactive"}`);

describe("PBFT §4.5.2", () => {
  test("§4.5.2 (1): the new-view timer starts when 2f+1 view-changes are held, and doubles with each view that does not begin", () => {
    const stage = new Recorded(4);
    stage.crash(1);
    stage.suspect([0, 1]);
    stage.pass(({ to }) => to !== 0);
    stage.tick(2, 200);
    expect(views(stage, [2])).toEqual(["1 inactive"]);
    stage.inject(0, 2, stage.viewChange(0, 1));
    stage.pass(({ from, to }) => from === 0 && to === 2);
    let ticks = 0;
    for (; stage.shell(2).status().view === 1; ticks++) stage.tick(2);
    // One timeout without progress has doubled it already: 8 · 2.
    expect(ticks).toBe(16);
  });

  test("§4.5.2 (2): f+1 valid view-changes for views above its own: a replica joins the smallest of them, though its timer has not expired", () => {
    const stage = new Recorded(4);
    stage.inject(1, 3, stage.viewChange(1, 2));
    stage.pass();
    expect(views(stage, [3])).toEqual(["0"]);
    stage.inject(2, 3, stage.viewChange(2, 5));
    stage.pass(({ to }) => to === 3);
    expect(views(stage, [3])).toEqual(["2 inactive"]);
  });

  test("§4.5.2 (3): faulty replicas cannot force frequent view changes: f of them move nobody", () => {
    const stage = new Recorded(7);
    for (const to of [0, 1, 2, 3, 4]) for (const from of [5, 6]) for (const v of [1, 9, 1_000]) stage.inject(from, to, stage.viewChange(from, v));
    stage.pass();
    expect(views(stage, [0, 1, 2, 3, 4])).toEqual(["0", "0", "0", "0", "0"]);
  });
});

describe("rules learnt since", () => {
  test("1.5.1: the request timer runs on the oldest request: a primary that serves others and starves one client is replaced", () => {
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

  test("1.5.3: VIEW-CHANGE is repeated with STATUS until the view begins: losing every copy once deadlocks nobody", () => {
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

  test("1.5.5: an invalid NEW-VIEW of a view far away, well signed by its primary, drags nobody", () => {
    const stage = new Recorded(4);
    const { epoch, self } = stage.config(3);
    const signed = stage.signer(3).sign({ type: "new-view", epoch, sender: self, view: view(4_003), viewChanges: [], prePrepares: [] });
    for (const to of [0, 1, 2]) stage.inject(3, to, { type: "new-view", signed });
    stage.pass();
    expect(views(stage, [0, 1, 2])).toEqual(["0", "0", "0"]);
  });

  test("1.5.6: a replica that left alone follows the others by commit certificates, and joins when they move", () => {
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

  test("1.5.6: one who missed NEW-VIEW gets it by STATUS", () => {
    const stage = new Recorded(4, { parameters: { statusIntervalTicks: 2 } });
    stage.suspect([0]);
    stage.pass(({ to }) => to !== 3);
    stage.drop();
    expect(views(stage, [3])).toEqual(["1 inactive"]);
    for (const id of stage.ids) stage.tick(id, 2);
    stage.pass();
    expect(views(stage, [3])).toEqual(["1"]);
  });

  test("1.5.7: proposals up to a window above H are kept: a slow replica needs no view change", () => {
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

  test("1.5.8: a commit certificate of any view is used, whatever view one is in", () => {
    const stage = new Recorded(4, { parameters: { statusIntervalTicks: 2 } });
    stage.suspect([0]);
    stage.pass(({ from, to }) => from !== 3 && to !== 3);
    stage.drop();
    stage.order();
    stage.drop();
    stage.tick(3, 2);
    stage.pass(({ from, to, message }) => (to === 3 && message.type !== "new-view") || from === 3);
    expect(stage.executed(3)).toContain(1);
  });

  test("lost CHECKPOINTs leave no log full for ever: they are repeated with STATUS", () => {
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
});
