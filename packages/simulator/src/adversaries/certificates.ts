/** Certificates that do not add up: too few votes, one vote many times, its own word for a quorum's. Each signature in them is genuine. */
import type { Batch, CommitCertificate, Digest, PeerMessage, PreparedCertificate, SeqNum, Signed, View, Vote, VoteRef, Votes } from "@narses/core";
import { seqNum, view as toView } from "@narses/core";
import { hashText } from "../hash.ts";
import type { Outgoing, PolicyFactory, Powers } from "./policy.ts";
import { othersOf } from "./policy.ts";

const frameOf = (powers: Powers, vote: Vote): Signed<Votes> => powers.signer.sign({ type: "votes", epoch: powers.config.epoch, sender: powers.self, votes: [vote] });

/** The own vote, as often as a quorum would have votes; or fewer times; or not at all. */
function backing(powers: Powers, vote: Vote, needed: number): readonly VoteRef[] {
  const frame = frameOf(powers, vote);
  const count = powers.random.pick([0, 1, needed - 1, needed, needed]);
  return Array.from({ length: Math.max(0, count) }, () => ({ frame, index: 0 }));
}

/** The last view below `view` that this replica led: only there can it make the pre-prepare itself. */
function ledBelow(powers: Powers, view: View): View | undefined {
  const { n } = powers.config.quorums;
  const last = view - 1 - ((((view - 1 - powers.self) % n) + n) % n);
  return last < 0 ? undefined : toView(last);
}

function forgePrepared(powers: Powers, seq: SeqNum, view: View, digest: Digest): PreparedCertificate {
  const prePrepare = powers.signer.sign({ type: "pre-prepare", epoch: powers.config.epoch, sender: powers.self, view, seq, digest });
  return { prePrepare, prepares: backing(powers, { phase: "prepare", view, seq, digest }, powers.config.quorums.strong - 1) };
}

function forgeDecision(powers: Powers, seq: SeqNum, view: View): PeerMessage {
  const { epoch } = powers.config;
  const batch: Batch = powers.toolkit.tools.makeBatch(epoch, powers.random.int(1, 1_000), [powers.random.pick(powers.bundles)]);
  const { digest } = batch;
  const certificate: CommitCertificate = { view, seq, digest, commits: backing(powers, { phase: "commit", view, seq, digest }, powers.config.quorums.strong) };
  return { type: "decision", certificate, batch };
}

/** Claims in VIEW-CHANGE that it prepared what nobody prepared, and hands out decisions that nobody took. */
export const forgedCertificates: PolicyFactory = (powers) => ({
  name: "forged-certificates",
  outgoing: (out): readonly Outgoing[] => {
    const { message, to } = out;
    if (message.type !== "view-change" || message.signed.body.sender !== powers.self) return [out];
    const { body } = message.signed;
    const led = ledBelow(powers, body.view);
    if (led === undefined) return [out];
    const last = Math.max(body.prepared.at(-1)?.prePrepare.body.seq ?? 0, body.stable.seq + powers.random.int(1, 3));
    const prepared: PreparedCertificate[] = [];
    for (let seq = body.stable.seq + 1; seq <= Math.min(last, body.stable.seq + powers.config.parameters.logWindow); seq++) {
      prepared.push(forgePrepared(powers, seqNum(seq), led, hashText(`forged|${seq}`)));
    }
    return [{ to, message: { type: "view-change", signed: powers.signer.sign({ ...body, prepared }) } }];
  },
  tick: (): readonly Outgoing[] => {
    const now = powers.status();
    if (now === undefined || powers.bundles.length === 0 || !powers.random.chance(0.1)) return [];
    const to = powers.random.pick(othersOf(powers));
    return [{ to, message: forgeDecision(powers, seqNum(now.executedSeq + powers.random.int(1, 2)), now.view) }];
  },
});
