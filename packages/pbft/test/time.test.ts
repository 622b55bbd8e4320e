/** Timestamps: what a backup accepts, what a primary proposes, and how a replica learns that its own clock is the odd one. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Effect } from "@narses/core";
import { acts, batchOf, bench, type Bench, bundle, codes, commit, configOf, decideSlot, EPOCH, leaving, makeBatch, newViewOf, prepare, prePrepare, preparedOf, viewChangeOf, WALL_MS } from "./helpers.ts";
import { Net } from "./net.ts";

const PRECISION = 500;
const DELAY = 3_000;
const limits = { timestampPrecisionMs: PRECISION, timestampDelayMs: DELAY };
const at = (ms: number, name = "a"): ReturnType<typeof makeBatch> => makeBatch(EPOCH, WALL_MS + ms, [bundle(name)]);
const warnings = (effects: readonly Effect[]): readonly number[] => effects.flatMap((e) => (e.type === "clock-off" ? [e.behindMs] : []));

describe("a fresh proposal", () => {
  test.each([
    [PRECISION, true], [PRECISION + 1, false], [0, true], [-DELAY - PRECISION, true], [-DELAY - PRECISION - 1, false], [86_400_000, false],
  ])("of a time %d ms from the clock here: accepted %s", (ms, accepted) => {
    const b = bench(configOf(1, 4, limits));
    const effects = b.from(0, prePrepare(0, 1, at(ms)));
    expect(codes(effects)).toEqual(accepted ? [] : ["TIMESTAMP_OUT_OF_RANGE"]);
    expect(acts(effects).map((e) => e.type)).toEqual(accepted ? ["persist", "vote"] : []);
    expect(b.status().view).toBe(0);
  });

  test("accepted in [received − delay·2^k − precision, received + precision], for any limits", () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 9_999 }), fc.nat(9_999), fc.integer({ min: -30_000, max: 30_000 }), (precision, delay, ms) => {
      const b = bench(configOf(1, 4, { timestampPrecisionMs: precision, timestampDelayMs: delay }));
      const refused = codes(b.from(0, prePrepare(0, 1, at(ms)))).length > 0;
      expect(refused).toBe(ms > precision || ms < -delay - precision);
    }));
  });

  test("may have been longer on its way after failed views: the allowance for delays doubles with the timeouts, that for clocks does not", () => {
    const b = bench(configOf(2, 4, limits));
    b.request("x");
    b.tick(10);
    b.from(1, { type: "new-view", signed: newViewOf(1, [0, 1, 3].map((id) => viewChangeOf(id, 1))) });
    expect(codes(b.from(1, prePrepare(1, 1, at(PRECISION + 1))))).toEqual(["TIMESTAMP_OUT_OF_RANGE"]);
    expect(codes(b.from(1, prePrepare(1, 1, at(-2 * DELAY - PRECISION))))).toEqual([]);
  });

  test("of an implausible time is owed all the same: the primary that insists on it is replaced after one timeout", () => {
    const b = bench(configOf(1, 4, limits));
    b.from(0, prePrepare(0, 1, at(60_000)));
    b.tick(5);
    b.from(0, prePrepare(0, 1, at(60_000)));
    b.tick(4);
    expect(b.status().view).toBe(0);
    expect(acts(b.tick())).toEqual(leaving(1));
  });
});

test("what a certificate carries over keeps its time, however old or far ahead: it was judged when it was fresh", () => {
  const old = at(-86_400_000);
  const b = bench(configOf(2, 4, limits));
  b.from(1, { type: "new-view", signed: newViewOf(1, [viewChangeOf(0, 1), viewChangeOf(1, 1), viewChangeOf(3, 1, [preparedOf(0, 1, old.digest, [1, 3])])]) });
  expect(b.from(0, { type: "batch", batch: old })).toContainEqual({ type: "vote", vote: expect.objectContaining({ phase: "prepare", digest: old.digest }) as never });
});

test("a primary proposes its own clock, also when it fell: block time is kept from falling by execution", () => {
  const times: number[] = [];
  const b = bench(configOf(0));
  const tickAt = (ms: number): void => void b.step({ type: "tick", wallMs: WALL_MS + ms });
  for (const [i, ms] of [100, 40, 200].entries()) {
    tickAt(ms);
    const effects = b.request(`r${i}`);
    times.push(...effects.flatMap((e) => (e.type === "pre-prepare" && e.batch ? [e.batch.timestampMs - WALL_MS] : [])));
    const [proposed] = effects.flatMap((e) => (e.type === "pre-prepare" && e.batch ? [e] : []));
    if (proposed?.batch === undefined) throw new RangeError("nothing was proposed");
    for (const id of [1, 2, 3]) b.from(id, commit(id, 0, proposed.seq, proposed.digest));
    b.executed(proposed.seq);
  }
  expect(times).toEqual([100, 40, 200]);
});

describe("a replica whose clock is wrong", () => {
  const off = (): Bench => bench(configOf(1, 4, limits));

  /** The others decide slot n, proposed at a time that is refused here. */
  const refuse = (b: Bench, n: number, ms: number): readonly Effect[] => {
    const batch = at(ms, `slot ${n}`);
    b.from(0, prePrepare(0, n, batch));
    const effects = [2, 3].flatMap((id) => b.from(id, prepare(id, 0, n, batch.digest)));
    for (const id of [0, 2, 3]) b.from(id, commit(id, 0, n, batch.digest));
    b.from(3, { type: "batch", batch });
    b.executed(n);
    return effects;
  };

  test("finds out when W others prepare what it refused, again and again: says by how much, once, and `waitingFor` keeps saying it", () => {
    const b = off();
    expect(warnings(refuse(b, 1, 9_000))).toEqual([]);
    b.tick(10);
    expect(warnings(refuse(b, 2, 9_000))).toEqual([9_000]);
    expect(b.status().waitingFor.join("; ")).toContain("clock to be set: it is 9.0 s behind the others");
    expect(warnings(refuse(b, 3, 9_000))).toEqual([]);
    expect(b.status()).toMatchObject({ view: 0, executedSeq: 3 });
  });

  test("says it when decisions come first, and in which direction", () => {
    const b = off();
    for (const n of [1, 2]) {
      const early = at(-9_000, `slot ${n}`);
      for (const id of [2, 3]) b.from(id, commit(id, 0, n, early.digest));
      b.from(0, prePrepare(0, n, early));
      b.from(0, commit(0, 0, n, early.digest));
      b.from(3, { type: "batch", batch: early });
      b.executed(n);
      b.tick(10);
    }
    expect(b.status().waitingFor.join("; ")).toContain("9.0 s ahead of the others");
  });

  test("takes the warning back once it accepts proposals again; the others are followed by decisions meanwhile", () => {
    const b = off();
    for (const n of [1, 2]) {
      refuse(b, n, 9_000);
      b.tick(10);
    }
    expect(b.status().waitingFor.join("; ")).toContain("clock");
    decideSlot(b, 1, 0, 3, batchOf("b"));
    expect(b.status().waitingFor.join("; ")).not.toContain("clock");
  });

  test("a pause of the process is no wrong clock: what waited unread is refused all at once, what is fresh afterwards is accepted", () => {
    const b = off();
    for (const n of [1, 2, 3]) expect(warnings(refuse(b, n, -60_000 + n))).toEqual([]);
    b.tick(2);
    decideSlot(b, 1, 0, 4, batchOf("fresh"));
    b.tick(50);
    expect(b.status().waitingFor.join("; ")).not.toContain("clock");
  });

  test("f others that accept an impossible time prove nothing about the clock here", () => {
    const b = off();
    const lie = at(60_000);
    b.from(0, prePrepare(0, 1, lie));
    expect(warnings(b.from(3, prepare(3, 0, 1, lie.digest)))).toEqual([]);
    expect(b.status().waitingFor.join("; ")).not.toContain("clock");
  });
});

describe("a cluster in which one clock is a minute off", () => {
  const served = (wrong: number): Net => {
    const net = new Net({ parameters: { requestTimeoutTicks: 20, checkpointInterval: 8, logWindow: 32 }, clock: (id) => (id === wrong ? -60_000 : 0) });
    for (let i = 0; i < 6; i++) {
      net.request(`r${i}`);
      expect(net.run(100, () => net.ids.every((id) => net.has(id, `r${i}`)))).toBeLessThan(100);
    }
    return net;
  };
  const warned = (net: Net): ReadonlySet<number> => new Set(net.effects.flatMap(({ id, effect }) => (effect.type === "clock-off" ? [id] : [])));

  test("a backup's: nobody is held up, and that backup alone warns", () => {
    const net = served(3);
    expect(net.view(0)).toBe(0);
    expect(warned(net)).toEqual(new Set([3]));
    expect(net.status(3).waitingFor.join("; ")).toContain("60.0 s behind the others");
  });

  test("the primary's: one view change, and then it finds out as a backup", () => {
    const net = served(0);
    expect(net.view(1)).toBe(1);
    expect(warned(net)).toEqual(new Set([0]));
  });
});

describe("a cluster in which too many clocks are wrong", () => {
  const parameters = { requestTimeoutTicks: 50, viewChangeTimeoutTicks: 50 };

  test("all clocks set back by an hour: served at once", () => {
    let off = 3_600_000;
    const net = new Net({ parameters, clock: () => off });
    net.request("a");
    expect(net.run(30, () => net.has(1, "a"))).toBeLessThan(30);
    off = 0;
    net.run(2);
    net.request("b");
    expect(net.run(30, () => net.ids.every((id) => net.has(id, "b")))).toBeLessThan(30);
    expect(net.ids.map((id) => net.view(id))).toEqual([0, 0, 0, 0]);
  });

  test("half of the clocks an hour off: nothing can be decided, and everybody says why, until they are set right", () => {
    let off = 3_600_000;
    const net = new Net({ parameters, clock: (id) => (id < 2 ? 0 : off) });
    const warned = (): ReadonlySet<number> => new Set(net.effects.flatMap(({ id, effect }) => (effect.type === "clock-off" ? [id] : [])));
    net.request("a");
    expect(net.run(20_000, () => warned().size === 4)).toBeLessThan(20_000);
    expect(net.has(0, "a")).toBe(false);
    for (const id of net.ids) expect(net.status(id).waitingFor.join("; ")).toContain("clocks to be set, here or elsewhere: this replica's is 3");
    off = 0;
    expect(net.run(20_000, () => net.ids.every((id) => net.has(id, "a")))).toBeLessThan(20_000);
    for (const id of net.ids) expect(net.status(id).waitingFor.join("; ")).not.toContain("clock");
  });
});
