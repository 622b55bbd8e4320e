/** Plain words about the engine's state, for `status` and `why`. */
import type { EngineStatus } from "@narses/core";
import { primaryOf, view as toView } from "@narses/core";
import { hasPayload, matchingVotes } from "./slots.ts";
import { highWatermark, n, primary, type Replica, slotsOpen, strong } from "./state.ts";
import { ticksLeft } from "./timer.ts";

/** Sentences in `waitingFor`, at most. */
const SENTENCES_MAX = 16;

export function describe(r: Replica): EngineStatus {
  let openSlots = 0;
  for (const slot of slotsOpen(r)) if (slot.proposal !== undefined || slot.committed !== undefined) openSlots++;
  return {
    view: r.view, active: r.active, primary: primary(r), stableSeq: r.stable.seq, executedSeq: r.executed,
    highWatermark: highWatermark(r), pendingBundles: r.waiting.size, openSlots, waitingFor: waitingFor(r),
  };
}

function waitingFor(r: Replica): readonly string[] {
  const words: string[] = [];
  if (r.transfer !== undefined) {
    const why = r.diverged ? "the state here differs from a stable checkpoint" : `executed ${r.executed}, too far behind to follow by decisions`;
    words.push(`the state as of checkpoint ${r.transfer.seq} from peers: ${why}`);
  }
  if (!r.active) {
    const held = [...r.viewChanges.values()].filter((vc) => vc.body.view >= r.view).map((vc) => vc.body.sender).sort((a, b) => a - b);
    words.push(held.length < strong(r)
      ? `view-changes to view ${r.view} or later: has ${held.length} of ${strong(r)} (from ${held.join(", ") || "nobody"})`
      : `the new-view of view ${r.view} from replica ${primaryOf(toView(r.view), n(r))}`);
  }
  if (r.transfer === undefined && r.stableKnown.seq > r.stable.seq) words.push(`decided slots up to the stable checkpoint ${r.stableKnown.seq} from peers: executed ${r.executed}`);
  for (const slot of [...slotsOpen(r)].sort((a, b) => a.seq - b.seq)) {
    if (words.length >= SENTENCES_MAX) break;
    const { proposal } = slot;
    if (slot.committed !== undefined) {
      words.push(hasPayload(slot, slot.committed.digest) ? `slots before ${slot.seq}, which is decided` : `the payload of decided slot ${slot.seq}`);
    } else if (proposal === undefined || proposal.view !== r.view) words.push(`the pre-prepare of slot ${slot.seq} in view ${r.view}`);
    else if (!hasPayload(slot, proposal.digest)) words.push(`the payload of slot ${slot.seq}`);
    else if (slot.prepared?.prePrepare.body.view !== r.view) {
      words.push(`prepares for slot ${slot.seq}: has ${matchingVotes(slot.prepares, proposal.view, proposal.digest).length} of ${strong(r) - 1}`);
    } else words.push(`commits for slot ${slot.seq}: has ${matchingVotes(slot.commits, proposal.view, proposal.digest).length} of ${strong(r)}`);
  }
  const left = ticksLeft(r);
  if (left !== undefined) words.push(`${left.timer} timer of view ${left.view}: ${left.ticks} ticks left`);
  return words;
}
