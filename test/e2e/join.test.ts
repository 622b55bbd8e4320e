/**
 * A replica with an empty disk joins a cluster that has a large state and goes on working, while one donor serves damaged pages
 * and another stops answering half-way. NARSES_E2E=full: 200 000 accounts, and figures; and a state of NARSES_E2E_STATE_MB
 * (1 024), which neither who gives nor who takes holds in memory.
 */
import { readFileSync } from "node:fs";
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
    const { counters, lastTransfer } = await seats.status(JOINER);
    expect(lastTransfer?.reason).toBe("behind");
    expect(pages).toBeGreaterThan(1_000);
    expect(served.corrupt).toBeGreaterThan(0);
    expect(served.stalled).toBeGreaterThan(STALLS_AFTER);
    expect(counters.rejected).toMatchObject({ STATE_INVALID: expect.any(Number) as number });
    expect(await seats.acknowledged()).toEqual(Array.from({ length: seats.submitted }, (_, i) => i + 1));
    expect(seats.contradictions).toEqual([]);
    expect((await seats.status(0)).head.stateRoot).toBe(head.stateRoot);
    // The blocks before the state come afterwards.
    await until("the joiner to have every block", async () => (await seats.status(JOINER)).backfill === null);
    const filledSeconds = (performance.now() - startedMs) / 1_000;
    expect(await seats.verifiedChain(JOINER, head.seq)).toBe(head.block);
    if (FULL) {
      process.stdout.write(`${ACCOUNTS} accounts: a state of ${pages} pages, ${seconds.toFixed(1)} s from start to caught up, ${operations} operations meanwhile; every block of ${head.seq} here after ${filledSeconds.toFixed(1)} s\n`);
    }
  } finally {
    await seats.stop();
  }
}, TIMEOUT_MS);

const STATE_MB = Number(process.env["NARSES_E2E_STATE_MB"] ?? 1_024);
/** Records of 16 KiB, 64 in an operation. */
const RECORD_BYTES = 16 << 10;
const RECORDS_PER_MB = 64;
/** More than any of them needs, however large the state: chunks on their way, LevelDB's buffers and garbage. Measured: the joiner grows by 190 MB for a state of 128 MB, by 233 for 1 024. */
const GROWTH_MB_MAX = 300;
/** It takes minutes. */
const LONG_POLL_MS = 100;

/** Memory of its own that a process has in use, of Linux. Files that LevelDB maps are not counted: they are the system's cache, and are dropped when memory is short. */
function memoryMb(pid: number | undefined): number {
  const kb = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Math.round(Number(kb) / 1_024);
}

if (FULL) test(`a state of ${STATE_MB} MB goes from disk to disk`, async () => {
  const base = await freePorts(N);
  const listen = Array.from({ length: N }, (_, i) => base + i);
  const patience = { requestTimeoutTicks: 6_000, disconnectTimeoutTicks: 6_000 };
  const seats = await Seats.of(await makeHomes({ listen, parameters: { checkpointInterval: 32, logWindow: 64, ...patience } }));
  const pidOf = (id: number): number | undefined => seats.child(id).process.pid;
  const donors = [0, 1, 2];
  try {
    await Promise.all(donors.map((id) => seats.spawn(id).ready));
    for (let mb = 0; mb < STATE_MB; mb++) await seats.add({ first: mb * RECORDS_PER_MB, count: RECORDS_PER_MB, bytes: RECORD_BYTES });
    for (let i = 0; i < 128; i++) await seats.add();
    const before = donors.map((id) => memoryMb(pidOf(id)));
    await seats.spawn(JOINER).ready;
    before.push(memoryMb(pidOf(JOINER)));
    const most = [...before];
    await until("the state to be taken over", async () => {
      for (const id of [...donors, JOINER]) most[id] = Math.max(most[id] ?? 0, memoryMb(pidOf(id)));
      return (await seats.told(JOINER))?.lastTransfer?.seq !== undefined;
    }, LONG_POLL_MS);
    const transfer = (await seats.status(JOINER)).lastTransfer;
    const head = await seats.oneHead();
    process.stdout.write(`a state of ${Math.round((transfer?.bytes ?? 0) / 2 ** 20)} MB in ${transfer?.pages} pages was taken over in ${Math.round((transfer?.milliseconds ?? 0) / 1_000)} s; ` +
      `memory: donors ${before.slice(0, 3).join(", ")} MB before and at most ${most.slice(0, 3).join(", ")} MB, the joiner ${before[JOINER]} MB and at most ${most[JOINER]} MB\n`);
    expect(transfer?.bytes).toBeGreaterThan(0.9 * STATE_MB * 2 ** 20);
    expect((await seats.status(0)).head.stateRoot).toBe(head.stateRoot);
    for (const [id, mb] of before.entries()) expect((most[id] ?? Infinity) - mb).toBeLessThan(GROWTH_MB_MAX);
  } finally {
    await seats.stop();
  }
}, 1_200_000);
