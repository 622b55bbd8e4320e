/** PBFT (OSDI'99) §4.5.2, "Liveness". The rules learnt since: paper-liveness-rules.test.ts. */
import { describe, expect, test } from "vitest";
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
