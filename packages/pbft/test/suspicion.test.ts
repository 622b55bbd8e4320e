/** Watching the primary: each rule of suspicion.ts, what it must not take for a fault, and how long each fault lasts at most. */
import { describe, expect, test } from "vitest";
import { type Bundle, type Digest, mintVerified, seqNum, verdict } from "@narses/core";
import { acts, batchOf, bench, type Bench, bundle, commit, configOf, decideSlot, EPOCH, frameOf, leaving, makeBatch, newViewOf, prePrepare, viewChangeOf, vote, WALL_MS } from "./helpers.ts";
import { Net, type Delay } from "./net.ts";

const suspected = (b: Bench): boolean => !b.status().active;

describe("just under the timeout: a primary that lets everything wait", () => {
  const T = 20;
  const LATE = 16;
  const parameters = { requestTimeoutTicks: T, proposalDelayTicksMax: 8, checkpointInterval: 8, logWindow: 32, pipelineDepth: 4 };
  /** Client requests one after the other, each to all; how many are executed within `ticks`. */
  const serve = (net: Net, ticks: number, prefix: string): number => {
    let done = 0;
    for (let passed = 0; passed < ticks; done++) {
      net.request(`${prefix}${done}`);
      passed += net.run(ticks - passed, () => net.ids.every((id) => net.has(id, `${prefix}${done}`)));
    }
    return done;
  };
  const lateFrom = (primaries: readonly number[]): Delay => ({ from, message }) => (primaries.includes(from) && message.type === "pre-prepare" ? LATE : 1);

  test("is replaced within 8 proposals, 8·T at most, and nobody is blamed", () => {
    const net = new Net({ parameters, delay: lateFrom([0]) });
    serve(net, 8 * T, "a");
    expect(net.ids.map((id) => net.view(id))).toEqual([1, 1, 1, 1]);
    expect(net.effects.filter(({ effect }) => effect.type === "rejected" && verdict(effect.rejection) === "misbehaviour")).toEqual([]);
    expect(serve(net, 100, "b")).toBeGreaterThan(15);
  });

  test("so is the next one, and the one after: f of them in a row cost f times as much, and k does not grow", () => {
    const net = new Net({ n: 7, parameters, delay: lateFrom([0, 1]) });
    serve(net, 2 * 8 * T * 2, "a");
    expect(net.ids.map((id) => net.view(id))).toEqual([2, 2, 2, 2, 2, 2, 2]);
    net.down.add(2);
    net.request("x", [3, 4, 5, 6]);
    expect(net.run(10 * T, () => net.has(3, "x"))).toBeLessThan(2 * T);
  });

  test("a slow network is not: proposals may take eight times what the others take to commit", () => {
    const net = new Net({ parameters: { ...parameters, requestTimeoutTicks: 200 }, delay: () => 10 });
    expect(serve(net, 1_000, "a")).toBeGreaterThan(20);
    expect(net.view(1)).toBe(0);
  });

  test("nor is a primary whose pipeline is full, however long others wait", () => {
    const b = bench(configOf(1, 4, { logWindow: 64, checkpointInterval: 32, requestTimeoutTicks: 1_000, proposalDelayTicksMax: 2, pipelineDepth: 1 }));
    for (let n = 1; n <= 20; n++) {
      b.request(`w${n}`);
      b.from(0, prePrepare(0, n, batchOf(`w${n}`)));
      b.request(`w${n + 1}`);
      b.tick(5);
      for (const id of [0, 2, 3]) b.from(id, commit(id, 0, n, batchOf(`w${n}`).digest));
      b.executed(n);
    }
    expect(suspected(b)).toBe(false);
  });

  test("can be switched off", () => {
    const net = new Net({ parameters: { ...parameters, proposalDelayTicksMax: 0 }, delay: lateFrom([0]) });
    serve(net, 8 * T, "a");
    expect(net.view(1)).toBe(0);
  });
});

describe("gap: slots left out", () => {
  const at = (): Bench => bench(configOf(1, 4, { requestTimeoutTicks: 1_000, statusIntervalTicks: 2 }));

  test("a slot half a window below the highest proposal is missed for 4 status intervals: the primary is left", () => {
    const b = at();
    b.from(0, prePrepare(0, 2, batchOf("b")));
    b.from(0, prePrepare(0, 3, batchOf("c")));
    b.tick(8);
    expect(suspected(b)).toBe(false);
    expect(acts(b.tick())).toEqual(leaving(1));
  });

  test("less than half a window, or a proposal that was only late, is nothing", () => {
    const b = at();
    b.from(0, prePrepare(0, 2, batchOf("b")));
    b.tick(20);
    b.from(0, prePrepare(0, 3, batchOf("c")));
    b.tick(8);
    b.from(0, prePrepare(0, 1, batchOf("a")));
    b.tick(20);
    expect(suspected(b)).toBe(false);
  });

  test("what others decided was proposed to them", () => {
    const b = at();
    b.from(0, prePrepare(0, 2, batchOf("b")));
    b.from(0, prePrepare(0, 3, batchOf("c")));
    for (const id of [0, 2, 3]) b.from(id, commit(id, 0, 1, batchOf("a").digest));
    b.tick(20);
    expect(suspected(b)).toBe(false);
  });

  test("proposals above H count: a primary that runs to H at once and beyond leaves the window with holes", () => {
    const b = at();
    b.from(0, prePrepare(0, 8, batchOf("h")));
    b.tick(9);
    expect(suspected(b)).toBe(true);
  });
});

describe("fairness", () => {
  const parameters = { logWindow: 64, checkpointInterval: 32, overtakenBundlesMax: 5 };

  test("a bundle that bundles of other clients overtake: those that never came here before they were proposed count too", () => {
    const b = bench(configOf(1, 4, parameters));
    b.request("starved");
    for (let n = 1; n <= 6; n++) {
      b.tick(1);
      decideSlot(b, 1, 0, n, batchOf(`unheard ${n}`));
    }
    b.tick(3);
    expect(suspected(b)).toBe(false);
    b.tick(1);
    expect(suspected(b)).toBe(true);
  });

  test("the oldest one is what the timer runs on, however young the others are that wait", () => {
    const b = bench(configOf(1, 4, parameters));
    b.request("starved");
    for (let n = 1; n <= 9; n++) {
      b.request(`young ${n}`);
      b.tick(1);
      decideSlot(b, 1, 0, n, batchOf(`young ${n}`));
    }
    expect(suspected(b)).toBe(false);
    b.request("young 10");
    b.tick(1);
    expect(suspected(b)).toBe(true);
  });

  test("the same client's later bundles do not count: in which order it sent them is its own affair", () => {
    const own = (name: string): Bundle => ({ ...bundle(name), client: bundle("starved").client });
    const b = bench(configOf(1, 4, parameters));
    b.request("starved");
    for (let n = 1; n <= 6; n++) {
      b.tick(1);
      b.step({ type: "request", bundle: mintVerified(own(`own ${n}`)) });
      decideSlot(b, 1, 0, n, makeBatch(EPOCH, WALL_MS, [own(`own ${n}`)]));
    }
    b.tick(9);
    expect(suspected(b)).toBe(false);
  });

  test("what was ordered before the primary was told of a bundle, a large one, overtook nothing", () => {
    const own = (name: string): Bundle => ({ ...bundle(name), client: bundle("large").client });
    const b = bench(configOf(1, 4, { ...parameters, largeBundleBytes: 1 }));
    b.request("large");
    b.tick(1);
    for (let n = 1; n <= 6; n++) decideSlot(b, 1, 0, n, batchOf(`unheard ${n}`));
    for (let n = 7; n <= 36; n++) {
      b.tick(1);
      decideSlot(b, 1, 0, n, makeBatch(EPOCH, WALL_MS, [own(`own ${n}`)]));
    }
    expect(suspected(b)).toBe(false);
  });

  test("a second view left although it made progress is twice as patient: changing views helps no overload", () => {
    const b = bench(configOf(2, 4, { logWindow: 64, checkpointInterval: 32 }));
    b.request("starved");
    let ticks = 0;
    const busy = (v: number, first: number): number => {
      for (ticks = 0; b.status().view === v; ticks++) {
        b.tick();
        if (ticks % 5 === 0 && b.status().view === v) decideSlot(b, 2, v, first + ticks / 5, batchOf(`${v}/${ticks}`));
      }
      return ticks;
    };
    expect(busy(0, 1)).toBe(80);
    b.from(1, { type: "new-view", signed: newViewOf(1, [0, 1, 3].map((id) => viewChangeOf(id, 1))) });
    expect(busy(1, 17)).toBe(160);
  });
});

describe("carry-over", () => {
  test("executing what NEW-VIEW carried over is progress: a primary with a window to settle gets its time", () => {
    const b = bench(configOf(2, 4, { logWindow: 64, checkpointInterval: 32 }));
    const batches = Array.from({ length: 6 }, (_, i) => batchOf(`c${i}`));
    const certificates = batches.map((batch, i) => ({ prePrepare: prePrepareSigned(i + 1, batch.digest), prepares: [1, 3].map((id) => ({ frame: frameOf(id, vote("prepare", 0, i + 1, batch.digest)), index: 0 })) }));
    b.request("waits");
    b.from(1, { type: "new-view", signed: newViewOf(1, [viewChangeOf(0, 1), viewChangeOf(1, 1), viewChangeOf(3, 1, certificates)]) });
    batches.forEach((batch, i) => {
      b.tick(4);
      b.from(0, { type: "batch", batch });
      for (const id of [0, 1, 3]) b.from(id, commit(id, 1, i + 1, batch.digest));
      b.executed(i + 1);
    });
    expect(b.status()).toMatchObject({ view: 1, active: true, executedSeq: 6 });
  });
  const prePrepareSigned = (n: number, digest: Digest): Extract<ReturnType<typeof prePrepare>, { type: "pre-prepare" }>["signed"] => {
    const message = prePrepare(0, n, { ...batchOf("any"), digest });
    if (message.type !== "pre-prepare") throw new RangeError("unreachable");
    return message.signed;
  };
});

describe("heartbeats", () => {
  const parameters = { heartbeatTicks: 20, requestTimeoutTicks: 30 };

  test("an idle primary proposes an empty batch every heartbeat: time advances, and nobody is suspected", () => {
    const net = new Net({ parameters });
    net.run(210);
    expect(net.executed[2]?.length).toBeGreaterThanOrEqual(8);
    expect(net.executed[2]?.every(({ batch }) => batch?.bundles.length === 0)).toBe(true);
    expect(net.view(2)).toBe(0);
  });

  test("a primary that dies is found out with nothing waiting, within a heartbeat and a timeout", () => {
    const net = new Net({ parameters });
    net.run(100);
    net.down.add(0);
    expect(net.run(200, () => net.view(1) === 1)).toBeLessThanOrEqual(20 + 30 + 1);
  });

  test("one that cannot propose, since its window is full, is not silent", () => {
    const b = bench(configOf(1, 4, { ...parameters, statusIntervalTicks: 1_000 }));
    for (let n = 1; n <= 4; n++) decideSlot(b, 1, 0, n, batchOf(`s${n}`));
    b.tick(200);
    expect(suspected(b)).toBe(false);
  });

  test("a flood of empty batches ends the view, twice the pace and some jitter do not", () => {
    const flood = (spacing: number): Bench => {
      const b = bench(configOf(1, 4, { ...parameters, logWindow: 64, checkpointInterval: 32 }));
      for (let n = 1; n <= 30; n++) {
        b.tick(spacing);
        if (suspected(b)) return b;
        decideSlot(b, 1, 0, n, makeBatch(EPOCH, WALL_MS + n, []));
      }
      return b;
    };
    expect(suspected(flood(10))).toBe(false);
    expect(suspected(flood(1))).toBe(true);
  });

  test("off: an idle cluster stays silent and suspects nobody", () => {
    const net = new Net();
    net.run(500);
    expect(net.executed[1]).toEqual([]);
    expect(net.view(1)).toBe(0);
  });
});

describe("rotation", () => {
  test("every view ends after its checkpoints: each replica gets its turn, nothing is lost, nobody suspected, and k stays 0", () => {
    const net = new Net({ parameters: { rotationCheckpoints: 1, checkpointInterval: 4, logWindow: 8 } });
    for (let i = 0; i < 40; i++) {
      net.request(`r${i}`);
      expect(net.run(100, () => net.ids.every((id) => net.has(id, `r${i}`)))).toBeLessThan(20);
    }
    net.agree();
    const entered = net.effects.flatMap(({ id, effect }) => (id === 3 && effect.type === "view-entered" ? [effect.primary] : []));
    expect(new Set(entered)).toEqual(new Set([0, 1, 2, 3]));
    const reasons = net.effects.flatMap(({ effect }) => (effect.type === "view-left" ? [effect.reason] : []));
    expect(reasons.filter((reason) => !/rotation|other replicas moved/.test(reason))).toEqual([]);
  });

  test("a primary slow enough to be allowed lasts one rotation and no longer", () => {
    const late: Delay = ({ from, message }) => (from === 0 && message.type === "pre-prepare" ? 6 : 1);
    const net = new Net({ parameters: { rotationCheckpoints: 1, checkpointInterval: 4, logWindow: 8, proposalDelayTicksMax: 8 }, delay: late });
    for (let i = 0; i < 5; i++) {
      net.request(`r${i}`);
      net.run(100, () => net.ids.every((id) => net.has(id, `r${i}`)));
    }
    expect(net.view(1)).toBe(1);
    expect(net.status(1).executedSeq).toBe(seqNum(5));
  });
});
