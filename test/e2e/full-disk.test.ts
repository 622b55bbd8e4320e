/**
 * One replica's disk, a small file system of its own, fills up: it stops voting before a write fails and says so on its admin endpoint, the others go on; with space
 * again it catches up, in the same process. Without a reserve it stops, with what to do, and the next start goes on.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { Health } from "@narses/replica";
import { freePorts, makeHomes } from "./homes.ts";
import { Seats, until } from "./seats.ts";

const N = 4;
const FULL = 3;
const RESERVE = 8 << 20;
const DISK = "64m";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

/** False where the system does not let us. */
function mountSmall(directory: string): boolean {
  mkdirSync(directory, { mode: 0o700 });
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${DISK},mode=0700`, "tmpfs", directory], { stdio: "pipe" });
    return true;
  } catch (error) {
    process.stdout.write(`skipped: cannot mount a small file system (${String(error).split("\n", 1)[0]})\n`);
    return false;
  }
}

/** Leaves `left` bytes free, or as few as can be. */
function fill(data: string, left: number): void {
  const { bavail, bsize } = statfsSync(data);
  writeFileSync(join(data, "filler"), new Uint8Array(Math.max(0, bavail * bsize - left)));
}

interface Rig {
  readonly seats: Seats;
  readonly data: string;
  readonly admin: string;
}

async function rig(reserveBytes: number): Promise<Rig | undefined> {
  const base = await freePorts(N + 1);
  const homes = await makeHomes({ listen: Array.from({ length: N }, (_, i) => base + i), parameters: { checkpointInterval: 16, logWindow: 32 } });
  const home = homes.homes[FULL] ?? "";
  const data = join(home, "data");
  if (!mountSmall(data)) {
    await homes.remove();
    return undefined;
  }
  cleanups.push(() => execFileSync("umount", ["-l", data]));
  const file = join(home, "replica.json");
  writeFileSync(file, JSON.stringify({ ...(JSON.parse(readFileSync(file, "utf8")) as object), diskReserveBytes: reserveBytes, admin: String(base + N) }));
  const seats = await Seats.of(homes);
  cleanups.push(() => seats.stop());
  await Promise.all([0, 1, 2].map((id) => seats.seat(id)));
  return { seats, data, admin: `http://127.0.0.1:${base + N}` };
}

const told = async (url: string): Promise<unknown> => (await fetch(url)).json();

test("the others go on; it says why it is silent, and goes on without a restart when there is space", async () => {
  const made = await rig(RESERVE);
  if (made === undefined) return;
  const { seats, data, admin } = made;
  const health = async (): Promise<Health> => (await told(`${admin}/health`)) as Health;
  const child = seats.spawn(FULL);
  await child.ready;
  for (let i = 0; i < 5; i++) await seats.add();
  await seats.oneHead();

  fill(data, RESERVE / 2);
  await until("replica 3 to stop voting", async () => (await health()).reasons.some((reason) => reason.startsWith("frozen")));
  const { executedSeq } = await health();
  for (let i = 0; i < 40; i++) await seats.add();
  const frozen = await health();
  expect(frozen.executedSeq).toBe(executedSeq);
  expect(frozen.reasons[0]).toMatch(/^frozen, the disk is full: \d\.\d MiB are free on the file system of .*\/data, and it goes on when 16\.0 MiB are: free some space/);
  expect([frozen.healthy, frozen.ready]).toEqual([false, false]);
  expect(await told(`${admin}/why`)).toMatchObject({ headline: expect.stringContaining("Replica 3 is frozen and waits for space on its disk: ") as string });
  expect((await fetch(`${admin}/ready`)).status).toBe(503);
  expect(child.gone()).toBe(false);

  rmSync(join(data, "filler"));
  await until("replica 3 to take part", async () => (await health()).ready);
  await seats.add();
  const head = await seats.oneHead();
  expect((await seats.status(0)).head.stateRoot).toBe(head.stateRoot);
  expect((await seats.status(FULL)).counters.diskFreezes).toBe(1);
  expect(child.gone()).toBe(false);
  expect(await seats.acknowledged()).toEqual(Array.from({ length: seats.submitted }, (_, i) => i + 1));
  expect(seats.contradictions).toEqual([]);
}, 120_000);

test("without a reserve the first write that fails stops it and says what to do; started with space it goes on", async () => {
  const made = await rig(0);
  if (made === undefined) return;
  const { seats, data } = made;
  const child = seats.spawn(FULL);
  await child.ready;
  for (let i = 0; i < 5; i++) await seats.add();
  await seats.oneHead();
  fill(data, 0);
  for (let i = 0; !child.gone(); i++) {
    if (i >= 2_000) throw new RangeError("replica 3 writes to a full disk");
    await seats.add({ first: i * 20, count: 20 });
  }
  const { how, said } = await child.ended;
  expect(how).toBe("1");
  expect(said).toMatch(/stopped: .*(No space left on device|ENOSPC).*: free space on the disk, then start the replica again/);
  await seats.add();

  rmSync(join(data, "filler"));
  await seats.spawn(FULL).ready;
  await seats.oneHead();
  expect(await seats.acknowledged()).toEqual(Array.from({ length: seats.submitted }, (_, i) => i + 1));
  expect(seats.contradictions).toEqual([]);
}, 120_000);
