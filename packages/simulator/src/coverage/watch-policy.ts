/** Notices when a policy changes anything: a message dropped, altered, redirected, hidden or made up. */
import type { Policy } from "../adversaries/policy.ts";

export function watchPolicy(policy: Policy, effective: () => void): Policy {
  const { outgoing, incoming, state, tick, ticked } = policy;
  return {
    name: policy.name,
    ...(outgoing && {
      outgoing: (out) => {
        const told = outgoing(out);
        if (told.length !== 1 || told[0]?.message !== out.message || told[0].to !== out.to) effective();
        return told;
      },
    }),
    ...(state && {
      state: (to, message) => {
        const told = state(to, message);
        if (told.length !== 1 || told[0] !== message) effective();
        return told;
      },
    }),
    ...(incoming && {
      incoming: (from, message) => {
        const shown = incoming(from, message);
        if (!shown) effective();
        return shown;
      },
    }),
    ...(tick && {
      tick: () => {
        const made = tick();
        if (made.length > 0) effective();
        return made;
      },
    }),
    ...(ticked && { ticked: () => ticked() }),
  };
}
