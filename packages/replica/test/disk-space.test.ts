import { afterEach, describe, expect, test } from "vitest";
import { newCounters } from "../src/counters.ts";
import { createDiskSpace, type Disk, type DiskSpace } from "../src/disk-space.ts";
import { freeBytesOf } from "../src/free-bytes.ts";
import { DISK_LOOK_MS, DISK_RESERVE_BYTES_DEFAULT, DISK_RESUME_FACTOR } from "../src/limits.ts";
import { apply, testCluster } from "./support/cluster.ts";
import { InProcess, until } from "./support/cluster-in-process.ts";
import { recordingLogger } from "./support/fakes.ts";

class FakeDisk implements Disk {
  readonly directory = "/var/lib/replica";
  readonly reserveBytes = 1_000;
  free: number | undefined;
  looks = 0;

  constructor(free: number | undefined) {
    this.free = free;
  }

  freeBytes(): number | undefined {
    this.looks++;
    return this.free;
  }
}

describe("the watch", () => {
  function watch(disk: Disk | undefined): { readonly space: DiskSpace; readonly logger: ReturnType<typeof recordingLogger>; frozenAt(free: number | undefined): boolean } {
    const logger = recordingLogger();
    let now = 0;
    const space = createDiskSpace({ disk, counters: newCounters(), logger, nowMs: () => now });
    return {
      space, logger,
      frozenAt(free) {
        if (disk instanceof FakeDisk) disk.free = free;
        now += DISK_LOOK_MS;
        space.look();
        return space.frozen;
      },
    };
  }

  test("freezes below the reserve, and goes on only well above it; each is said once", () => {
    const { space, logger, frozenAt } = watch(new FakeDisk(5_000));
    expect([5_000, 1_000, 999, 0, 1_000, 1_999, undefined, 2_000, 1_000, undefined].map(frozenAt)).toEqual([false, false, true, true, true, true, true, false, false, false]);
    expect(logger.lines.map(({ level, message }) => [level, message.split(":")[0]])).toEqual([["warn", "DISK FULL"], ["info", "space on the disk again"]]);
    expect(logger.lines[0]?.message).toMatch(/999 B are free on the file system of \/var\/lib\/replica, and it goes on when 2\.0 KiB are: free some space/);
    expect(space.status).toEqual({ directory: "/var/lib/replica", freeBytes: 1_000, reserveBytes: 1_000, resumeBytes: 1_000 * DISK_RESUME_FACTOR, frozenMs: null });
  });

  test("asks the system at most once in a while", () => {
    const disk = new FakeDisk(5_000);
    const space = createDiskSpace({ disk, counters: newCounters(), logger: recordingLogger(), nowMs: () => 0 });
    for (let i = 0; i < 100; i++) space.look();
    expect(disk.looks).toBe(1);
  });

  test("without a disk, without an answer, or without a reserve nothing is frozen", () => {
    expect([watch(undefined).frozenAt(0), watch(new FakeDisk(0)).frozenAt(undefined)]).toEqual([false, false]);
    expect(watch({ directory: "", reserveBytes: 0, freeBytes: () => 0 }).frozenAt(0)).toBe(false);
    expect(watch({ directory: "", freeBytes: () => DISK_RESERVE_BYTES_DEFAULT - 1 }).frozenAt(0)).toBe(true);
  });

  test("a real directory has free bytes, one that does not exist has none that are known", () => {
    expect(freeBytesOf(import.meta.dirname)).toBeGreaterThan(0);
    expect(freeBytesOf("/nobody/has/this")).toBeUndefined();
  });
});

describe("a replica whose disk is full", () => {
  let cluster: InProcess | undefined;
  afterEach(() => cluster?.stop());

  test("says, steps and executes nothing and tells why; with space again it catches up, without a restart", async () => {
    cluster = new InProcess(testCluster(4));
    const disk = new FakeDisk(1 << 20);
    cluster.disks.set(3, disk);
    let said = 0;
    cluster.tamper = (from, _to, frame) => {
      if (from === 3) said++;
      return frame;
    };
    await cluster.startAll();
    const { core } = cluster.member(3);
    const client = await cluster.client();
    await client.submit([apply({ add: 1 })]);
    await until("replica 3 has executed", () => core.status().head.seq === 1);
    expect([core.health().ready, core.status().disk?.frozenMs]).toEqual([true, null]);

    disk.free = 17;
    await until("replica 3 is frozen", () => core.status().disk?.frozenMs !== null);
    const { turns, fsyncs, signaturesMade } = core.status().counters;
    const before = said;
    for (let i = 0; i < 5; i++) await client.submit([apply({ add: 1 })]);
    expect(cluster.member(0).core.status().head.seq).toBe(6);
    expect(core.status()).toMatchObject({ head: { seq: 1 }, counters: { turns, fsyncs, signaturesMade, diskFreezes: 1 } });
    expect(said).toBe(before);
    const lack = "17 B are free on the file system of /var/lib/replica, and it goes on when 2.0 KiB are: free some space, no restart is needed";
    expect(core.health()).toMatchObject({ healthy: false, ready: false, reasons: [`frozen, the disk is full: ${lack}`] });
    expect(core.why().headline).toBe(`Replica 3 is frozen and waits for space on its disk: ${lack}.`);
    expect(await client.call(3, "status")).toMatchObject({ disk: { freeBytes: 17 } });
    expect(await client.call(3, "why")).toMatchObject({ headline: expect.stringContaining("Replica 3 is frozen") as string });
    const metrics = await core.metrics().render();
    for (const sample of ["narses_disk_frozen 1", "narses_disk_free_bytes 17", "narses_disk_freezes_total 1", "narses_ready 0"]) expect(metrics).toContain(`\n${sample}\n`);

    disk.free = 1 << 20;
    await until("replica 3 has caught up", () => core.status().head.seq === 6);
    await client.submit([apply({ add: 1 })]);
    await until("replica 3 takes part", () => core.status().head.seq === 7);
    expect(said).toBeGreaterThan(before);
    expect(core.status().head.stateRoot).toBe(cluster.member(0).core.status().head.stateRoot);
    expect(core.status().disk?.frozenMs).toBeNull();
    expect(core.status().counters.ticksLost).toBeGreaterThan(0);
    expect(core.health().healthy).toBe(true);
  });

  test("started on a full disk it waits; peers that came and went meanwhile are known as they are", async () => {
    cluster = new InProcess(testCluster(4));
    const disk = new FakeDisk(0);
    cluster.disks.set(3, disk);
    let said = 0;
    cluster.tamper = (from, _to, frame) => {
      if (from === 3) said++;
      return frame;
    };
    await cluster.startAll();
    const { core } = cluster.member(3);
    await (await cluster.client()).submit([apply({ add: 2 })]);
    const stores = await cluster.crash(1, "kill");
    await cluster.start(1, { stores, mustExist: true });
    expect([said, core.status().counters.turns]).toEqual([0, 0]);
    disk.free = 1 << 20;
    await until("replica 3 has caught up", () => core.status().head.seq === 1);
    expect(core.health()).toMatchObject({ healthy: true, reachable: 4 });
  });
});
