/** What happens to wall clocks: they are set an hour ahead or back, and stand still. Only of replicas that count against f: timestamps follow the others. */
import type { Act, ActContext } from "../nemesis.ts";
import type { MachineClock } from "./machine-clock.ts";

const HOUR_MS = 3_600_000;

export function clockActs({ world, random, later }: ActContext): readonly Act[] {
  const act = (name: string, what: string, change: (clock: MachineClock) => void): Act => ({
    name,
    run: () => {
      const skewed = world.nodes.filter((node) => node.options.fault === "skewed");
      if (skewed.length === 0) return;
      const node = random.pick(skewed);
      if (node.machine === undefined) return;
      world.note(node, `# ${what}`);
      change(node.machine.clock);
      later(500_000, () => node.machine?.clock.heal());
    },
  });
  return [
    act("clock-ahead", "its clock is set an hour ahead", (clock) => clock.jump(HOUR_MS)),
    act("clock-back", "its clock is set an hour back", (clock) => clock.jump(-HOUR_MS)),
    act("clock-leap", "its clock leaps a second", (clock) => clock.jump(random.pick([-1_000, 1_000]))),
    act("clock-frozen", "its clock stands still", (clock) => clock.freeze()),
  ];
}
