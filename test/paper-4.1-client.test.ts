/** PBFT (OSDI'99) §4.1, "The Client". */
import { describe, expect, test } from "vitest";
import { Recorded, words } from "./paper-stage.ts";

describe("PBFT §4.1", () => {
  test("§4.1: a client sends its request to what it believes is the primary, which starts the protocol", () => {
    const stage = new Recorded(4);
    stage.request(0, stage.makeBundle());
    expect(words(stage.acts(0))).toEqual(["persist pre-prepared", "pre-prepare"]);
  });

  test("§4.1: each replica sends its reply to the client itself; f+1 with the same result are proof", () => {
    const stage = new Recorded(4);
    const bundle = stage.order();
    expect(stage.answered.map(([id]) => id).sort()).toEqual([0, 1, 2, 3]);
    expect(new Set(stage.answered.map(([, digest, result]) => `${digest} ${result}`))).toEqual(new Set([`${bundle.digest} 1:1`]));
  });

  test("§4.1: the client broadcasts when it gets no replies in time; a replica that executed the request sends its reply again", () => {
    const stage = new Recorded(4);
    const bundle = stage.order();
    stage.forget();
    for (const id of stage.ids) stage.request(id, bundle);
    stage.pass();
    expect(stage.answered).toHaveLength(4);
    expect(stage.executed(0)).toEqual([]);
  });

  test("§4.1: otherwise, if the replica is not the primary, it relays the request to the primary", () => {
    const stage = new Recorded(4);
    stage.request(2, stage.makeBundle());
    expect(stage.inFlight).toMatchObject([{ from: 2, to: 0, message: { type: "forward" } }]);
    stage.pass();
    expect(stage.ids.map((id) => stage.executed(id))).toEqual([[1], [1], [1], [1]]);
  });

  test("§4.1: if the primary does not multicast the request to the group, it will eventually be suspected by enough replicas to cause a view change", () => {
    const stage = new Recorded(4);
    const bundle = stage.makeBundle();
    for (const id of [1, 2, 3]) {
      stage.request(id, bundle);
      stage.drop(({ message }) => message.type === "forward");
      stage.tick(id, 10);
    }
    stage.pass(({ to }) => to !== 0);
    expect([1, 2, 3].map((id) => stage.executed(id))).toEqual([[1], [1], [1]]);
    expect(stage.shell(1).status().view).toBe(1);
  });

  test("§4.1: exactly-once semantics: a request ordered twice takes effect once", () => {
    const stage = new Recorded(4);
    const bundle = stage.order();
    // A primary that proposes it again: the second execution is a no-op with the same answer.
    for (const to of [1, 2, 3]) stage.propose(0, to, 0, 2, [bundle]);
    stage.pass();
    for (const from of [0, 1, 2, 3]) for (const to of [1, 2, 3]) if (from !== to) stage.vote(from, to, "commit", 0, 2, lastDigest(stage));
    stage.pass();
    expect(stage.executed(1)).toEqual([1, 2]);
    expect(stage.shell(1).stateNow.executedOperations).toBe(1);
    expect(new Set(stage.answered.filter(([id]) => id === 1).map(([, , result]) => result))).toEqual(new Set(["1:1"]));
  });
});

function lastDigest(stage: Recorded): Parameters<Recorded["vote"]>[5] {
  const vote = stage.acts(1).flatMap((e) => (e.type === "vote" && e.vote.seq === 2 ? [e.vote.digest] : [])).at(-1);
  if (vote === undefined) throw new RangeError("replica 1 has not voted in slot 2");
  return vote;
}
