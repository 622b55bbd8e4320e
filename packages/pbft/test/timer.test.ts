/** Timers in ticks: when the primary is suspected, when a view is given up (liveness rules). */
import { describe, expect, test } from "vitest";
import { type Input, rejection, replicaId, seqNum } from "@narses/core";
import { acts, batchOf, bench, type Bench, bundle, configOf, decideSlot, leaving, newViewOf, prePrepare, statusOf, types, viewChangeOf } from "./helpers.ts";

/** A reason to leave view 0 that is no timeout. */
const MISBEHAVIOUR: Input = { type: "misbehaviour", replica: replicaId(0), rejection: rejection("SIGNATURE_INVALID", "forged") };
const suspected = (b: Bench): boolean => !b.status().active;

describe("request timer", () => {
  test("a backup suspects the primary when its oldest bundle is requestTimeoutTicks old, not before", () => {
    const b = bench(configOf(1));
    b.request("a");
    expect(b.tick(9)).toEqual([]);
    expect(acts(b.tick())).toEqual(leaving(1));
  });

  test("is patient while the view executes what it proposes: up to eight timeouts for the oldest bundle", () => {
    const b = bench(configOf(1, 4, { logWindow: 64 }));
    b.request("starved");
    for (let n = 1; n <= 15; n++) {
      b.tick(5);
      decideSlot(b, 1, 0, n, batchOf(`other ${n}`));
    }
    expect(suspected(b)).toBe(false);
    b.tick(4);
    expect(suspected(b)).toBe(false);
    b.tick();
    expect(suspected(b)).toBe(true);
  });

  test("progress that stops ends the patience one timeout later", () => {
    const b = bench(configOf(1));
    b.request("a");
    b.tick(8);
    decideSlot(b, 1, 0, 1, batchOf("other"));
    b.tick(9);
    expect(suspected(b)).toBe(false);
    b.tick();
    expect(suspected(b)).toBe(true);
  });

  test("no patience with a primary that lets hundreds of later arrivals overtake", () => {
    const names = Array.from({ length: 257 }, (_, i) => `later ${i}`);
    const b = bench(configOf(1));
    b.request("starved");
    for (const name of names) b.request(name);
    b.tick(8);
    decideSlot(b, 1, 0, 1, batchOf(...names));
    b.tick(1);
    expect(suspected(b)).toBe(false);
    b.tick();
    expect(suspected(b)).toBe(true);
  });

  test("stops when the bundle is executed", () => {
    const b = bench(configOf(1));
    b.request("a");
    b.tick(6);
    decideSlot(b, 1, 0, 1, batchOf("a"));
    expect(b.tick(20)).toEqual([]);
  });

  test("a proposed slot that is not executed counts too", () => {
    const b = bench(configOf(1));
    b.from(0, prePrepare(0, 1, batchOf("a")));
    b.tick(9);
    expect(suspected(b)).toBe(false);
    b.tick();
    expect(suspected(b)).toBe(true);
  });

  test("nothing owed, no suspicion", () => {
    expect(bench(configOf(1)).tick(100)).toEqual([]);
  });

  test("the primary does not suspect itself", () => {
    const b = bench(configOf(0));
    b.request("a");
    b.tick(100);
    expect(suspected(b)).toBe(false);
  });

  test("does not run while the view is being changed", () => {
    const b = bench(configOf(2));
    b.request("a");
    b.tick(10);
    expect(b.status().view).toBe(1);
    b.tick(100);
    expect(b.status().view).toBe(1);
  });

  test("entering a view restarts it: the new primary owes what waits, from now on", () => {
    const b = bench(configOf(2));
    b.request("a");
    b.step(MISBEHAVIOUR);
    const entered = b.from(1, { type: "new-view", signed: newViewOf(1, [0, 1, 3].map((id) => viewChangeOf(id, 1))) });
    expect(entered).toContainEqual({ type: "send", to: 1, message: { type: "forward", bundle: bundle("a") } });
    b.tick(9);
    expect(suspected(b)).toBe(false);
    b.tick();
    expect(b.status().view).toBe(2);
  });

  test("a view left by timeout without any progress doubles the timeouts: perhaps the network is slower than they are", () => {
    const b = bench(configOf(2));
    b.request("a");
    b.tick(10);
    b.from(1, { type: "new-view", signed: newViewOf(1, [0, 1, 3].map((id) => viewChangeOf(id, 1))) });
    b.tick(19);
    expect(suspected(b)).toBe(false);
    b.tick();
    expect(b.status().view).toBe(2);
  });
});

describe("lost connection to the primary", () => {
  test("shortens the timer to disconnectTimeoutTicks, counted from the loss", () => {
    const b = bench(configOf(1));
    b.request("a");
    b.tick(5);
    b.peer(0, false);
    b.tick(3);
    expect(suspected(b)).toBe(false);
    b.tick();
    expect(suspected(b)).toBe(true);
  });

  test("is nothing while nothing is owed, and nothing after reconnection", () => {
    const b = bench(configOf(1));
    b.peer(0, false);
    b.tick(50);
    expect(suspected(b)).toBe(false);
    b.peer(0, true);
    b.request("a");
    b.tick(9);
    expect(suspected(b)).toBe(false);
  });

  test("of another backup is nothing", () => {
    const b = bench(configOf(1));
    b.request("a");
    b.peer(2, false);
    b.tick(9);
    expect(suspected(b)).toBe(false);
  });
});

describe("new-view timer", () => {
  const left = (): Bench => {
    const b = bench(configOf(2));
    b.request("a");
    b.step(MISBEHAVIOUR);
    b.own(viewChangeOf(2, 1));
    return b;
  };
  const quorum = (b: Bench, v: number): void => {
    for (const id of [0, 3]) b.from(id, { type: "view-change", signed: viewChangeOf(id, v) });
  };

  test("starts when Q VIEW-CHANGEs are held, not with the own one", () => {
    const b = left();
    b.tick(50);
    expect(b.status().view).toBe(1);
    quorum(b, 1);
    b.tick(7);
    expect(b.status().view).toBe(1);
    expect(acts(b.tick())).toEqual(leaving(2));
  });

  test("doubles with each failed view, up to the cap", () => {
    const b = bench(configOf(6, 7));
    b.step(MISBEHAVIOUR);
    const waits: number[] = [];
    for (let v = 1; v <= 5; v++) {
      for (const id of [0, 1, 2, 3]) b.from(id, { type: "view-change", signed: viewChangeOf(id, v) });
      b.own(viewChangeOf(6, v));
      let ticks = 0;
      for (; b.status().view === v && ticks < 1_000; ticks++) b.tick();
      waits.push(ticks);
    }
    expect(waits).toEqual([8, 16, 32, 64, 64]);
  });

  test("scales the request timer of the view that begins; progress by that view shortens it again", () => {
    const b = left();
    quorum(b, 1);
    b.tick(8);
    expect(b.status().view).toBe(2);
    b.from(3, { type: "new-view", signed: newViewOf(3, [0, 1, 3].map((id) => viewChangeOf(id, 3))) });
    b.tick(19);
    expect(suspected(b)).toBe(false);
    decideSlot(b, 2, 3, 1, batchOf("x"));
    b.tick(9);
    expect(suspected(b)).toBe(false);
    b.tick();
    expect(suspected(b)).toBe(true);
  });

  test("status names the timer that runs", () => {
    const b = left();
    quorum(b, 1);
    expect(b.status().waitingFor.join("; ")).toContain("new-view timer of view 1: 8 ticks left");
    expect(types(b.tick(8))).toContain("view-change");
  });
});

describe("a replica that knows itself far behind", () => {
  const claims = (ids: readonly number[]): Bench => {
    const b = bench(configOf(1));
    b.request("a");
    for (const id of ids) b.from(id, statusOf({ executedSeq: seqNum(40) }));
    b.tick(30);
    return b;
  };

  test("does not blame the primary for what is late because of itself", () => {
    expect(suspected(claims([2, 3]))).toBe(false);
  });

  test("takes the word of W peers for it, not of fewer", () => {
    expect(suspected(claims([3]))).toBe(true);
  });
});
