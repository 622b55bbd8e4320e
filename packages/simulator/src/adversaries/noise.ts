/** Repetition, lies in passing, and small mutations. */
import type { PeerMessage, SeqNum, SignedBody, Status, View, Vote } from "@narses/core";
import { NULL_DIGEST, seqNum, view as toView } from "@narses/core";
import { hashText } from "../hash.ts";
import type { Outgoing, PolicyFactory, Powers } from "./policy.ts";
import { othersOf, toAll } from "./policy.ts";

const REMEMBERED_MAX = 512;

/** Repeats old messages, its own and others', to anyone at any time. */
export const replay: PolicyFactory = (powers) => {
  const memory: PeerMessage[] = [];
  const remember = (message: PeerMessage): void => {
    if (memory.length < REMEMBERED_MAX) memory.push(message);
    else memory[powers.random.int(0, REMEMBERED_MAX - 1)] = message;
  };
  return {
    name: "replay",
    incoming: (_from, message) => {
      remember(message);
      return true;
    },
    outgoing: (out) => {
      remember(out.message);
      return [out];
    },
    tick: () => {
      if (memory.length === 0) return [];
      return Array.from({ length: powers.random.int(0, 4) }, () => ({ to: powers.random.pick(othersOf(powers)), message: powers.random.pick(memory) }));
    },
  };
};

/** STATUS that claims to lack everything, or to be far ahead; far more often than a correct replica sends it. */
export const statusLiar: PolicyFactory = (powers) => ({
  name: "status-liar",
  tick: () => {
    const now = powers.status();
    const { random } = powers;
    const view = toView(random.pick([0, now?.view ?? 0, (now?.view ?? 0) + 1, Number.MAX_SAFE_INTEGER]));
    const executedSeq = seqNum(random.pick([0, now?.executedSeq ?? 0, (now?.executedSeq ?? 0) + random.int(1, 1_000), Number.MAX_SAFE_INTEGER]));
    const active = random.chance(0.5);
    const status: Status = {
      view, active, executedSeq, stableSeq: seqNum(random.pick([0, now?.stableSeq ?? 0])),
      slots: new Uint8Array(random.int(0, 32)).fill(random.int(0, 255)), viewChanges: new Uint8Array(1),
    };
    return toAll(powers, { type: "status", status });
  },
});

/** Signs wrong roots, or two of them. */
export const wrongRoots: PolicyFactory = (powers) => ({
  name: "wrong-roots",
  outgoing: (out) => {
    if (out.message.type !== "checkpoint" || out.message.signed.body.sender !== powers.self) return [out];
    const { body } = out.message.signed;
    const lie: Outgoing = { to: out.to, message: { type: "checkpoint", signed: powers.signer.sign({ ...body, root: hashText(`lie|${out.to}|${body.seq}`) }) } };
    return powers.random.chance(0.3) ? [lie, out] : [lie];
  },
});

/** Signs checkpoints it has not reached. */
export const earlyCheckpoints: PolicyFactory = (powers) => ({
  name: "early-checkpoints",
  tick: () => {
    if (!powers.random.chance(0.1)) return [];
    const k = powers.config.parameters.checkpointInterval;
    const seq = seqNum(k * powers.random.pick([1, 2, 5, 1_000_000_000, Math.floor((powers.status()?.executedSeq ?? 0) / k) + 1]));
    return toAll(powers, {
      type: "checkpoint",
      signed: powers.signer.sign({ type: "checkpoint", epoch: powers.config.epoch, sender: powers.self, seq, root: hashText(`early|${seq}`) }),
    });
  },
});

/** Proposes far ahead: the last slot of the window and the first beyond it, leaving a gap. */
export const windowExhaustion: PolicyFactory = (powers) => ({
  name: "window-exhaustion",
  outgoing: (out) => {
    if (out.message.type !== "pre-prepare" || out.message.signed.body.sender !== powers.self || !powers.random.chance(0.5)) return [out];
    const high = powers.status()?.highWatermark ?? 0;
    const seq = seqNum(high + powers.random.pick([-1, 0, 0, 1, powers.config.parameters.logWindow, 1_000_000]));
    return [{ to: out.to, message: { type: "pre-prepare", signed: powers.signer.sign({ ...out.message.signed.body, seq }), batch: out.message.batch } }];
  },
});

const nearView = (powers: Powers, value: number, min: number): View => toView(Math.min(Number.MAX_SAFE_INTEGER, Math.max(min, value + powers.random.pick([-1, 1]))));
const nearSeq = (powers: Powers, value: number): SeqNum => seqNum(Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, value + powers.random.pick([-1, 1, 2]))));

function nudge(powers: Powers, vote: Vote): Vote {
  const { random } = powers;
  switch (random.int(0, 3)) {
    case 0:
      return { ...vote, view: nearView(powers, vote.view, 0) };
    case 1:
      return { ...vote, seq: nearSeq(powers, vote.seq) };
    case 2:
      return { ...vote, digest: NULL_DIGEST };
    default:
      return { ...vote, phase: vote.phase === "prepare" ? "commit" : "prepare" };
  }
}

function mutateBody(powers: Powers, body: SignedBody): SignedBody {
  const { random } = powers;
  switch (body.type) {
    case "votes":
      return { ...body, votes: body.votes.map((vote) => (random.chance(0.7) ? nudge(powers, vote) : vote)) };
    case "pre-prepare":
      return random.chance(0.5)
        ? { ...body, view: nearView(powers, body.view, 0) }
        : { ...body, seq: nearSeq(powers, body.seq) };
    case "checkpoint":
      return { ...body, seq: nearSeq(powers, body.seq) };
    case "view-change":
    case "new-view":
      return { ...body, view: nearView(powers, body.view, 1) };
    case "outcome":
      return body;
  }
}

/** ByzzFuzz, small scope: now and then a field is off by one, signed anew with its own key. */
export const smallMutations: PolicyFactory = (powers) => ({
  name: "small-mutations",
  outgoing: (out) => {
    const { message, to } = out;
    if (!powers.random.chance(0.3)) return [out];
    if (!("signed" in message) || message.signed.body.sender !== powers.self) return [out];
    const signed = powers.signer.sign(mutateBody(powers, message.signed.body));
    return [{ to, message: { ...message, signed } as PeerMessage }];
  },
});
