/** PBFT (OSDI'99) §4.2, "Normal-Case Operation". Quorums are Q = ⌊(n+f)/2⌋+1 where the paper, with n = 3f+1, has 2f+1. */
import { describe, expect, test } from "vitest";
import { quorums } from "@narses/core";
import { Recorded, words } from "./paper-stage.ts";

const fresh = (n = 4): Recorded => new Recorded(n);

describe("PBFT §4.2", () => {
  test("§4.2: the primary assigns a sequence number and multicasts a pre-prepare with the request to all the backups", () => {
    const stage = fresh();
    stage.request(0, stage.makeBundle());
    stage.request(0, stage.makeBundle());
    expect(stage.inFlight.map(({ to, message }) => [to, message.type === "pre-prepare" && message.signed.body.seq])).toEqual([[1, 1], [2, 1], [3, 1], [1, 2], [2, 2], [3, 2]]);
  });

  test("§4.2: a backup accepts a pre-prepare if it is in view v", () => {
    const stage = fresh();
    stage.propose(1, 2, 1, 1, [stage.makeBundle()]);
    stage.pass();
    expect(stage.votes(2, "prepare")).toEqual([]);
    expect(stage.rejections(2).map((r) => r.code)).toEqual(["VIEW_FUTURE"]);
  });

  test("§4.2: a backup accepts a pre-prepare if its signature and its digest are right", () => {
    const stage = fresh();
    const other = stage.makeBundle();
    const signed = stage.propose(0, 2, 0, 1, [stage.makeBundle()]);
    const batch = stage.keyring.toolkit.tools.makeBatch(signed.body.epoch, 1, [other]);
    stage.drop();
    stage.inject(0, 2, { type: "pre-prepare", signed, batch });
    stage.pass();
    expect(stage.votes(2, "prepare")).toEqual([]);
    expect(stage.rejections(2).map((r) => r.code)).toEqual(["DIGEST_MISMATCH"]);
  });

  test("§4.2: a backup accepts a pre-prepare if it has not accepted one for view v and sequence number n with a different digest", () => {
    const stage = fresh();
    stage.propose(0, 2, 0, 1, [stage.makeBundle()]);
    stage.propose(0, 2, 0, 1, [stage.makeBundle()]);
    stage.pass();
    expect(stage.votes(2, "prepare")).toEqual(["v0 n1"]);
    expect(stage.rejections(2).map((r) => r.code)).toEqual(["EQUIVOCATION"]);
  });

  test("§4.2: a backup accepts a pre-prepare if its sequence number is between the watermarks h and H", () => {
    const stage = fresh();
    for (const n of [4, 5, 9]) stage.propose(0, 2, 0, n, [stage.makeBundle()]);
    stage.pass();
    expect(stage.votes(2, "prepare")).toEqual(["v0 n4"]);
  });

  test("§4.2: a backup that accepts enters the prepare phase by multicasting a prepare to all other replicas", () => {
    const stage = fresh();
    stage.request(0, stage.makeBundle());
    stage.pass(({ to, message }) => to === 2 && message.type === "pre-prepare");
    expect(stage.inFlight.filter(({ from }) => from === 2).map(({ to }) => to)).toEqual([0, 1, 3]);
    expect(words(stage.acts(2))).toEqual(["persist pre-prepared", "vote prepare"]);
  });

  test("§4.2: prepared: the request, a pre-prepare for it, and 2f prepares from different backups that match it", () => {
    const stage = fresh();
    stage.request(0, stage.makeBundle());
    stage.pass(({ message }) => message.type === "pre-prepare");
    expect(stage.votes(1, "commit")).toEqual([]);
    stage.pass(({ from, to }) => from === 2 && to === 1);
    expect(stage.votes(1, "commit")).toEqual(["v0 n1"]);
  });

  test("§4.2: the pre-prepare and prepare phases guarantee a total order within a view: never prepared(m, v, n) and prepared(m′, v, n)", () => {
    // An equivocating primary and f liars who back both stories; the correct ones are split every possible way.
    for (let split = 0; split < 8; split++) {
      const stage = fresh();
      const [first, second] = [stage.makeBundle(), stage.makeBundle()];
      for (const to of [1, 2, 3]) stage.propose(0, to, 0, 1, [(split & (1 << (to - 1))) === 0 ? first : second]);
      stage.pass();
      const prepared = new Set([1, 2, 3].flatMap((id) => stage.acts(id).flatMap((e) => (e.type === "persist" && e.record.type === "prepared" ? [e.record.certificate.prePrepare.body.digest] : []))));
      expect(prepared.size).toBeLessThanOrEqual(1);
    }
  });

  test("§4.2: a replica multicasts a commit when prepared becomes true", () => {
    const stage = fresh();
    stage.order();
    for (const id of stage.ids) expect(stage.votes(id, "commit")).toEqual(["v0 n1"]);
  });

  test("§4.2: committed-local: prepared, and 2f+1 commits from different replicas that match; the request is executed then", () => {
    const stage = fresh();
    stage.request(0, stage.makeBundle());
    stage.pass(({ message }) => message.type === "pre-prepare" || (message.type === "votes" && message.signed.body.votes[0]?.phase === "prepare"));
    stage.pass(({ from, to }) => from === 2 && to === 1);
    expect(stage.executed(1)).toEqual([]);
    stage.pass(({ from, to }) => from === 3 && to === 1);
    expect(stage.executed(1)).toEqual([1]);
  });

  test("§4.2: if committed-local is true for some non-faulty replica, at least f+1 non-faulty replicas have prepared", () => {
    for (const n of [4, 5, 6, 7]) {
      const stage = fresh(n);
      stage.order();
      const { strong, f, weak } = quorums(n);
      const [decision] = stage.acts(1).flatMap((e) => (e.type === "execute" ? [e.certificate] : []));
      expect(decision?.commits).toHaveLength(strong);
      expect(strong - f).toBeGreaterThanOrEqual(weak);
    }
  });

  test("§4.2: replicas execute requests in the order of their sequence numbers", () => {
    const stage = fresh();
    stage.request(0, stage.makeBundle());
    stage.drop(({ to }) => to === 3);
    stage.request(0, stage.makeBundle());
    stage.pass();
    // r3 never saw the proposal of slot 1: it decides both by COMMITs, and waits for the payload of slot 1 before it executes 2.
    expect(stage.executed(3)).toEqual([]);
    expect(stage.executed(1)).toEqual([1, 2]);
    stage.tick(3);
    stage.pass();
    expect(stage.executed(3)).toEqual([1, 2]);
  });

  test("§4.2: replicas accept prepares and commits in any order, and before the pre-prepare", () => {
    const stage = fresh();
    stage.request(0, stage.makeBundle());
    stage.pass(({ to }) => to !== 3);
    expect(stage.executed(3)).toEqual([]);
    stage.inFlight.reverse();
    stage.pass();
    expect(stage.executed(3)).toEqual([1]);
  });

  test("§4.2: messages are discarded when their sequence number is outside the watermarks", () => {
    const stage = fresh();
    const digest = stage.propose(0, 2, 0, 9, [stage.makeBundle()]).body.digest;
    stage.drop();
    stage.vote(1, 2, "prepare", 0, 9, digest);
    stage.pass();
    expect(stage.rejections(2).map((r) => r.code)).toEqual(["SEQ_ABOVE_WINDOW"]);
    expect(stage.shell(2).status().openSlots).toBe(0);
  });
});
