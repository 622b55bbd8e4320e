/** Plain words about the engine's state, and what they are made of, for `status` and `why`. */
import type { Digest, EngineStatus, ReplicaId, SlotStatus, VoteStatus } from "@narses/core";
import { primaryOf, replicaId, view as toView } from "@narses/core";
import { describeSilence } from "./memory.ts";
import { hasPayload, matchingVotes } from "./slots.ts";
import { highWatermark, n, primary, type Replica, type Slot, slotsOpen, strong } from "./state.ts";
import { clockSentence } from "./time.ts";
import { ticksLeft } from "./timer.ts";

/** Sentences in `waitingFor`, and slots in `slots`, at most. */
const SENTENCES_MAX = 16;

type Phase = "pre-prepare" | "payload" | "prepare" | "commit" | "execute";

export function describe(r: Replica): EngineStatus {
  const open = [...slotsOpen(r)].sort((a, b) => a.seq - b.seq);
  const slots = open.slice(0, SENTENCES_MAX).map((slot) => describeSlot(r, slot));
  const timer = ticksLeft(r);
  const silence = describeSilence(r);
  return {
    view: r.view, active: r.active, primary: primary(r), stableSeq: r.stable.seq, executedSeq: r.executed,
    highWatermark: highWatermark(r), pendingBundles: r.waiting.size,
    openSlots: open.filter((slot) => [slot.proposal, slot.committed, slot.announced].some((known) => known !== undefined)).length,
    waitingFor: waitingFor(r, slots),
    slots,
    ...(!r.active && { viewChange: viewChangeVotes(r) }),
    ...(silence !== undefined && { silence }),
    ...(timer !== undefined && { timer: { name: timer.timer, view: timer.view, ticksLeft: timer.ticks } }),
    peers: [...r.peers].map(([replica, peer]) => ({ replica, executedSeq: peer.claimedExecuted })).sort((a, b) => a.replica - b.replica),
  };
}

function waitingFor(r: Replica, slots: readonly (SlotStatus & { readonly phase: Phase })[]): readonly string[] {
  const words: string[] = [];
  const clock = clockSentence(r);
  if (clock !== undefined) words.push(clock);
  const silence = describeSilence(r);
  if (silence !== undefined) words.push(silence.reason);
  if (r.transfer !== undefined) {
    const why = r.diverged ? "the state here differs from a stable checkpoint" : `executed ${r.executed}, too far behind to follow by decisions`;
    words.push(`the state as of checkpoint ${r.transfer.seq} from peers: ${why}`);
  }
  if (!r.active) {
    const { have, needed } = viewChangeVotes(r);
    words.push(have.length < needed
      ? `view-changes to view ${r.view} or later: has ${have.length} of ${needed} (from ${have.join(", ") || "nobody"})`
      : `the new-view of view ${r.view} from replica ${primaryOf(toView(r.view), n(r))}`);
  }
  if (r.transfer === undefined && r.stableKnown.seq > r.stable.seq) words.push(`decided slots up to the stable checkpoint ${r.stableKnown.seq} from peers: executed ${r.executed}`);
  for (const slot of slots) {
    if (words.length >= SENTENCES_MAX) break;
    words.push(sentence(r, slot));
  }
  const left = ticksLeft(r);
  if (left !== undefined) words.push(`${left.timer} timer of view ${left.view}: ${left.ticks} ticks left`);
  return words;
}

function sentence(r: Replica, { seq, phase, have, needed }: SlotStatus & { readonly phase: Phase }): string {
  const slot = r.slots.get(seq);
  switch (phase) {
    case "execute":
      return `slots before ${seq}, which is decided`;
    case "payload":
      return slot?.committed === undefined ? `the payload of slot ${seq}` : `the payload of decided slot ${seq}`;
    case "pre-prepare":
      return `the pre-prepare of slot ${seq} in view ${r.view}`;
    case "prepare":
      return `prepares for slot ${seq}: has ${have.length} of ${needed}`;
    case "commit":
      return `commits for slot ${seq}: has ${have.length} of ${needed}`;
  }
}

/** What the slot lacks next, and whose votes for that are here. */
function describeSlot(r: Replica, slot: Slot): SlotStatus & { readonly phase: Phase } {
  const { seq, announced, proposal, committed } = slot;
  const none: VoteStatus = { have: [], missing: [], needed: 0 };
  if (committed !== undefined) {
    return { seq, phase: hasPayload(slot, committed.digest) ? "execute" : "payload", digest: committed.digest, ...none };
  }
  if (announced?.signed.body.view === r.view && proposal?.view !== r.view) return { seq, phase: "payload", digest: announced.signed.body.digest, ...none };
  if (proposal === undefined || proposal.view !== r.view) return { seq, phase: "pre-prepare", ...none, missing: [primary(r)], needed: 1 };
  const { digest } = proposal;
  if (!hasPayload(slot, digest)) return { seq, phase: "payload", digest, ...none };
  if (slot.prepared?.prePrepare.body.view === r.view) return { seq, phase: "commit", digest, ...votes(r, slot, "commits", digest) };
  return { seq, phase: "prepare", digest, ...votes(r, slot, "prepares", digest) };
}

/** Votes for `digest` in the current view. The primary's pre-prepare stands for its PREPARE. */
function votes(r: Replica, slot: Slot, kind: "prepares" | "commits", digest: Digest): VoteStatus {
  const have = matchingVotes(slot[kind], r.view, digest).map(({ frame }) => frame.body.sender);
  const voters = everyone(r).filter((id) => kind === "commits" || id !== primary(r));
  return { have, missing: voters.filter((id) => !have.includes(id)), needed: kind === "commits" ? strong(r) : strong(r) - 1 };
}

function viewChangeVotes(r: Replica): VoteStatus {
  const have = [...r.viewChanges.values()].filter((vc) => vc.body.view >= r.view).map((vc) => vc.body.sender).sort((a, b) => a - b);
  return { have, missing: everyone(r).filter((id) => !have.includes(id)), needed: strong(r) };
}

const everyone = (r: Replica): readonly ReplicaId[] => Array.from({ length: n(r) }, (_, id) => replicaId(id));
