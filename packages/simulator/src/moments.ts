/** Deaths at the worst moment: in a view change, entering or making a new view, at a checkpoint, in a state transfer, soon after a start. */
import type { Effect } from "@narses/core";
import type { CrashKind } from "./disk.ts";
import { restart } from "./lives.ts";
import type { Act, ActContext } from "./nemesis.ts";
import type { SimNode } from "./node.ts";

export const MOMENT_NAMES = [
  "in a view change", "entering a new view", "making a new view", "at a checkpoint", "in a state transfer", "soon after a start",
] as const;
export type MomentName = (typeof MOMENT_NAMES)[number];

interface Moment {
  readonly name: MomentName;
  readonly of: (effect: Effect) => boolean;
  /** Mean time from there to the death, microseconds; 0: in the next turn that does something. */
  readonly delayMeanUs: number;
}

const MOMENTS: readonly Moment[] = [
  { name: "in a view change", of: ({ type }) => type === "view-left", delayMeanUs: 0 },
  { name: "entering a new view", of: ({ type }) => type === "view-entered", delayMeanUs: 0 },
  { name: "making a new view", of: ({ type }) => type === "new-view", delayMeanUs: 0 },
  { name: "at a checkpoint", of: (effect) => effect.type === "execute" && effect.checkpoint, delayMeanUs: 3_000 },
  { name: "in a state transfer", of: ({ type }) => type === "transfer", delayMeanUs: 20_000 },
  { name: "in a state transfer", of: ({ type }) => type === "transfer", delayMeanUs: 500 },
  { name: "soon after a start", of: (effect) => effect.type === "send" && effect.message.type === "recall", delayMeanUs: 2_000 },
];

export function momentActs({ world, random, over }: ActContext): readonly Act[] {
  const die = (node: SimNode, { name, delayMeanUs }: Moment): void => {
    const kind: CrashKind = random.pick(["kill", "power"] as const);
    world.note(node, `# will die ${name}`);
    world.counters.crashes++;
    if (delayMeanUs === 0) node.armed = kind;
    else world.scheduler.after(random.exponential(delayMeanUs), () => {
      if (over() || !node.up) return;
      world.note(node, `# crashes (${kind})`);
      node.crash(kind);
      world.refreshConnections();
    });
    world.scheduler.after(delayMeanUs + random.exponential(random.pick([10_000, 300_000])), () => restart(world, node));
  };
  return MOMENTS.map((moment) => ({
    name: `die ${moment.name}`,
    run: () => {
      const strike = (node: SimNode, effect: Effect): void => {
        if (over() || node.options.fault === "liar" || !moment.of(effect)) return;
        world.ambushes.delete(strike);
        die(node, moment);
      };
      world.ambushes.add(strike);
    },
  }));
}
