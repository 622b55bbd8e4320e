/** A primary whose proposals differ from what its engine made, the same for every listener, with its own votes to match. */
import type { Batch, Digest, PrePrepare } from "@narses/core";
import type { Outgoing, Policy, Powers } from "./policy.ts";

/** Proposals remembered, at most: enough for every slot of a window. */
const TOLD_MAX = 1_024;

export interface Retold {
  readonly batch?: Batch;
  /** Fields of the pre-prepare; `digest` is that of the batch unless given. */
  readonly body?: Partial<PrePrepare>;
}

/** `change` sees each own proposal once; undefined leaves it alone. */
export function retell(powers: Powers, name: string, change: (body: PrePrepare, batch: Batch) => Retold | undefined): Policy {
  const told = new Map<Digest, Retold | undefined>();
  const digests = new Map<Digest, Digest>();
  const decide = (body: PrePrepare, batch: Batch): Retold | undefined => {
    if (told.has(body.digest)) return told.get(body.digest);
    const decided = change(body, batch);
    told.set(body.digest, decided);
    const digest = decided?.body?.digest ?? decided?.batch?.digest;
    if (digest !== undefined) digests.set(body.digest, digest);
    const oldest = told.keys().next();
    if (told.size > TOLD_MAX && oldest.done !== true) told.delete(oldest.value);
    return decided;
  };
  return {
    name,
    outgoing: (out): readonly Outgoing[] => {
      const { message, to } = out;
      if (message.type === "pre-prepare" && message.signed.body.sender === powers.self) {
        const { body } = message.signed;
        const now = decide(body, message.batch);
        if (now === undefined) return [out];
        const batch = now.batch ?? message.batch;
        return [{ to, message: { type: "pre-prepare", signed: powers.signer.sign({ ...body, digest: batch.digest, ...now.body }), batch } }];
      }
      if (message.type !== "votes" || message.signed.body.sender !== powers.self || digests.size === 0) return [out];
      const { body } = message.signed;
      if (!body.votes.some((vote) => digests.has(vote.digest))) return [out];
      const votes = body.votes.map((vote) => ({ ...vote, digest: digests.get(vote.digest) ?? vote.digest }));
      return [{ to, message: { type: "votes", signed: powers.signer.sign({ ...body, votes }) } }];
    },
  };
}
