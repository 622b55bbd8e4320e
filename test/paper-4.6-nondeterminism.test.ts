/** PBFT (OSDI'99) §4.6, "Non-Determinism". The one nondeterministic value here is the time of a batch. */
import { describe, expect, test } from "vitest";
import { type Bundle, type PrePrepare, replicaId, seqNum, view } from "@narses/core";
import { STAGE_WALL_MS } from "@narses/simulator";
import { Recorded } from "./paper-stage.ts";

/** The primary's proposal for slot 1, with a time of its choice. */
function proposeAt(stage: Recorded, to: number, bundle: Bundle, ms: number): void {
  const { epoch } = stage.config(0);
  const [from, v, n] = [0, 0, 1];
  const batch = stage.keyring.toolkit.tools.makeBatch(epoch, STAGE_WALL_MS + ms, [bundle]);
  const signed = stage.signer(from).sign<PrePrepare>({ type: "pre-prepare", epoch, sender: replicaId(from), view: view(v), seq: seqNum(n), digest: batch.digest });
  stage.inject(from, to, { type: "pre-prepare", signed, batch });
}
const times = (stage: Recorded, id: number): readonly number[] => stage.acts(id).flatMap((e) => (e.type === "execute" && e.batch ? [e.batch.timestampMs - STAGE_WALL_MS] : []));

describe("PBFT §4.6", () => {
  test("§4.6: the primary selects the value, it travels with the request, and every replica uses the same one, whatever its own clock says", () => {
    const stage = new Recorded(4);
    const bundle = stage.makeBundle();
    for (const to of [1, 2, 3]) proposeAt(stage, to, bundle, 1_500);
    stage.pass();
    expect([1, 2, 3].map((id) => times(stage, id))).toEqual([[1_500], [1_500], [1_500]]);
  });

  test("§4.6: replicas must be able to decide deterministically whether the value is correct: the digest covers it, so all vote for the same time or not at all", () => {
    const stage = new Recorded(4);
    const bundle = stage.makeBundle();
    for (const to of [1, 2, 3]) proposeAt(stage, to, bundle, to * 100);
    stage.pass();
    expect([1, 2, 3].flatMap((id) => stage.votes(id, "commit"))).toEqual([]);
  });

  test("§4.6: a faulty primary's value is refused, and the primary replaced: far from the backups' clocks, ahead or behind", () => {
    for (const ms of [60_000, -60_000]) {
      const stage = new Recorded(4);
      const bundle = stage.makeBundle();
      for (const to of [1, 2, 3]) proposeAt(stage, to, bundle, ms);
      stage.pass();
      expect([1, 2, 3].flatMap((id) => stage.votes(id, "prepare"))).toEqual([]);
      for (const id of [1, 2, 3]) stage.tick(id, 10);
      stage.pass();
      expect(stage.views()).toEqual(["1", "1", "1", "1"]);
    }
  });

  test("§4.6: a value accepted once is not judged again when a new view carries it over", () => {
    const stage = new Recorded(4);
    const bundle = stage.makeBundle();
    for (const to of [1, 2, 3]) proposeAt(stage, to, bundle, 1_500);
    stage.pass(({ message }) => message.type !== "votes" || message.signed.body.votes[0]?.phase === "prepare");
    stage.drop();
    stage.suspect([0]);
    stage.pass();
    expect(stage.views()).toEqual(["1", "1", "1", "1"]);
    expect(times(stage, 2)[0]).toBe(1_500);
  });
});
