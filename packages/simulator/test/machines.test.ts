/** The machines and links under whole replicas: processes, clocks, disks, byte streams, the fault budget. */
import { describe, expect, test } from "vitest";
import { FaultBudget } from "../src/budget.ts";
import { MachineClock } from "../src/clocks/machine-clock.ts";
import { ProcessFiles } from "../src/disks/process-files.ts";
import { ReplicaDisk } from "../src/disks/replica-disk.ts";
import { LINK_QUEUE_BYTES_MAX, Network } from "../src/links/network.ts";
import { Stream } from "../src/links/stream.ts";
import { EPOCH_MS } from "../src/node.ts";
import { Process } from "../src/process.ts";
import { Random } from "../src/random.ts";
import { Scheduler } from "../src/scheduler.ts";

const rig = (): { readonly scheduler: Scheduler; readonly network: Network; readonly run: (untilUs?: number) => void } => {
  const scheduler = new Scheduler(new Random("ties"));
  const network = new Network(scheduler, new Random("network"));
  return {
    scheduler, network,
    run: (untilUs = 1e9) => {
      while (scheduler.next(untilUs));
    },
  };
};

describe("process", () => {
  test("does one thing at a time, in order, and takes its time", () => {
    const { scheduler, run } = rig();
    const process = new Process({ scheduler, onError: () => undefined });
    const seen: string[] = [];
    process.run(() => {
      seen.push(`a ${scheduler.now}`);
      process.spend(500);
    });
    for (const name of ["b", "c"]) process.run(() => seen.push(`${name} ${scheduler.now}`));
    run();
    expect(seen).toEqual(["a 0", "b 500", "c 500"]);
  });

  test("a paused one catches up when it goes on; a killed one does nothing more", () => {
    const { scheduler, run } = rig();
    const process = new Process({ scheduler, onError: () => undefined });
    const seen: number[] = [];
    process.after(10, () => seen.push(1));
    process.pause();
    run();
    expect(seen).toEqual([]);
    process.resume();
    expect(seen).toEqual([1]);
    process.after(10, () => seen.push(2));
    process.kill();
    run();
    expect(seen).toEqual([1]);
  });
});

describe("clock", () => {
  test("the monotonic one drifts and never jumps; the wall clock jumps, stands still and heals", () => {
    const { scheduler } = rig();
    const clock = new MachineClock(scheduler, { offsetMs: 5, rate: 1.1 });
    scheduler.now = 1_000_000;
    expect(clock.monotonicMs()).toBeCloseTo(1_100);
    expect(clock.trueUs(1_100)).toBeCloseTo(1_000_000);
    expect(clock.wallMs()).toBe(EPOCH_MS + 1_005);
    clock.jump(-3_600_000);
    expect(clock.wallMs()).toBe(EPOCH_MS + 1_005 - 3_600_000);
    clock.freeze();
    scheduler.now = 2_000_000;
    expect(clock.wallMs()).toBe(EPOCH_MS + 1_005 - 3_600_000);
    expect(clock.monotonicMs()).toBeCloseTo(2_200);
    clock.heal();
    expect(clock.wallMs()).toBe(EPOCH_MS + 2_005);
  });
});

describe("disk", () => {
  const write = (disk: ReplicaDisk, text: string, sync: boolean): void => {
    const files = new ProcessFiles(disk.files, disk.health, () => undefined);
    const file = files.open("/votes/a", files.exists("/votes/a") ? "existing" : "create");
    file.write([new TextEncoder().encode(text)], 0);
    if (sync) file.sync();
    if (sync) files.syncDirectory("/votes");
  };
  const content = (disk: ReplicaDisk): string => new TextDecoder().decode(disk.files.contents().get("/votes/a"));

  test("power cuts keep what was synced, killed processes what was written", () => {
    for (let i = 0; i < 20; i++) {
      const disk = new ReplicaDisk(new Random(`d${i}`));
      write(disk, "synced", true);
      write(disk, "SYNCED", false);
      disk.crash("kill");
      expect(content(disk)).toBe("SYNCED");
      disk.crash("power");
      expect(["synced", "SYNCED"]).toContain(content(disk));
    }
  });

  test("a disk that lies loses what it acknowledged; a backup forgets what came after", () => {
    const disk = new ReplicaDisk(new Random("liar"));
    write(disk, "first", true);
    disk.backUp();
    disk.health.lies = 1;
    write(disk, "later", true);
    expect(content(disk)).toBe("later");
    expect(disk.health.met.lied).toBe(2);
    expect(disk.restore()).toBe(true);
    expect(content(disk)).toBe("first");
  });

  test("a full disk refuses writes only; a failing one fails once", () => {
    const { health } = new ReplicaDisk(new Random("full"));
    health.full = true;
    expect([health.errnoOf("write"), health.errnoOf("sync"), health.errnoOf("read")]).toEqual(["ENOSPC", undefined, undefined]);
    health.heal();
    health.failsAfter = 2;
    expect([health.errnoOf("write"), health.errnoOf("sync"), health.errnoOf("write")]).toEqual([undefined, "EIO", undefined]);
  });
});

describe("links", () => {
  test("a clogged link gives everything back in order, but for what its queue does not hold", () => {
    const { network, run } = rig();
    const seen: number[] = [];
    network.setClogged(0, 1, true);
    for (let i = 0; i < 5; i++) network.send(0, 1, LINK_QUEUE_BYTES_MAX / 4, () => seen.push(i));
    run(1e6);
    expect(seen).toEqual([]);
    network.setClogged(0, 1, false);
    run(1e7);
    expect(seen).toEqual([0, 1, 2, 3]);
  });

  test("a narrow link takes a second for what it carries in one", () => {
    const { network, scheduler, run } = rig();
    network.setBandwidth(0, 1, 1_000);
    let at = 0;
    network.send(0, 1, 1_000, () => {
      at = scheduler.now;
    });
    run(1e7);
    expect(at).toBeGreaterThanOrEqual(1_000_000);
  });

  const streamOf = (network: Network, scheduler: Scheduler, frames: string[], broken: string[], seed: string): Stream => new Stream({
    network, random: new Random(seed), from: 0, to: 1, queueBytesMax: 1 << 16, frameBytesMax: 1 << 12, nowMs: () => scheduler.now / 1000,
    onFrame: (frame) => frames.push(new TextDecoder().decode(frame)), onBroken: (problem) => broken.push(problem),
  });

  test("frames come out of a byte stream whole and in order, wherever it is cut into pieces, also when segments are lost", () => {
    for (let i = 0; i < 30; i++) {
      const { network, scheduler, run } = rig();
      network.conditions = { ...network.conditions, loss: 0.3, reordering: true };
      const [frames, broken]: [string[], string[]] = [[], []];
      const stream = streamOf(network, scheduler, frames, broken, `s${i}`);
      const sent = Array.from({ length: 10 }, (_, k) => `${k} ${"x".repeat(k * 37)}`);
      for (const text of sent) {
        expect(stream.send(new TextEncoder().encode(text))).toBe(true);
        stream.flush();
      }
      run();
      expect(frames).toEqual(sent);
      expect(broken).toEqual([]);
    }
  });

  test("a frame that announces too much, and a cut, break the stream", () => {
    const { network, scheduler, run } = rig();
    const [frames, broken]: [string[], string[]] = [[], []];
    streamOf(network, scheduler, frames, broken, "big").write(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 1));
    run();
    expect(broken[0]).toMatch(/announced a frame of 4294967295 bytes/);
    const cut = streamOf(network, scheduler, frames, broken, "cut");
    cut.send(Uint8Array.of(65));
    cut.flush();
    network.setCut(0, 1, true);
    run();
    expect(broken.at(-1)).toBe("bytes were lost");
    expect(frames).toEqual([]);
  });
});

test("the fault budget is not overdrawn, whatever the faults are", () => {
  const budget = new FaultBudget(2);
  budget.spend(0, "liar");
  budget.spend(0, "liar"); // its twin
  budget.spend(1, "amnesiac");
  expect(() => budget.spend(2, "rotten")).toThrow(/3 replicas would be faulty.*the budget is 2/);
  expect(budget.of(3)).toBe("none");
});
