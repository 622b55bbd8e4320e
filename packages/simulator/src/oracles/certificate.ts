/** Every executed slot carries a commit certificate that stands on its own: judged here by code that shares nothing with the engine's. */
import type { CommitCertificate } from "@narses/core";
import type { Toolkit } from "../keyring.ts";
import { fail, type Oracle } from "./oracle.ts";

export function certificateOracle(n: number, f: number, toolkit: Toolkit): Oracle {
  // Smallest q with 2q − n > f: any two such sets share more members than can be faulty.
  let quorum = 1;
  while (2 * quorum - n <= f) quorum++;
  const problem = (certificate: CommitCertificate): string | undefined => {
    const backers = new Set<number>();
    for (const { frame, index } of certificate.commits) {
      const vote = frame.body.votes[index];
      const matches = vote?.phase === "commit" && vote.seq === certificate.seq && vote.view === certificate.view && vote.digest === certificate.digest;
      if (!matches) return "holds a vote for something else";
      if (!toolkit.verifySigned(frame)) return `holds a forged vote of r${frame.body.sender}`;
      backers.add(frame.body.sender);
    }
    return backers.size >= quorum ? undefined : `has ${backers.size} backers of ${quorum}`;
  };
  return {
    name: "certificate",
    onEffect: (replica, effect) => {
      if (effect.type !== "execute") return;
      const found = effect.certificate.seq !== effect.seq ? "is for another slot" : problem(effect.certificate);
      if (found !== undefined) fail("certificate", `${replica.name} executes n${effect.seq} on a certificate that ${found}`);
    },
  };
}
