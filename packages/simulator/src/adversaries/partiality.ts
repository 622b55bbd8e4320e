/** A primary that plays favourites: one client's requests are left out, or everything comes as late as it dares. */
import type { ClientId, Digest } from "@narses/core";
import type { Outgoing, PolicyFactory } from "./policy.ts";

/** Proposals without the bundles of one client; the same for every listener, and its own votes to match. */
export const censor: PolicyFactory = (powers) => {
  const told = new Map<Digest, Digest>();
  let victim: ClientId | undefined;
  return {
    name: "censor",
    outgoing: (out) => {
      const { message, to } = out;
      if (message.type === "pre-prepare" && message.signed.body.sender === powers.self) {
        victim ??= message.batch.bundles[0]?.client;
        const kept = message.batch.bundles.filter((bundle) => bundle.client !== victim);
        if (kept.length === message.batch.bundles.length) return [out];
        const batch = powers.toolkit.tools.makeBatch(powers.config.epoch, message.batch.timestampMs, kept);
        told.set(message.signed.body.digest, batch.digest);
        return [{ to, message: { type: "pre-prepare", signed: powers.signer.sign({ ...message.signed.body, digest: batch.digest }), batch } }];
      }
      if (message.type !== "votes" || message.signed.body.sender !== powers.self) return [out];
      const votes = message.signed.body.votes.map((vote) => ({ ...vote, digest: told.get(vote.digest) ?? vote.digest }));
      return [{ to, message: { type: "votes", signed: powers.signer.sign({ ...message.signed.body, votes }) } }];
    },
  };
};

/** Messages held back, at most. */
const HELD_MAX = 256;

/** Holds messages back for a while: late, out of order, but genuine. */
export const delay: PolicyFactory = (powers) => {
  const ticksMax = powers.random.pick([2, 10, 40]);
  const held: { readonly out: Outgoing; ticks: number }[] = [];
  let releasing = false;
  return {
    name: "delay",
    outgoing: (out) => {
      if (releasing || held.length >= HELD_MAX) return [out];
      held.push({ out, ticks: powers.random.int(0, ticksMax) });
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
};
