/**
 * ByzzFuzz (Winter et al., OOPSLA 2023): a few process faults within the first rounds, each a small-scope mutation of one message, the
 * same for a random subset of its receivers. Few and small beats many and wild: most of the protocol still happens.
 */
import type { Digest, PeerMessage, ReplicaId, SignedBody } from "@narses/core";
import { epoch as toEpoch, seqNum, view as toView } from "@narses/core";
import type { Outgoing, PolicyFactory, Powers } from "./policy.ts";
import { randomSide } from "./policy.ts";

/** c and r of the paper: process faults, and own messages among which they fall. */
const FAULTS_MAX = 6;
const ROUNDS = [20, 60, 200] as const;
/** Digests of earlier messages, for mutations to pick from. */
const DIGESTS_MAX = 32;

const MUTATIONS = ["omit", "view+1", "view-1", "seq+1", "seq-1", "epoch+1", "timestamp+1", "earlier digest", "other phase"] as const;
type Mutation = (typeof MUTATIONS)[number];

interface Fault {
  readonly round: number;
  readonly receivers: ReadonlySet<ReplicaId>;
  readonly mutation: Mutation;
}

const clamp = (value: number, min: number): number => Math.min(Number.MAX_SAFE_INTEGER, Math.max(min, value));

function mutate(mutation: Mutation, body: SignedBody, earlier: Digest | undefined): SignedBody {
  const step = mutation.endsWith("+1") ? 1 : -1;
  if (mutation === "epoch+1") return { ...body, epoch: toEpoch(body.epoch + 1) };
  if (body.type === "votes") {
    return { ...body, votes: body.votes.map((vote) => {
      if (mutation.startsWith("view")) return { ...vote, view: toView(clamp(vote.view + step, 0)) };
      if (mutation.startsWith("seq")) return { ...vote, seq: seqNum(clamp(vote.seq + step, 0)) };
      if (mutation === "earlier digest") return { ...vote, digest: earlier ?? vote.digest };
      return mutation === "other phase" ? { ...vote, phase: vote.phase === "prepare" ? "commit" : "prepare" } : vote;
    }) };
  }
  if ("view" in body && mutation.startsWith("view")) return { ...body, view: toView(clamp(body.view + step, body.type === "pre-prepare" ? 0 : 1)) };
  if ("seq" in body && mutation.startsWith("seq")) return { ...body, seq: seqNum(clamp(body.seq + step, 0)) };
  if (body.type === "pre-prepare" && mutation === "earlier digest") return { ...body, digest: earlier ?? body.digest };
  return body;
}

export const byzzfuzz: PolicyFactory = (powers) => {
  const { random } = powers;
  const rounds = random.pick(ROUNDS);
  const faults = Array.from({ length: random.int(1, FAULTS_MAX) }, (): Fault => (
    { round: random.int(1, rounds), receivers: randomSide(powers), mutation: random.pick(MUTATIONS) }
  ));
  const digests: Digest[] = [];
  let round = 0;
  let current: unknown;
  let mutated = new Map<Mutation, PeerMessage>();
  const remember = (digest: Digest): void => {
    digests[round % DIGESTS_MAX] = digest;
  };
  const changed = (message: Extract<PeerMessage, { readonly signed: unknown }>, mutation: Mutation): PeerMessage => {
    if (mutation === "timestamp+1" && message.type === "pre-prepare") return retime(powers, message);
    const signed = powers.signer.sign(mutate(mutation, message.signed.body, digests.length > 0 ? random.pick(digests.filter((d) => d !== undefined)) : undefined));
    return { ...message, signed } as PeerMessage;
  };
  return {
    name: "byzzfuzz",
    outgoing: (out): readonly Outgoing[] => {
      const { message, to } = out;
      if (!("signed" in message) || message.signed.body.sender !== powers.self) return [out];
      if (message.signed !== current) {
        // One signed message is one round, however many receivers it has.
        current = message.signed;
        round++;
        mutated = new Map();
        if (message.signed.body.type === "pre-prepare") remember(message.signed.body.digest);
      }
      const fault = faults.find((f) => f.round === round && f.receivers.has(to));
      if (fault === undefined) return [out];
      if (fault.mutation === "omit") return [];
      let told = mutated.get(fault.mutation);
      if (told === undefined) mutated.set(fault.mutation, (told = changed(message, fault.mutation)));
      return [{ to, message: told }];
    },
  };
};

function retime(powers: Powers, message: Extract<PeerMessage, { readonly type: "pre-prepare" }>): PeerMessage {
  const batch = powers.toolkit.tools.makeBatch(message.batch.epoch, message.batch.timestampMs + 1, message.batch.bundles);
  return { type: "pre-prepare", signed: powers.signer.sign({ ...message.signed.body, digest: batch.digest }), batch };
}
