/** What happens to links: bad weather for all or for one, slow and narrow ones, clogs, resets, cuts of many shapes, once or again and again. */
import type { Act, ActContext } from "../nemesis.ts";
import { type CutShape, describeConditions, drawConditions, drawCut, type Pairs } from "./draws.ts";
import type { LinkFault } from "./network.ts";

const FAULT_OF: Readonly<Record<CutShape, LinkFault>> = {
  halves: "halves", single: "one replica alone", "one-way": "one-way cut", ring: "ring", star: "star", bridge: "bridge",
};

export const linkActs = (context: ActContext): readonly Act[] => [...weatherActs(context), ...cutActs(context)];

const endpoints = ({ world }: ActContext): readonly number[] => world.nodes.map((node) => node.options.index);
const oneLink = (context: ActContext): readonly [number, number] => [context.random.pick(endpoints(context)), context.random.pick(endpoints(context))];
const names = ({ world }: ActContext, pairs: Pairs): string => pairs.map(([a, b]) => `${world.nodes[a]?.name}>${world.nodes[b]?.name}`).join(" ");

function weatherActs(context: ActContext): readonly Act[] {
  const { world, random, later } = context;
  const { network } = world;
  const narrow = (): void => {
    const a = random.pick(endpoints(context));
    const bandwidth = random.pick([4_000, 20_000, 125_000]);
    const set = (bytesPerSecond: number | undefined): void => {
      for (const b of endpoints(context)) for (const [x, y] of [[a, b], [b, a]] as const) network.setBandwidth(x, y, bytesPerSecond);
    };
    world.note(world.nodes[a], `# all its links carry ${bandwidth} bytes a second`);
    set(bandwidth);
    later(800_000, () => set(undefined));
  };
  return [
    {
      name: "weather", run: () => {
        network.conditions = drawConditions(random);
        world.note(undefined, `# weather: ${describeConditions(network.conditions)}`);
      },
    },
    {
      name: "uneven-weather", run: () => {
        for (const a of endpoints(context)) for (const b of endpoints(context)) if (a !== b && random.chance(0.3)) network.setConditions(a, b, drawConditions(random));
        world.note(undefined, "# weather differs from link to link");
      },
    },
    { name: "slow-link", run: () => network.setSlowness(...oneLink(context), random.pick([1, 5, 50])) },
    { name: "narrow-replica", run: narrow },
    {
      name: "clog", run: () => {
        const [a, b] = oneLink(context);
        world.note(undefined, `# clogs ${names(context, [[a, b]])}`);
        network.setClogged(a, b, true);
        later(400_000, () => network.setClogged(a, b, false));
      },
    },
    { name: "reset", run: () => world.resetConnection(...oneLink(context)) },
  ];
}

function cutActs(context: ActContext): readonly Act[] {
  const { world, random, later } = context;
  const setCuts = (pairs: Pairs, isCut: boolean, by: LinkFault): void => {
    for (const [a, b] of pairs) world.network.setCut(a, b, isCut, by);
    world.refreshConnections();
  };
  const partition = (): void => {
    const { shape, pairs } = drawCut(random, endpoints(context));
    world.note(undefined, `# cuts links (${shape}): ${names(context, pairs)}`);
    setCuts(pairs, true, FAULT_OF[shape]);
    later(random.pick([20_000, 200_000, 1_000_000]), () => {
      setCuts(pairs, false, FAULT_OF[shape]);
      world.note(undefined, "# mends links");
    });
  };
  const flap = (): void => {
    const { shape, pairs } = drawCut(random, endpoints(context));
    // Around the request timeout: the worst rhythm for a cluster that changes views.
    const periodUs = world.plan.parameters.requestTimeoutTicks * 10_000 * random.pick([0.25, 1, 2]);
    let left = random.int(2, 8);
    world.note(undefined, `# links flap (${shape}, every ${Math.round(periodUs / 1000)} ms): ${names(context, pairs)}`);
    const swing = (cut: boolean): void => {
      setCuts(pairs, cut, "flapping links");
      if (cut || left-- > 0) world.scheduler.after(periodUs, () => {
        if (!world.healed) swing(!cut);
      });
    };
    swing(true);
  };
  return [{ name: "partition", run: partition }, { name: "flapping", run: flap }];
}
