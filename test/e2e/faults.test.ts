/**
 * Faults that only real processes, real sockets and real time have: a primary that is stopped and goes on, a replica far away,
 * links that come and go. NARSES_E2E=full: the timeouts of production, more operations, and figures.
 */
import { describe, expect, test } from "vitest";
import { DEFAULT_PARAMETERS, TICK_MS, type EngineStatus, type Parameters } from "@narses/core";
import { FaultProxy } from "./fault-proxy.ts";
import { freePorts, makeHomes } from "./homes.ts";
import { Seats, until } from "./seats.ts";

const FULL = process.env["NARSES_E2E"] === "full";
const N = 4;
const REQUEST_TIMEOUT_TICKS = FULL ? DEFAULT_PARAMETERS.requestTimeoutTicks : 40;
const TIMES = 10;
const PARAMETERS: Partial<Parameters> = FULL ? {} : {
  checkpointInterval: 16, logWindow: 32, requestTimeoutTicks: REQUEST_TIMEOUT_TICKS, disconnectTimeoutTicks: 30, viewChangeTimeoutTicks: 30, backoffExponentMax: 4,
};
const TIMEOUT_MS = 180_000;

interface Scene {
  readonly seats: Seats;
  readonly proxy: FaultProxy;
}

/** Replicas 1 … 3 in this process, which keeps what it hears; replica 0 in its own. All reach each other through proxies. */
async function scene(parameters: Partial<Parameters> = PARAMETERS): Promise<Scene> {
  const base = await freePorts(N * N);
  const listen = Array.from({ length: N }, (_, i) => base + i);
  const proxy = await FaultProxy.open(listen, base + N);
  const seats = await Seats.of(await makeHomes({ listen, parameters }), proxy);
  return { seats, proxy };
}

async function filled({ seats }: Scene): Promise<void> {
  const child = seats.spawn(0);
  await Promise.all([1, 2, 3].map((id) => seats.seat(id)));
  await child.ready;
  await seats.add();
}

/** Acknowledged once, one head, one chain that verifies, nobody contradicted himself. */
async function expectWhole(seats: Seats): Promise<void> {
  expect(await seats.acknowledged()).toEqual(Array.from({ length: seats.submitted }, (_, i) => i + 1));
  const head = await seats.oneHead();
  expect(await seats.verifiedChain(1, head.seq)).toBe(head.block);
  expect(seats.contradictions).toEqual([]);
}

/** So many operations by eight clients' worth of concurrency; how many a second. */
async function load(seats: Seats, operations: number): Promise<number> {
  const startedMs = performance.now();
  await Promise.all(Array.from({ length: 8 }, async () => {
    for (let i = 0; i < operations / 8; i++) await seats.add();
  }));
  return (operations * 1_000) / (performance.now() - startedMs);
}

const figure = (text: string): void => void (FULL && process.stdout.write(`${text}\n`));

async function staged(run: (scene: Scene) => Promise<void>, parameters?: Partial<Parameters>): Promise<void> {
  const it = await scene(parameters);
  try {
    await filled(it);
    await run(it);
  } finally {
    await it.seats.stop();
  }
}

describe("faults among real processes", () => {
  test("SIGSTOP of the primary for ten times the timeout, then SIGCONT: the service goes on, and the old primary with it", () => staged(async ({ seats }) => {
    const primary = seats.child(0);
    primary.process.kill("SIGSTOP");
    const pausedAtMs = performance.now();
    while (performance.now() - pausedAtMs < TIMES * REQUEST_TIMEOUT_TICKS * TICK_MS) await seats.add();
    const { view } = seats;
    expect(view).toBeGreaterThanOrEqual(1);
    figure(`primary stopped for ${TIMES} timeouts of ${REQUEST_TIMEOUT_TICKS * TICK_MS} ms: ${seats.submitted} operations meanwhile, view ${view}`);
    const resumedAtMs = performance.now();
    primary.process.kill("SIGCONT");
    await until("the old primary in the new view", async () => {
      const engine = (await seats.told(0))?.engine;
      return engine?.active === true && engine.view >= view;
    });
    figure(`the old primary is in the new view ${(performance.now() - resumedAtMs).toFixed(0)} ms after it goes on`);
    await seats.add();
    await expectWhole(seats);
  }), TIMEOUT_MS);

  test("one replica 300 ms away, each way: nobody changes the view for it, and it keeps up", () => staged(async ({ seats, proxy }) => {
    const operations = FULL ? 8_000 : 200;
    const near = await load(seats, operations);
    proxy.set((from, to) => from === 3 || to === 3, { delayMs: 300 });
    const far = await load(seats, operations);
    figure(`one replica 300 ms away: ${near.toFixed(0)} operations a second before, ${far.toFixed(0)} with it`);
    await expectWhole(seats);
    const all = await Promise.all([0, 1, 2, 3].map((id) => seats.status(id)));
    expect(all.map(({ counters, engine }) => [counters.viewChanges, engine.view])).toEqual([[0, 0], [0, 0], [0, 0], [0, 0]]);
  }, { ...PARAMETERS, requestTimeoutTicks: 300 }), TIMEOUT_MS);

  test("all links lost but those of the primary, until everybody has asked for another view in vain; then healed: it goes on (Fabric 1917)", () => staged(async ({ seats, proxy }) => {
    proxy.set((from, to) => from !== 0 && to !== 0, { cut: true });
    const waiting = seats.add();
    waiting.catch(() => undefined); // judged below
    await until("every backup has left view 0", () => seats.seated.every((replica) => replica.status().engine.view > 0));
    // Their messages are lost to each other; now the primary is cut off as well, and all of them go further, alone.
    proxy.set(() => true, { cut: true });
    // Another one waits, should the first have got through by relays.
    const alone = seats.add();
    alone.catch(() => undefined);
    // A primary does not suspect itself: whoever is one in its own view stays there, alone.
    const isAlone = ({ active, primary }: EngineStatus, id: number): boolean => !active || primary === id;
    await until("nobody follows a primary", () => seats.seated.every((replica) => isAlone(replica.status().engine, replica.status().replica)));
    const before = seats.view;
    proxy.heal();
    const healedAtMs = performance.now();
    await Promise.all([waiting, alone]);
    figure(`deadlock of Fabric 1917: an operation that waited is executed ${(performance.now() - healedAtMs).toFixed(0)} ms after the links are back, in view ${seats.view}`);
    // One view change brings them together again; a second one if its primary is the one that was slowest to reconnect.
    expect(seats.view).toBeLessThanOrEqual(before + 2);
    await seats.add();
    await expectWhole(seats);
  }), TIMEOUT_MS);

  test("a link that damages bytes, one that stalls, one that drops its connections: noise notices, links are made again, nothing is lost", () => staged(async ({ seats, proxy }) => {
    for (let round = 0; round < 3; round++) {
      proxy.link(1, 2).set({ corrupt: 1 });
      proxy.link(2, 3).set({ stalled: true });
      proxy.link(3, 1).set({ cut: true });
      for (let i = 0; i < 5; i++) await seats.add();
      await until("bytes damaged", async () => {
        await seats.add();
        return proxy.link(1, 2).corrupt === 0;
      });
      proxy.heal();
    }
    await seats.add();
    await expectWhole(seats);
  }), TIMEOUT_MS);
});
