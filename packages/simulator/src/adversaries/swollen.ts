/** View changes that are too much: checkpoints nobody proved, view-changes of other views, certificates and slots without end. */
import type { NewView, PeerMessage, PrePrepare, Signed, StableCheckpoint, ViewChange } from "@narses/core";
import { NULL_DIGEST, seqNum } from "@narses/core";
import { hashText } from "../hash.ts";
import type { Outgoing, PolicyFactory, Powers } from "./policy.ts";

/** A VIEW-CHANGE from a checkpoint above everybody's, on its own word: fewer votes than Q, or one of them Q times. */
export const unprovenCheckpoint: PolicyFactory = (powers) => {
  const { random, config, signer, self } = powers;
  const invent = (above: number): StableCheckpoint => {
    const k = config.parameters.checkpointInterval;
    const seq = seqNum(k * (Math.floor(above / k) + random.pick([1, 2, 1_000_000])));
    const root = hashText(`unproven|${seq}`);
    const vote = signer.sign({ type: "checkpoint", epoch: config.epoch, sender: self, seq, root });
    return { seq, root, proof: Array.from({ length: random.pick([0, 1, config.quorums.strong - 1, config.quorums.strong]) }, () => vote) };
  };
  return {
    name: "unproven-checkpoint",
    outgoing: (out): readonly Outgoing[] => {
      if (out.message.type !== "view-change" || out.message.signed.body.sender !== self || random.chance(0.3)) return [out];
      const { body } = out.message.signed;
      return [{ to: out.to, message: { type: "view-change", signed: signer.sign({ ...body, stable: invent(body.stable.seq), prepared: [] }) } }];
    },
  };
};

type Change = (body: NewView, seen: readonly Signed<ViewChange>[]) => NewView;

const nullProposal = (powers: Powers, { view, epoch }: NewView, seq: number): Signed<PrePrepare> =>
  powers.signer.sign({ type: "pre-prepare", epoch, sender: powers.self, view, seq: seqNum(seq), digest: NULL_DIGEST });

/** NEW-VIEWs with view-changes of earlier views among theirs, of everybody, twice over, or with slots for many windows. */
export const swollenNewView: PolicyFactory = (powers) => {
  const { random, config, self } = powers;
  const seen: Signed<ViewChange>[] = [];
  const remember = (message: PeerMessage): void => {
    if (message.type !== "view-change") return;
    seen.push(message.signed);
    if (seen.length > 4 * config.quorums.n) seen.shift();
  };
  const changes: readonly Change[] = [
    // In the place of one of its view-changes, one of the same sender for another view.
    (body, old) => ({ ...body, viewChanges: body.viewChanges.map((vc) => old.find((other) => other.body.sender === vc.body.sender && other.body.view !== body.view) ?? vc) }),
    (body, old) => ({ ...body, viewChanges: [...body.viewChanges, ...old].sort((a, b) => a.body.sender - b.body.sender) }),
    (body) => ({ ...body, viewChanges: [...body.viewChanges, ...body.viewChanges] }),
    (body) => {
      const first = (body.prePrepares.at(-1)?.body.seq ?? 0) + 1;
      const more = Array.from({ length: 4 * config.parameters.logWindow }, (_, i) => nullProposal(powers, body, first + i));
      return { ...body, prePrepares: [...body.prePrepares, ...more] };
    },
  ];
  let current: { readonly of: Signed<NewView>; readonly told: PeerMessage } | undefined;
  return {
    name: "swollen-new-view",
    incoming: (_from, message) => {
      remember(message);
      return true;
    },
    outgoing: (out): readonly Outgoing[] => {
      const { message, to } = out;
      remember(message);
      if (message.type !== "new-view" || message.signed.body.sender !== self) return [out];
      if (current?.of !== message.signed) {
        const { body } = message.signed;
        current = { of: message.signed, told: { type: "new-view", signed: powers.signer.sign(random.pick(changes)(body, seen)) } };
      }
      return [{ to, message: current.told }];
    },
  };
};
