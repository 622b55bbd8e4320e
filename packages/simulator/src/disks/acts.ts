/** What happens to disks. Slow, full and failing ones happen to everybody; damage and forgetting only to who counts against f. */
import type { Fault } from "../budget.ts";
import type { Act, ActContext } from "../nemesis.ts";
import type { Machine, SimNode } from "../node.ts";

/** As much as a log may lose at its end. */
const TRUNCATED_BYTES_MAX = 1 << 20;

export function diskActs({ world, random, later }: ActContext): readonly Act[] {
  const machineOf = (faults: readonly Fault[] | undefined): { readonly node: SimNode; readonly disk: Machine["disk"] } | undefined => {
    const nodes = world.nodes.filter(({ options }) => (faults === undefined ? options.fault !== "liar" : faults.includes(options.fault)));
    if (nodes.length === 0) return undefined;
    const node = random.pick(nodes);
    return node.machine === undefined ? undefined : { node, disk: node.machine.disk };
  };
  const act = (name: string, faults: readonly Fault[] | undefined, run: (node: SimNode, disk: Machine["disk"]) => void): Act => ({
    name,
    run: () => {
      const found = machineOf(faults);
      if (found !== undefined) run(found.node, found.disk);
    },
  });
  return [
    act("slow-disk", undefined, (node, { health }) => {
      health.syncFloorUs = random.pick([20_000, 200_000, 1_000_000]);
      world.note(node, `# its disk is slow: ${health.syncFloorUs} µs a sync`);
      later(800_000, () => {
        health.syncFloorUs = 0;
      });
    }),
    act("full-disk", undefined, (node, { health }) => {
      world.note(node, "# its disk is full");
      health.full = true;
      later(300_000, () => {
        health.full = false;
      });
    }),
    act("failing-disk", undefined, (node, { health }) => {
      world.note(node, "# its disk is about to fail once");
      health.failsAfter = random.int(1, 20);
    }),
    act("damage", ["rotten"], (node, disk) => {
      world.note(node, `# its disk is damaged: ${disk.damage()}`);
      later(100_000, () => node.crash(random.pick(["kill", "power"] as const)));
      world.scheduler.after(400_000, () => node.start());
    }),
    act("misdirected-write", ["rotten"], (node, { health }) => {
      health.misdirects = random.pick([-8, -1, 1, 2, 8]);
      world.note(node, `# a write will land ${health.misdirects} sectors away`);
    }),
    act("backup", ["amnesiac"], (node, disk) => {
      world.note(node, "# its disk is backed up");
      disk.backUp();
      later(400_000, () => {
        node.crash("kill");
        if (disk.restore()) world.note(node, "# its backup is restored: it forgets");
        node.start();
      });
    }),
    act("truncated-log", ["amnesiac"], (node, disk) => {
      node.crash("kill");
      world.note(node, `# the last ${disk.truncate(random.pick([1, 512, 16_384, TRUNCATED_BYTES_MAX]))} bytes of its log are cut off`);
      world.scheduler.after(random.exponential(50_000), () => node.start());
    }),
    act("lying-disk", ["amnesiac"], (node, { health }) => {
      health.lies = random.pick([0.3, 1]);
      world.note(node, "# its disk lies about syncs");
      later(300_000, () => {
        node.crash("power");
        world.scheduler.after(random.exponential(50_000), () => node.start());
      });
    }),
  ];
}
