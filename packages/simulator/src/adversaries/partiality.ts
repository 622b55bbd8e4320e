/** A primary that plays favourites: requests left out, put in another order, or everything as late as it dares. */
import type { ClientId } from "@narses/core";
import type { Outgoing, PolicyFactory } from "./policy.ts";
import { retell } from "./retold.ts";

/** Proposals without the bundles of one client. */
export const censor: PolicyFactory = (powers) => {
  let victim: ClientId | undefined;
  return retell(powers, "censor", ({ epoch }, batch) => {
    victim ??= batch.bundles[0]?.client;
    const kept = batch.bundles.filter((bundle) => bundle.client !== victim);
    return kept.length === batch.bundles.length ? undefined : { batch: powers.toolkit.tools.makeBatch(epoch, batch.timestampMs, kept) };
  });
};

/** Front-runs: the bundles of a favourite come first, whatever came first. */
export const favour: PolicyFactory = (powers) => {
  let favourite: ClientId | undefined;
  return retell(powers, "favour", ({ epoch }, batch) => {
    favourite ??= batch.bundles.at(-1)?.client;
    const first = batch.bundles.filter((bundle) => bundle.client === favourite);
    if (first.length === 0 || first.length === batch.bundles.length) return undefined;
    const rest = batch.bundles.filter((bundle) => bundle.client !== favourite);
    return { batch: powers.toolkit.tools.makeBatch(epoch, batch.timestampMs, [...first, ...rest.reverse()]) };
  });
};

interface Held {
  readonly out: Outgoing;
  ticks: number;
}

/** Messages held back, at most. */
const HELD_MAX = 256;

/** Holds back what `late` picks, for the ticks it says; releases it unaltered. */
function holdBack(name: string, late: (out: Outgoing) => number): ReturnType<PolicyFactory> {
  const held: Held[] = [];
  let releasing = false;
  return {
    name,
    outgoing: (out) => {
      if (releasing || held.length >= HELD_MAX) return [out];
      const ticks = late(out);
      if (ticks <= 0) return [out];
      held.push({ out, ticks });
      return [];
    },
    tick: () => {
      const due = held.filter((entry) => entry.ticks-- <= 0);
      for (const entry of due) held.splice(held.indexOf(entry), 1);
      releasing = true;
      return due.map((entry) => entry.out);
    },
    ticked: () => {
      releasing = false;
    },
  };
}

/** Everything late, out of order, but genuine. */
export const delay: PolicyFactory = (powers) => {
  const ticksMax = powers.random.pick([2, 10, 40]);
  return holdBack("delay", () => powers.random.int(1, ticksMax));
};

/** Proposes as late as it can without being suspected: 0.95 of the request timeout; or later and later from view to view. */
export const slowPrimary: PolicyFactory = (powers) => {
  const ramps = powers.random.chance(0.5);
  const { requestTimeoutTicks } = powers.config.parameters;
  let share = ramps ? 0.3 : 0.95;
  let lastView = -1;
  return holdBack("slow-primary", ({ message }) => {
    if (message.type !== "pre-prepare" || message.signed.body.sender !== powers.self) return 0;
    if (message.signed.body.view > lastView) {
      lastView = message.signed.body.view;
      if (ramps) share = Math.min(1.2, share * 1.3);
    }
    return Math.floor(share * requestTimeoutTicks);
  });
};
