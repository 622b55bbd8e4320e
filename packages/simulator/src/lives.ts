/** What happens to processes: they die between two turns or in the middle of one, alone, in a row, again and again or all at once; they stand still; they come back. */
import type { CrashKind } from "./disk.ts";
import type { Act, ActContext } from "./nemesis.ts";
import type { SimNode } from "./node.ts";
import type { World } from "./world.ts";

/** Starts it unless it runs; whoever watches over a process tries again when it does not come up. */
export function restart(world: World, node: SimNode): void {
  if (node.up) return;
  node.start();
  world.refreshConnections();
}

export function lifeActs({ world, random, later }: ActContext): readonly Act[] {
  const kind = (): CrashKind => random.pick(["kill", "power"] as const);
  /** Liars look after themselves. */
  const mortals = (): readonly SimNode[] => world.nodes.filter((node) => node.options.fault !== "liar" && node.up);
  const victim = (): SimNode | undefined => {
    const up = mortals();
    return up.length === 0 ? undefined : random.pick(up);
  };
  const crash = (node: SimNode, how: CrashKind, downMeanUs: number): void => {
    if (!node.up) return;
    world.note(node, `# crashes (${how})`);
    world.counters.crashes++;
    node.crash(how);
    world.refreshConnections();
    world.scheduler.after(random.exponential(downMeanUs), () => restart(world, node));
  };
  const downMeanUs = (): number => random.pick([1_000, 50_000, 500_000]);

  return [
    { name: "crash", run: () => withNode(victim(), (node) => crash(node, kind(), downMeanUs())) },
    {
      name: "crash-in-turn", run: () => withNode(victim(), (node) => {
        node.armed = kind();
        world.counters.crashes++;
        // It dies at one of its next operations; somebody restarts it in any case.
        world.scheduler.after(random.exponential(300_000), () => restart(world, node));
      }),
    },
    {
      name: "power-loss", run: () => {
        const how = kind();
        world.note(undefined, `# all go down (${how})`);
        for (const node of mortals()) crash(node, how, downMeanUs());
      },
    },
    {
      name: "crash-loop", run: () => withNode(victim(), (node) => {
        let left = random.int(2, 6);
        const again = (): void => {
          if (left-- <= 0) return;
          crash(node, kind(), 5_000);
          later(60_000, again);
        };
        again();
      }),
    },
    {
      name: "rolling-restart", run: () => {
        const order = random.shuffle(mortals());
        const step = (i: number): void => {
          const node = order[i];
          if (node === undefined) return;
          crash(node, "kill", 20_000);
          later(80_000, () => step(i + 1));
        };
        step(0);
      },
    },
    {
      name: "pause", run: () => withNode(victim(), (node) => {
        world.note(node, "# pauses");
        node.pause();
        // From a long collection to many request timeouts.
        world.scheduler.after(random.exponential(random.pick([20_000, 500_000, 3_000_000])), () => node.resume());
      }),
    },
  ];
}

function withNode(node: SimNode | undefined, run: (node: SimNode) => void): void {
  if (node !== undefined) run(node);
}
