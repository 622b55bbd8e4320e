/** Agreement (PBFT §3, safety): no two correct replicas decide different batches for one sequence number. */
import type { CommitCertificate, Digest } from "@narses/core";
import { fail, type Oracle, type Watched } from "./oracle.ts";

export function agreementOracle(): Oracle {
  const decided = new Map<number, { readonly digest: Digest; readonly by: string }>();
  const check = (replica: Watched, { seq, digest }: CommitCertificate): void => {
    const held = decided.get(seq);
    if (held === undefined) decided.set(seq, { digest, by: replica.name });
    else if (held.digest !== digest) fail("agreement", `n${seq}: ${held.by} decided ${held.digest.slice(0, 6)}, ${replica.name} decided ${digest.slice(0, 6)}`);
  };
  return {
    name: "agreement",
    onEffect: (replica, effect) => {
      if (effect.type === "execute") check(replica, effect.certificate);
      else if (effect.type === "persist" && effect.record.type === "committed") check(replica, effect.record.certificate);
    },
  };
}
