/**
 * A liar that watches everyone: it knows how far each correct replica is and says, to each, what pulls them furthest apart. The one
 * ahead gets everything and decides alone; the others get nothing that would let them follow; then it asks for a new view and hides what
 * it knows was prepared.
 */
import type { PreparedCertificate, ReplicaId } from "@narses/core";
import { NULL_DIGEST, seqNum, view as toView } from "@narses/core";
import { selectProposals } from "@narses/pbft";
import type { Outgoing, PolicyFactory, Powers } from "./policy.ts";
import { othersOf } from "./policy.ts";

/** The correct replica that is furthest; the lowest id among equals. */
function leaderOf(powers: Powers): ReplicaId | undefined {
  let best: { readonly id: ReplicaId; readonly executed: number } | undefined;
  for (const { id, status } of powers.observe()) {
    if (best === undefined || status.executedSeq > best.executed) best = { id, executed: status.executedSeq };
  }
  return best?.id;
}

/** The phases of its plan: let one get ahead, then leave it there. */
type Phase = "feed" | "starve";

export const adaptive: PolicyFactory = (powers) => {
  let phase: Phase = "feed";
  let ticks = 0;
  let favourite: ReplicaId | undefined;
  const hide = (prepared: readonly PreparedCertificate[]): readonly PreparedCertificate[] => (phase === "starve" ? [] : prepared.slice(1));
  return {
    name: "adaptive",
    outgoing: (out): readonly Outgoing[] => {
      const { message, to } = out;
      if (message.type === "pre-prepare") return phase === "starve" && to !== favourite ? [] : [out];
      if (message.type === "votes") return to === favourite ? [out] : [];
      if (message.type === "view-change" && message.signed.body.sender === powers.self) {
        const { body } = message.signed;
        return [{ to, message: { type: "view-change", signed: powers.signer.sign({ ...body, prepared: hide(body.prepared) }) } }];
      }
      if (message.type === "new-view" && message.signed.body.sender === powers.self && message.signed.body.viewChanges.length > 0 && powers.random.chance(0.5)) {
        // Takes the favourite's slots out of O: null where its V calls for a batch.
        const { body } = message.signed;
        const { proposals } = selectProposals(body.viewChanges.map((vc) => vc.body));
        const { epoch, view } = body;
        const prePrepares = proposals.map(({ seq }) => powers.signer.sign({ type: "pre-prepare", epoch, sender: powers.self, view, seq, digest: NULL_DIGEST }));
        return [{ to, message: { type: "new-view", signed: powers.signer.sign({ ...body, prePrepares }) } }];
      }
      if (message.type === "decision" || message.type === "batch" || message.type === "stable") return [];
      return [out];
    },
    tick: (): readonly Outgoing[] => {
      ticks++;
      const ahead = leaderOf(powers);
      if (favourite === undefined || phase === "feed") favourite = ahead ?? othersOf(powers)[0];
      if (ticks % 20 !== 0) return [];
      const seen = powers.observe().map(({ status }) => status.executedSeq);
      const apart = seen.length > 0 ? Math.max(...seen) - Math.min(...seen) : 0;
      phase = phase === "feed" && apart > 0 ? "starve" : "feed";
      const now = powers.status();
      if (phase !== "starve" || now === undefined) return [];
      // Push the others into a new view while the favourite is alone with what it decided.
      const stable = { seq: seqNum(0), root: powers.config.genesisRoot, proof: [] };
      const view = toView(now.view + 1);
      const signed = powers.signer.sign({ type: "view-change", epoch: powers.config.epoch, sender: powers.self, view, stable, prepared: [] });
      return othersOf(powers).filter((to) => to !== favourite).map((to) => ({ to, message: { type: "view-change", signed } }));
    },
  };
};
