/** STATUS: saying where one stands, and answering with what the other lacks. */
import { describe, expect, test } from "vitest";
import { type Effect, NULL_DIGEST, type PeerMessage, type PreparedCertificate, seqNum, type Status, view } from "@narses/core";
import {
  batchOf, bench, type Bench, bundle, checkpointOf, commit, committedOf, configOf, decideSlot, frameOf, newViewOf, preparedOf, prePrepare, prePrepareOf, prepareSlot, rootOf, send, stableOf,
  statusOf, types, viewChangeOf, vote,
} from "./helpers.ts";

const a = batchOf("a");
const parameters = { statusIntervalTicks: 5, requestTimeoutTicks: 1_000 };
const statuses = (effects: readonly Effect[]): readonly Status[] => effects.flatMap((e) => (e.type === "send" && e.message.type === "status" ? [e.message.status] : []));
/** What a STATUS is answered with: messages to the sender. */
const answers = (b: Bench, from: number, fields: Partial<Status>): readonly PeerMessage[] =>
  b.from(from, statusOf(fields)).flatMap((e) => (e.type === "send" && e.to === from ? [e.message] : []));
const flags = (...list: readonly number[]): { readonly slots: Uint8Array } => ({ slots: Uint8Array.from(list) });

describe("saying", () => {
  test("every interval while something is outstanding, ten times more rarely while idle", () => {
    const b = bench(configOf(1, 4, parameters));
    expect(statuses(b.tickAll(100))).toHaveLength(2);
    b.request("a");
    expect(statuses(b.tickAll(50)).length).toBeGreaterThanOrEqual(9);
  });

  test("alone, never", () => {
    const b = bench(configOf(0, 1, parameters));
    b.request("a");
    expect(b.tickAll(100)).toEqual([]);
  });

  test("tells view, watermark, execution, and per slot: proposal with payload, prepared, decided", () => {
    const b = bench(configOf(1, 4, parameters));
    b.from(0, prePrepare(0, 1, a));
    prepareSlot(b, 1, 0, 2, batchOf("b"));
    for (const id of [0, 2, 3]) b.from(id, commit(id, 0, 4, NULL_DIGEST));
    const [status] = statuses(b.tickAll());
    expect(status).toEqual({ view: 0, active: true, stableSeq: 0, executedSeq: 0, slots: Uint8Array.from([1, 3, 0, 4]), viewChanges: new Uint8Array(0) });
  });

  test("while inactive, whose view changes it holds", () => {
    const b = bench(configOf(2, 4, parameters));
    b.from(0, { type: "view-change", signed: viewChangeOf(0, 1) });
    b.from(3, { type: "view-change", signed: viewChangeOf(3, 1) });
    const [status] = statuses(b.tickAll());
    expect([status?.active, status?.view, status?.viewChanges]).toEqual([false, 1, Uint8Array.of(0b1001)]);
  });

  test("on a new connection at once, to that peer; on a lost one nothing", () => {
    const b = bench(configOf(1));
    expect(types(b.peer(2, true))).toEqual(["send"]);
    expect(b.peer(2, true)).toEqual([]);
    expect(b.peer(2, false)).toEqual([]);
  });

  test("asks again for missing payloads, others each time, and relays waiting bundles again", () => {
    const b = bench(configOf(1, 4, parameters));
    for (const id of [0, 2, 3]) b.from(id, commit(id, 0, 1, a.digest));
    const asked = b.tickAll(30).flatMap((e) => (e.type === "send" && e.message.type === "fetch-batch" ? [e.to] : []));
    expect(asked.length).toBeGreaterThanOrEqual(10);
    expect(new Set(asked)).toEqual(new Set([0, 2, 3]));
    b.request("lost");
    expect(b.tickAll(30)).toContainEqual(send(0, { type: "forward", bundle: bundle("lost") }));
  });
});

describe("answering", () => {
  test("one who is up to date gets nothing", () => {
    const b = bench(configOf(1));
    decideSlot(b, 1, 0, 1, a);
    expect(answers(b, 2, { executedSeq: seqNum(1) })).toEqual([]);
  });

  test("an undecided slot: the proposal after a while, and the own votes", () => {
    const b = bench(configOf(1, 4, parameters));
    prepareSlot(b, 1, 0, 1, a);
    const votes = [frameOf(1, vote("prepare", 0, 1, a.digest)), frameOf(1, vote("commit", 0, 1, a.digest))].map((signed) => ({ type: "votes" as const, signed }));
    expect(answers(b, 2, flags(0))).toEqual(votes);
    b.tick(10);
    expect(answers(b, 2, flags(0))).toEqual([{ type: "pre-prepare", signed: prePrepareOf(0, 1, a.digest), batch: a }, ...votes]);
    b.tick(5);
    expect(answers(b, 2, flags(1))).toEqual(votes);
  });

  test("a prepared one needs no PREPARE, a decided one nothing", () => {
    const b = bench(configOf(1, 4, parameters));
    prepareSlot(b, 1, 0, 1, a);
    expect(answers(b, 2, flags(3))).toEqual([{ type: "votes", signed: frameOf(1, vote("commit", 0, 1, a.digest)) }]);
    expect(answers(b, 3, flags(7))).toEqual([]);
  });

  test("a backup that has not prepared does not relay the proposal: it may be one of two", () => {
    const b = bench(configOf(1, 4, parameters));
    b.from(0, prePrepare(0, 1, a));
    b.own(frameOf(1, vote("prepare", 0, 1, a.digest)));
    b.tick(9);
    expect(answers(b, 2, flags(0)).map((m) => m.type)).toEqual(["votes"]);
  });

  test("a frame that serves many slots goes once", () => {
    const b = bench(configOf(1, 4, parameters));
    const c = batchOf("c");
    b.from(0, prePrepare(0, 1, a));
    b.from(0, prePrepare(0, 2, c));
    const frame = frameOf(1, vote("prepare", 0, 1, a.digest), vote("prepare", 0, 2, c.digest));
    b.own(frame);
    expect(answers(b, 2, flags(1, 1))).toEqual([{ type: "votes", signed: frame }]);
  });

  test("at most once per half interval and peer, whatever is claimed", () => {
    const b = bench(configOf(1, 4, { statusIntervalTicks: 10 }));
    prepareSlot(b, 1, 0, 1, a);
    expect(answers(b, 2, flags(0))).not.toEqual([]);
    for (let i = 0; i < 20; i++) expect(answers(b, 2, flags(0))).toEqual([]);
    expect(answers(b, 3, flags(0))).not.toEqual([]);
    b.tick(5);
    expect(answers(b, 2, flags(0))).not.toEqual([]);
  });

  test("decided slots go out of the log with certificate and payload", () => {
    const b = bench(configOf(1, 4, parameters));
    decideSlot(b, 1, 0, 1, a);
    b.tick(20);
    expect(answers(b, 0, {})).toContainEqual({ type: "decision", certificate: committedOf(0, 1, a.digest, [0, 1, 2]), batch: a });
  });

  test("but not while the peer is about to decide the slot itself: its proposal is young, or it says that it has the decision", () => {
    const b = bench(configOf(1, 4, parameters));
    decideSlot(b, 1, 0, 1, a);
    const decisions = (fields: Partial<Status>): number => answers(b, 0, fields).filter((m) => m.type === "decision").length;
    expect(decisions({})).toBe(0);
    b.tick(9);
    expect(decisions({})).toBe(0);
    b.tick(3);
    expect(decisions(flags(4))).toBe(0);
    b.tick(3);
    expect(decisions(flags(3))).toBe(1);
  });

  test("below the log they come out of the block store", () => {
    const b = bench(configOf(1));
    for (const n of [1, 2]) decideSlot(b, 1, 0, n, batchOf(`s${n}`));
    b.checkpointed(2);
    b.from(0, { type: "stable", stable: stableOf(2, [0, 2, 3]) });
    expect(b.from(0, statusOf())).toEqual([
      send(0, { type: "stable", stable: stableOf(2, [0, 2, 3]) }), { type: "send-decisions", to: 0, first: seqNum(1), last: seqNum(2) },
    ]);
  });

  test("the same decided slots are not sent again while they may be on their way", () => {
    const b = bench(configOf(1, 4, parameters));
    decideSlot(b, 1, 0, 1, a);
    const decisions = (): number => answers(b, 0, {}).filter((m) => m.type === "decision").length;
    b.tick(20);
    expect(decisions()).toBe(1);
    b.tick(5);
    expect(decisions()).toBe(0);
    b.tick(15);
    expect(decisions()).toBe(1);
  });

  test("not all replicas answer with decided slots at once, but each does in its turn", () => {
    const served = [0, 2, 3].map((from) => {
      const b = bench(configOf(1, 4, parameters));
      decideSlot(b, 1, 0, 1, a);
      let rounds = 0;
      for (; rounds < 10; rounds++) {
        if (answers(b, from, {}).some((m) => m.type === "decision")) break;
        b.tick(5);
      }
      return rounds;
    });
    expect(Math.max(...served)).toBeLessThan(4);
    expect(served.some((rounds) => rounds > 0)).toBe(true);
  });

  test("the checkpoint proof, and own CHECKPOINTs above it: lost ones must not fill every log for ever", () => {
    const b = bench(configOf(1));
    for (const n of [1, 2]) decideSlot(b, 1, 0, n, batchOf(`s${n}`));
    b.checkpointed(2);
    b.own(checkpointOf(1, 2, rootOf(2)));
    expect(answers(b, 2, { executedSeq: seqNum(2) })).toEqual([{ type: "checkpoint", signed: checkpointOf(1, 2, rootOf(2)) }]);
  });

  test("NEW-VIEW for one in an older view, or waiting for it", () => {
    const b = bench(configOf(2));
    const signed = newViewOf(1, [0, 1, 3].map((id) => viewChangeOf(id, 1)));
    b.from(1, { type: "new-view", signed });
    expect(answers(b, 0, {})).toEqual([{ type: "new-view", signed }]);
    expect(answers(b, 3, { view: view(1), active: false, viewChanges: new Uint8Array(1) })).toEqual([{ type: "new-view", signed }]);
    expect(answers(b, 1, { view: view(1) })).toEqual([]);
  });

  test("while no view is installed: own and relayed VIEW-CHANGEs the other lacks", () => {
    const b = bench(configOf(2, 4, parameters));
    b.from(0, { type: "view-change", signed: viewChangeOf(0, 1) });
    b.from(3, { type: "view-change", signed: viewChangeOf(3, 1) });
    b.own(viewChangeOf(2, 1));
    const vc = (id: number): PeerMessage => ({ type: "view-change", signed: viewChangeOf(id, 1) });
    expect(answers(b, 1, {})).toEqual([vc(0), vc(2), vc(3)]);
    expect(answers(b, 3, { view: view(1), active: false, viewChanges: Uint8Array.of(0b0100) })).toEqual([vc(0)]);
    b.tick(3);
    expect(answers(b, 3, { view: view(1), active: false, viewChanges: Uint8Array.of(0b0101) })).toEqual([]);
  });

  test("one who is ahead is told where this replica stands, so that it can answer", () => {
    const b = bench(configOf(1));
    const [reply] = answers(b, 2, { executedSeq: seqNum(5) });
    expect(reply?.type).toBe("status");
  });

  test("votes of another view are not repeated", () => {
    const b = bench(configOf(2));
    const certificate: PreparedCertificate = preparedOf(0, 1, a.digest, [1, 3]);
    prepareSlot(b, 2, 0, 1, a);
    b.from(1, { type: "new-view", signed: newViewOf(1, [viewChangeOf(0, 1, [certificate]), viewChangeOf(1, 1), viewChangeOf(3, 1)]) });
    expect(answers(b, 3, { view: view(1), ...flags(0) })).toEqual([]);
  });
});
