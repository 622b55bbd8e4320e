/**
 * A replica with an empty disk joins a cluster that has a large state and goes on working, while one donor serves damaged pages
 * and another stops answering half-way. NARSES_E2E=full: 200 000 accounts, and figures.
 */
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { freePorts, makeHomes } from "./homes.ts";
import { Seats, until } from "./seats.ts";

const FULL = process.env["NARSES_E2E"] === "full";
const ACCOUNTS = FULL ? 200_000 : 5_000;
const ACCOUNTS_PER_OPERATION = 1_000;
const N = 4;
const JOINER = 3;
const CORRUPTS = 1;
const STALLS = 2;
/** Answers the stalling donor gives before it falls silent. */
const STALLS_AFTER = 2;
/** So many operations are executed before it joins: more than the others keep in their logs. */
const INTERVAL = FULL ? 128 : 32;
const BEFORE = 4 * INTERVAL + 12;
/** A donor keeps two checkpoints: on a machine that does everything at once, each must live for some seconds. */
const LOAD_PAUSE_MS = FULL ? 10 : 100;
const TIMEOUT_MS = FULL ? 600_000 : 180_000;

test(`an empty disk joins ${ACCOUNTS} accounts under load, with a donor that corrupts and one that stalls`, async () => {
  const base = await freePorts(N);
  const listen = Array.from({ length: N }, (_, i) => base + i);
  const seats = await Seats.of(await makeHomes({ listen, parameters: { checkpointInterval: INTERVAL, logWindow: 2 * INTERVAL, requestTimeoutTicks: 1_000, disconnectTimeoutTicks: 1_000 } }));
  try {
    const served = { corrupt: 0, stalled: 0 };
    let joined = false;
    seats.tamper = (message, frame, from, to) => {
      // So few slots could be executed again instead: none of the decisions arrives before the state does.
      if (to === JOINER && !joined && message.type === "decision") return undefined;
      if (to !== JOINER || (message.type !== "state-pages" && message.type !== "state-nodes")) return frame;
      if (from === STALLS && ++served.stalled > STALLS_AFTER) return undefined;
      if (from !== CORRUPTS || message.type !== "state-pages") return frame;
      served.corrupt++;
      const pages = message.pages.map((page) => ({ ...page, bytes: page.bytes.map((byte) => byte ^ 1) }));
      return seats.codec.encodePeer({ ...message, pages });
    };
    await Promise.all([0, 1, 2].map((id) => seats.seat(id)));
    for (let first = 0; first < ACCOUNTS; first += ACCOUNTS_PER_OPERATION) await seats.add({ first, count: ACCOUNTS_PER_OPERATION });
    for (let i = 0; i < BEFORE; i++) await seats.add();

    const startedMs = performance.now();
    const child = seats.spawn(JOINER);
    await child.ready;
    // The load goes on all the while: it opens accounts again, so that the state changes under the transfer.
    let caughtUp = false;
    let pages = 0;
    const load = (async (): Promise<number> => {
      let operations = 0;
      for (; !caughtUp; operations++) {
        await seats.add({ first: (operations * 7) % ACCOUNTS, count: 10 });
        await delay(LOAD_PAUSE_MS);
      }
      return operations;
    })();
    load.catch(() => undefined); // awaited below
    try {
      await until("the transfer to end", async () => {
        if (child.gone()) throw new RangeError(`the joiner ended: ${(await child.ended).said}`);
        const told = await seats.told(JOINER);
        pages = Math.max(pages, told?.transfer?.pagesTotal ?? 0, told?.lastTransfer?.pages ?? 0);
        joined = told !== undefined && told.lastTransfer !== null;
        return joined && (told?.behind ?? Infinity) <= INTERVAL;
      });
    } finally {
      caughtUp = true;
    }
    const operations = await load;
    const seconds = (performance.now() - startedMs) / 1_000;
    const head = await seats.oneHead();
    const { counters, blockGaps, lastTransfer } = await seats.status(JOINER);
    expect(lastTransfer?.reason).toBe("behind");
    expect(pages).toBeGreaterThan(1_000);
    expect(blockGaps.length).toBeGreaterThan(0);
    expect(served.corrupt).toBeGreaterThan(0);
    expect(served.stalled).toBeGreaterThan(STALLS_AFTER);
    expect(counters.rejected).toMatchObject({ STATE_INVALID: expect.any(Number) as number });
    expect(await seats.acknowledged()).toEqual(Array.from({ length: seats.submitted }, (_, i) => i + 1));
    expect(seats.contradictions).toEqual([]);
    expect((await seats.status(0)).head.stateRoot).toBe(head.stateRoot);
    if (FULL) {
      process.stdout.write(`${ACCOUNTS} accounts: a state of ${pages} pages, ${seconds.toFixed(1)} s from start to caught up, ${operations} operations meanwhile\n`);
    }
  } finally {
    await seats.stop();
  }
}, TIMEOUT_MS);
