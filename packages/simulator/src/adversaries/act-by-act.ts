/** What a policy draws for one message, or in one tick, is an act of its own: a scenario can leave it out and keep the others as they were. */
import type { Random } from "../random.ts";
import type { Policy } from "./policy.ts";

export function actByAct(policy: Policy, random: Random): Policy {
  const { outgoing, incoming, state, tick, ticked } = policy;
  const counts = new Map<string, number>();
  const within = <T>(what: string, run: () => T): T => {
    const count = counts.get(what) ?? 0;
    counts.set(what, count + 1);
    return random.within(`${what} ${count}`, run);
  };
  return {
    name: policy.name,
    ...(outgoing && { outgoing: (out) => within(`${out.message.type} to r${out.to}`, () => outgoing(out)) }),
    ...(incoming && { incoming: (from, message) => within(`${message.type} from r${from}`, () => incoming(from, message)) }),
    ...(state && { state: (to, message) => within(`${message.type} to r${to}`, () => state(to, message)) }),
    ...(tick && { tick: () => within("tick", tick) }),
    ...(ticked && { ticked: () => within("ticked", ticked) }),
  };
}
