/** PBFT (OSDI'99) §4.4, "View Changes". */
import { describe, expect, test } from "vitest";
import { type Effect, NULL_DIGEST } from "@narses/core";
import { Recorded, words } from "./paper-stage.ts";

const viewChangeOf = (stage: Recorded, id: number): Extract<Effect, { type: "view-change" }> | undefined =>
  stage.acts(id).find((e): e is Extract<Effect, { type: "view-change" }> => e.type === "view-change");
const isVote = (phase: "prepare" | "commit") => ({ message }: Recorded["inFlight"][number]): boolean => message.type === "votes" && message.signed.body.votes[0]?.phase === phase;

describe("PBFT §4.4", () => {
  test("§4.4: a backup starts a timer when it receives a request, and stops it when it is no longer waiting to execute it", () => {
    const stage = new Recorded(4);
    const bundle = stage.makeBundle();
    stage.request(2, bundle);
    stage.tick(2, 9);
    stage.pass();
    stage.tick(2, 50);
    expect(stage.shell(2).status()).toMatchObject({ view: 0, active: true });
  });

  test("§4.4: if the timer of backup i expires in view v, it starts a view change to move the system to v + 1", () => {
    const stage = new Recorded(4);
    stage.request(2, stage.makeBundle());
    stage.drop();
    stage.tick(2, 10);
    expect(stage.shell(2).status()).toMatchObject({ view: 1, active: false });
    expect(viewChangeOf(stage, 2)).toMatchObject({ view: 1 });
  });

  test("§4.4: it stops accepting messages, other than checkpoint, view-change and new-view", () => {
    const stage = new Recorded(4);
    stage.request(0, stage.makeBundle());
    stage.drop(({ to }) => to !== 2);
    stage.request(2, stage.makeBundle());
    stage.drop(({ from }) => from === 2);
    stage.tick(2, 10);
    stage.forget();
    stage.pass(({ to }) => to === 2);
    expect(stage.votes(2, "prepare")).toEqual([]);
  });

  test("§4.4: the view-change message carries n of the last stable checkpoint, its proof C, and P, the requests prepared above n", () => {
    const stage = new Recorded(4);
    for (let i = 0; i < 2; i++) stage.order();
    stage.request(0, stage.makeBundle());
    stage.pass((e) => !isVote("commit")(e));
    stage.drop();
    stage.suspect([0]);
    const sent = viewChangeOf(stage, 1);
    expect(sent?.stable.seq).toBe(2);
    expect(sent?.stable.proof).toHaveLength(3);
    expect(sent?.prepared.map((p) => [p.prePrepare.body.seq, p.prepares.length])).toEqual([[3, 2]]);
  });

  test("§4.4: the primary of v + 1, with 2f valid view-changes of other replicas, multicasts a new-view with V and O", () => {
    const stage = new Recorded(4);
    stage.suspect([0]);
    stage.pass(({ message, to }) => message.type === "view-change" && to === 1);
    const [sent] = stage.signed.get(1 as never)?.filter((b) => b.type === "new-view") ?? [];
    expect(sent?.type === "new-view" && sent.viewChanges.map((vc) => vc.body.sender)).toEqual([1, 2, 3]);
    expect(stage.inFlight.filter(({ message }) => message.type === "new-view").map(({ to }) => to)).toEqual([0, 2, 3]);
  });

  test("§4.4: O has a new pre-prepare for each n between min-s and max-s: the digest in P of the highest view, or the null request", () => {
    const stage = new Recorded(4);
    stage.request(0, stage.makeBundle());
    stage.drop();
    stage.request(0, stage.makeBundle());
    stage.pass((e) => !isVote("commit")(e));
    stage.drop();
    stage.suspect([0]);
    stage.pass(({ to }) => to === 1);
    const [sent] = stage.signed.get(1 as never)?.flatMap((b) => (b.type === "new-view" ? [b] : [])) ?? [];
    expect(sent?.prePrepares.map(({ body }) => [body.seq, body.digest === NULL_DIGEST])).toEqual([[1, true], [2, false]]);
  });

  test("§4.4: a backup accepts a new-view if it is signed properly, its view-changes are valid, and O is correct: it verifies by the same computation", () => {
    const stage = new Recorded(4);
    stage.request(0, stage.makeBundle());
    stage.pass((e) => !isVote("commit")(e));
    stage.drop();
    stage.suspect([0]);
    stage.pass(({ to, message }) => to === 1 && message.type === "view-change");
    const held = stage.inFlight.find(({ to, message }) => to === 2 && message.type === "new-view");
    if (held?.message.type !== "new-view") throw new RangeError("no new-view is on its way");
    stage.drop(({ message }) => message.type === "new-view");
    stage.inject(1, 2, { type: "new-view", signed: stage.signer(1).sign({ ...held.message.signed.body, prePrepares: [] }) });
    stage.inject(1, 3, held.message);
    stage.pass(({ message }) => message.type === "new-view");
    expect(stage.rejections(2).map((r) => r.code)).toEqual(["NEW_VIEW_INVALID"]);
    expect(stage.shell(2).status()).toMatchObject({ view: 2, active: false });
    expect(stage.shell(3).status()).toMatchObject({ view: 1, active: true });
  });

  test("§4.4: it adds the new pre-prepares to its log, multicasts a prepare for each, and enters the view", () => {
    const stage = new Recorded(4);
    stage.request(0, stage.makeBundle());
    stage.pass((e) => !isVote("commit")(e));
    stage.drop();
    stage.suspect([0]);
    stage.forget();
    stage.pass(({ message }) => message.type === "view-change" || message.type === "new-view");
    expect(words(stage.acts(2)).slice(0, 3)).toEqual(["persist new-view", "persist pre-prepared", "vote prepare"]);
    expect(stage.votes(2, "prepare")).toEqual(["v1 n1"]);
  });

  test("§4.4: replicas redo the protocol between min-s and max-s, but avoid re-executing requests", () => {
    const stage = new Recorded(4);
    stage.order();
    stage.suspect([0]);
    stage.pass();
    expect(stage.shell(1).status().view).toBe(1);
    for (const id of [0, 1, 2, 3]) {
      expect(stage.votes(id, "commit").filter((v) => v === "v1 n1")).toHaveLength(1);
      expect(stage.executed(id).filter((n) => n === 1)).toHaveLength(1);
    }
  });

  test("§4.4: a replica may be missing a request or a checkpoint: it obtains them from another replica", () => {
    const stage = new Recorded(4);
    for (let i = 0; i < 3; i++) {
      stage.request(0, stage.makeBundle());
      stage.pass(({ from, to }) => from !== 3 && to !== 3);
      stage.drop();
    }
    expect(stage.executed(3)).toEqual([]);
    stage.tick(3);
    stage.pass();
    expect(stage.shell(3).stateNow.head).toBe(stage.shell(1).stateNow.head);
  });

  test("§4.4 and proof in §4.5.1: a request committed anywhere keeps its number in every later view", () => {
    // Slot 1 is executed by r1 alone; then views change again and again, each time without the primary of the view before.
    const stage = new Recorded(4);
    stage.request(0, stage.makeBundle());
    stage.pass((e) => !isVote("commit")(e));
    stage.pass(({ to }) => to === 1);
    const decided = stage.acts(1).flatMap((e) => (e.type === "execute" ? [e.certificate.digest] : []));
    expect(decided).toHaveLength(1);
    stage.drop();
    for (let v = 1; v <= 4; v++) {
      stage.suspect([(v - 1) % 4]);
      stage.pass();
      expect(stage.views()).toEqual(Array.from({ length: 4 }, () => String(v)));
    }
    for (const id of stage.ids) expect(stage.acts(id).flatMap((e) => (e.type === "execute" && e.seq === 1 ? [e.certificate.digest] : []))).toEqual(decided);
  });
});
