/** Two stories: PRE-PREPAREs, votes, or both, told differently to two sides. All of it properly signed. */
import type { Batch, PeerMessage, Vote } from "@narses/core";
import type { Outgoing, PolicyFactory, Powers } from "./policy.ts";
import { randomSide } from "./policy.ts";
import { hashText } from "../hash.ts";

function secondBatch(powers: Powers, batch: Batch): Batch {
  const { random, toolkit, config } = powers;
  const bundles = random.chance(0.5) ? [...batch.bundles].reverse() : batch.bundles;
  return toolkit.tools.makeBatch(config.epoch, batch.timestampMs + 1, bundles);
}

const revote = (powers: Powers, message: Extract<PeerMessage, { type: "votes" }>, change: (vote: Vote) => Vote): PeerMessage => ({
  type: "votes",
  signed: powers.signer.sign({ ...message.signed.body, votes: message.signed.body.votes.map(change) }),
});

/** Equivocating primary; as a backup, votes for whichever story the listener was told. */
export const equivocate: PolicyFactory = (powers) => {
  const votesToo = powers.random.chance(0.5);
  return { name: "equivocate", outgoing: (out) => tellStory(powers, out, votesToo) };
};

/** With `votesToo` the primary adds its own PREPARE and COMMIT to each story at once. */
function tellStory(powers: Powers, out: Outgoing, votesToo: boolean): readonly Outgoing[] {
  const { conspiracy, signer } = powers;
  const { to, message } = out;
  if (message.type === "pre-prepare" && message.signed.body.sender === powers.self) {
    const second = conspiracy.second(message.batch, () => secondBatch(powers, message.batch));
    const batch = conspiracy.secondSide.has(to) ? second : message.batch;
    const { view, seq, epoch, sender } = message.signed.body;
    const told: Outgoing = { to, message: { type: "pre-prepare", signed: signer.sign({ ...message.signed.body, digest: batch.digest }), batch } };
    if (!votesToo) return [told];
    const votes: Vote[] = [{ phase: "prepare", view, seq, digest: batch.digest }, { phase: "commit", view, seq, digest: batch.digest }];
    return [told, { to, message: { type: "votes", signed: signer.sign({ type: "votes", epoch, sender, votes }) } }];
  }
  if (message.type !== "votes" || message.signed.body.sender !== powers.self) return [out];
  return [{ to, message: revote(powers, message, (vote) => ({ ...vote, digest: conspiracy.digestFor(to, vote.digest) })) }];
}

/** Proposes to both sides, then falls silent for some time: one side may be prepared, nobody knows. */
export const equivocateThenStarve: PolicyFactory = (powers) => {
  let starving = 0;
  return {
    name: "equivocate-starve",
    outgoing: (out) => {
      if (out.message.type === "pre-prepare") {
        starving = 200;
        return tellStory(powers, out, false);
      }
      return starving > 0 ? [] : tellStory(powers, out, false);
    },
    tick: () => {
      starving = Math.max(0, starving - 1);
      return [];
    },
  };
};

/** Sends each side another vote, and sometimes both to both. */
export const doubleVotes: PolicyFactory = (powers) => {
  const side = randomSide(powers);
  return {
    name: "double-votes",
    outgoing: (out) => {
      if (out.message.type !== "votes" || out.message.signed.body.sender !== powers.self) return [out];
      const other = { to: out.to, message: revote(powers, out.message, (vote) => ({ ...vote, digest: hashText(`other|${vote.digest}`) })) };
      if (powers.random.chance(0.3)) return powers.random.chance(0.5) ? [out, other] : [other, out];
      return [side.has(out.to) ? other : out];
    },
  };
};

/** Votes for digests nobody proposed. */
export const wrongDigests: PolicyFactory = (powers) => ({
  name: "wrong-digests",
  outgoing: (out) => {
    if (out.message.type !== "votes" || out.message.signed.body.sender !== powers.self) return [out];
    return [{ to: out.to, message: revote(powers, out.message, (vote) => ({ ...vote, digest: hashText(`wrong|${vote.seq}`) })) }];
  },
});

/** COMMITs for whatever is proposed, prepared or not; and PREPAREs even as primary. */
export const prematureVotes: PolicyFactory = (powers) => {
  const pending: Vote[] = [];
  return {
    name: "premature-votes",
    incoming: (_from, message) => {
      if (message.type === "pre-prepare" && pending.length < 32) {
        const { view, seq, digest } = message.signed.body;
        pending.push({ phase: "prepare", view, seq, digest }, { phase: "commit", view, seq, digest });
      }
      return true;
    },
    outgoing: (out) => {
      if (out.message.type !== "pre-prepare") return [out];
      const { view, seq, digest, sender } = out.message.signed.body;
      if (sender !== powers.self) return [out];
      const { epoch } = powers.config;
      const votes: Vote[] = [{ phase: "prepare", view, seq, digest }, { phase: "commit", view, seq, digest }];
      return [out, { to: out.to, message: { type: "votes", signed: powers.signer.sign({ type: "votes", epoch, sender, votes }) } }];
    },
    tick: () => {
      const votes = pending.splice(0);
      if (votes.length === 0) return [];
      const signed = powers.signer.sign({ type: "votes", epoch: powers.config.epoch, sender: powers.self, votes });
      return [...randomSide(powers)].map((to) => ({ to, message: { type: "votes", signed } }));
    },
  };
};
