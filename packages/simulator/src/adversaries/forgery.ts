/** Statements of others altered or put together anew, statements of its own from elsewhere: what signatures and scopes must stop. */
import type { PeerMessage, SignedBody, Vote } from "@narses/core";
import { epoch as toEpoch, NULL_DIGEST, seqNum, view as toView } from "@narses/core";
import { hashText } from "../hash.ts";
import type { Outgoing, PolicyFactory, Powers } from "./policy.ts";
import { othersOf } from "./policy.ts";

const REMEMBERED_MAX = 64;

/** The last few signed messages of others. */
function memory(): { readonly remember: (message: PeerMessage) => void; readonly held: readonly PeerMessage[] } {
  const held: PeerMessage[] = [];
  let next = 0;
  return {
    held,
    remember: (message) => {
      if ("signed" in message) held[next++ % REMEMBERED_MAX] = message;
    },
  };
}

/** One field of the body changed, the signature left as it was. */
function tamper(powers: Powers, body: SignedBody): SignedBody {
  switch (body.type) {
    case "votes":
      return { ...body, votes: body.votes.map((vote) => ({ ...vote, digest: hashText(`framed|${vote.digest}`) })) };
    case "pre-prepare":
      return powers.random.chance(0.5) ? { ...body, digest: hashText(`framed|${body.digest}`) } : { ...body, seq: seqNum(body.seq + 1) };
    case "checkpoint":
      return { ...body, root: hashText(`framed|${body.root}`) };
    case "view-change":
      return powers.random.chance(0.5) ? { ...body, prepared: [] } : { ...body, view: toView(body.view + 1) };
    case "new-view":
      return { ...body, prePrepares: body.prePrepares.slice(1) };
    case "outcome":
      return body;
  }
}

/**
 * Frames others: relays their statements with a field altered, or with another statement's signature, so that they would seem to
 * contradict themselves. Many at once, for the verifiers.
 */
export const forger: PolicyFactory = (powers) => {
  const { remember, held } = memory();
  const burst = powers.random.pick([1, 1, 8]);
  return {
    name: "forger",
    incoming: (_from, message) => {
      remember(message);
      return true;
    },
    tick: (): readonly Outgoing[] => {
      if (held.length === 0 || !powers.random.chance(0.2)) return [];
      const lies: Outgoing[] = [];
      for (let i = 0; i < burst; i++) {
        const message = powers.random.pick(held);
        if (!("signed" in message)) continue;
        const other = powers.random.pick(held);
        const body = tamper(powers, message.signed.body);
        const bytes = "signed" in other && powers.random.chance(0.5) ? other.signed.bytes : message.signed.bytes;
        lies.push({ to: powers.random.pick(othersOf(powers)), message: { ...message, signed: { body, bytes } } as PeerMessage });
      }
      return lies;
    },
  };
};

/** Votes and proposals of another epoch, properly signed. */
export const foreignEpoch: PolicyFactory = (powers) => ({
  name: "foreign-epoch",
  outgoing: (out) => {
    const { message, to } = out;
    if (!("signed" in message) || message.signed.body.sender !== powers.self || !powers.random.chance(0.3)) return [out];
    const epoch = toEpoch(message.signed.body.epoch + powers.random.int(1, 3));
    return [{ to, message: { ...message, signed: powers.signer.sign({ ...message.signed.body, epoch }) } as PeerMessage }];
  },
});

/** Own proposals and votes of earlier, signed anew for the view of now. */
export const timeShift: PolicyFactory = (powers) => {
  const { remember, held } = memory();
  return {
    name: "time-shift",
    outgoing: (out) => {
      if ("signed" in out.message && out.message.signed.body.sender === powers.self) remember(out.message);
      return [out];
    },
    tick: (): readonly Outgoing[] => {
      const now = powers.status();
      if (now === undefined || held.length === 0 || !powers.random.chance(0.2)) return [];
      const message = powers.random.pick(held);
      const to = powers.random.pick(othersOf(powers));
      if (message.type === "pre-prepare") return [{ to, message: { ...message, signed: powers.signer.sign({ ...message.signed.body, view: now.view }) } }];
      if (message.type !== "votes") return [{ to, message }];
      const votes = message.signed.body.votes.map((vote) => ({ ...vote, view: now.view }));
      return [{ to, message: { type: "votes", signed: powers.signer.sign({ ...message.signed.body, votes }) } }];
    },
  };
};

/** Every field of a vote or proposal at random, signed with its own key. */
export const anyMutations: PolicyFactory = (powers) => {
  const { random } = powers;
  const number = (): number => random.pick([0, 1, random.int(0, 50), random.int(0, 1_000_000), Number.MAX_SAFE_INTEGER - random.int(0, 3)]);
  const digest = (): Vote["digest"] => random.pick([NULL_DIGEST, hashText(`random ${random.word()}`)]);
  const vote = (): Vote => ({ phase: random.pick(["prepare", "commit"] as const), view: toView(number()), seq: seqNum(number()), digest: digest() });
  return {
    name: "any-mutations",
    outgoing: (out) => {
      const { message, to } = out;
      if (!("signed" in message) || message.signed.body.sender !== powers.self || !random.chance(0.3)) return [out];
      const { body } = message.signed;
      if (body.type === "votes") {
        const signed = powers.signer.sign({ ...body, votes: body.votes.map((held) => (random.chance(0.5) ? vote() : { ...held, seq: seqNum(number()) })) });
        return [{ to, message: { type: "votes", signed } }];
      }
      if (body.type === "pre-prepare") {
        return [{ to, message: { ...message, signed: powers.signer.sign({ ...body, view: toView(number()), seq: seqNum(number()), digest: digest() }) } as PeerMessage }];
      }
      if (body.type === "checkpoint") return [{ to, message: { type: "checkpoint", signed: powers.signer.sign({ ...body, seq: seqNum(number()), root: digest() }) } }];
      return [out];
    },
  };
};
