/** Lies about views: VIEW-CHANGE spam, VIEW-CHANGEs that hide or forge, NEW-VIEWs that drop, shift or shorten. */
import type { NewView, PeerMessage, PreparedCertificate, Signed, StableCheckpoint, ViewChange } from "@narses/core";
import { NULL_DIGEST, seqNum, view as toView } from "@narses/core";
import { selectProposals } from "@narses/pbft";
import { hashText } from "../hash.ts";
import type { Outgoing, PolicyFactory, Powers } from "./policy.ts";
import { othersOf, randomSide, toAll } from "./policy.ts";

const genesis = (powers: Powers): StableCheckpoint => ({ seq: seqNum(0), root: powers.config.genesisRoot, proof: [] });

const sendViewChange = (powers: Powers, body: Omit<ViewChange, "type" | "epoch" | "sender">): PeerMessage => ({
  type: "view-change",
  signed: powers.signer.sign({ type: "view-change", epoch: powers.config.epoch, sender: powers.self, ...body }),
});

/** VIEW-CHANGEs all the time, to the next view or to one far away. */
export const viewChangeSpam: PolicyFactory = (powers) => ({
  name: "view-change-spam",
  tick: () => {
    if (!powers.random.chance(0.1)) return [];
    const now = powers.status()?.view ?? 0;
    const target = powers.random.pick([now + 1, now + 2, now + 1 + powers.random.int(1, 50), Number.MAX_SAFE_INTEGER - powers.random.int(0, 9)]);
    const message = sendViewChange(powers, { view: toView(target), stable: genesis(powers), prepared: [] });
    return [...randomSide(powers)].map((to) => ({ to, message }));
  },
});

/** Ways to spoil the P of a VIEW-CHANGE; the last two make it invalid. */
const SPOIL: readonly ((powers: Powers, prepared: readonly PreparedCertificate[]) => readonly PreparedCertificate[])[] = [
  () => [],
  (powers, p) => p.filter(() => powers.random.chance(0.5)),
  (_powers, p) => p.slice(0, -1),
  (_powers, p) => p.map((c) => ({ ...c, prepares: c.prepares.slice(1) })),
  (_powers, p) => p.map((c) => ({ ...c, prepares: c.prepares.map(() => c.prepares[0] as (typeof c.prepares)[number]) })),
];

/** Hides what it prepared, or pretends to an older checkpoint; another lie for each listener. */
export const viewChangeLiar: PolicyFactory = (powers) => ({
  name: "view-change-liar",
  outgoing: (out) => {
    if (out.message.type !== "view-change" || out.message.signed.body.sender !== powers.self) return [out];
    const { view, stable, prepared } = out.message.signed.body;
    const spoilt = powers.random.pick(SPOIL)(powers, prepared);
    const h = powers.random.chance(0.3) ? genesis(powers) : stable;
    return [{ to: out.to, message: sendViewChange(powers, { view, stable: h, prepared: spoilt }) }];
  },
});

type NewViewSpoiler = (powers: Powers, body: NewView) => NewView;

const respell = (powers: Powers, body: NewView, change: (pp: NewView["prePrepares"][number]["body"], i: number) => NewView["prePrepares"][number]["body"]): NewView => ({
  ...body, prePrepares: body.prePrepares.map((pp, i) => powers.signer.sign(change(pp.body, i))),
});

const SPOIL_NEW_VIEW: readonly NewViewSpoiler[] = [
  (_powers, body) => ({ ...body, prePrepares: body.prePrepares.slice(1) }),
  (_powers, body) => ({ ...body, prePrepares: body.prePrepares.slice(0, -1) }),
  (powers, body) => respell(powers, body, (pp) => ({ ...pp, digest: NULL_DIGEST })),
  (powers, body) => respell(powers, body, (pp) => ({ ...pp, digest: hashText(`spoilt|${pp.seq}`) })),
  (powers, body) => respell(powers, body, (pp) => ({ ...pp, seq: seqNum(pp.seq + 1) })),
  (_powers, body) => ({ ...body, viewChanges: body.viewChanges.slice(1) }),
  (_powers, body) => ({ ...body, viewChanges: body.viewChanges.map(() => body.viewChanges[0] as Signed<ViewChange>) }),
  (powers, body) => ({ ...body, prePrepares: [...body.prePrepares, powers.signer.sign({
    type: "pre-prepare", epoch: body.epoch, sender: powers.self, view: body.view, seq: seqNum((body.prePrepares.at(-1)?.body.seq ?? 0) + 1), digest: NULL_DIGEST,
  })] }),
];

/** Sends NEW-VIEWs that do not follow from their V; to some or to all, mixed with the genuine one. */
export const newViewLiar: PolicyFactory = (powers) => {
  const side = randomSide(powers);
  return {
    name: "new-view-liar",
    outgoing: (out) => {
      if (out.message.type !== "new-view" || out.message.signed.body.sender !== powers.self || !side.has(out.to)) return [out];
      return [{ to: out.to, message: { type: "new-view", signed: powers.signer.sign(powers.random.pick(SPOIL_NEW_VIEW)(powers, out.message.signed.body)) } }];
    },
  };
};

/** Another V for each side: both NEW-VIEWs are valid, their O may differ in slots nobody committed. */
export const twoNewViews: PolicyFactory = (powers) => {
  const side = randomSide(powers);
  const seen = new Map<string, Signed<ViewChange>>();
  const remember = (message: PeerMessage): void => {
    if (message.type !== "view-change") return;
    seen.set(`${message.signed.body.view} ${message.signed.body.sender}`, message.signed);
    const oldest = seen.keys().next();
    if (seen.size > 4 * powers.config.quorums.n && oldest.done !== true) seen.delete(oldest.value);
  };
  const second = (body: NewView): NewView | undefined => {
    const others = [...seen.values()].filter((vc) => vc.body.view === body.view && !body.viewChanges.some((held) => held.body.sender === vc.body.sender));
    const [extra] = others;
    if (extra === undefined) return undefined;
    const viewChanges = [...body.viewChanges.slice(1), extra].sort((a, b) => a.body.sender - b.body.sender);
    const { proposals } = selectProposals(viewChanges.map((vc) => vc.body));
    const prePrepares = proposals.map(({ seq, digest }) => powers.signer.sign({ type: "pre-prepare", epoch: body.epoch, sender: powers.self, view: body.view, seq, digest }));
    return { ...body, viewChanges, prePrepares };
  };
  const held: { readonly out: Outgoing; readonly body: NewView; ticks: number }[] = [];
  return {
    name: "two-new-views",
    incoming: (_from, message) => {
      remember(message);
      return true;
    },
    outgoing: (out) => {
      remember(out.message);
      if (out.message.type !== "new-view" || out.message.signed.body.sender !== powers.self || !side.has(out.to)) return [out];
      if (held.length < powers.config.quorums.n) held.push({ out, body: out.message.signed.body, ticks: 0 });
      return [];
    },
    // Held back until one more view-change is known, or for a while.
    tick: () => held.splice(0).flatMap((entry): readonly Outgoing[] => {
      const body = second(entry.body);
      if (body !== undefined) return [{ to: entry.out.to, message: { type: "new-view", signed: powers.signer.sign(body) } }];
      if (++entry.ticks > 5) return [entry.out];
      held.push(entry);
      return [];
    }),
  };
};

/** Invalid NEW-VIEWs of views far ahead that it would lead: bait to drag single replicas away. */
export const newViewBait: PolicyFactory = (powers) => ({
  name: "new-view-bait",
  tick: (): readonly Outgoing[] => {
    if (!powers.random.chance(0.05)) return [];
    const { n } = powers.config.quorums;
    const now = powers.status()?.view ?? 0;
    const target = (Math.floor(now / n) + powers.random.pick([1, 2, 1_000, 1_000_000])) * n + powers.self;
    const signed = powers.signer.sign({
      type: "new-view", epoch: powers.config.epoch, sender: powers.self, view: toView(target), viewChanges: [], prePrepares: [],
    });
    const message: PeerMessage = { type: "new-view", signed };
    return powers.random.chance(0.5) ? toAll(powers, message) : [{ to: powers.random.pick(othersOf(powers)), message }];
  },
});
