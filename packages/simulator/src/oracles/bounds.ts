/** Everything bounded: queues, open slots, the vote log, and what one input may set off. */
import type { Parameters } from "@narses/core";
import { TURN_INPUTS_MAX } from "../shell.ts";
import { fail, type Oracle } from "./oracle.ts";

/** Messages one input may set off: an answer of decided slots, proposals and votes, and some more for views and checkpoints. */
const MESSAGES_PER_INPUT_MAX = 256;
/** Records a slot leaves in one view (pre-prepared, prepared), plus one commit per slot. */
const RECORDS_PER_SLOT_AND_VIEW = 2;

export function boundsOracle(parameters: Parameters): Oracle {
  const { logWindow, pendingBundlesMax } = parameters;
  /** Open slots: two windows, and what one turn can hand over before execution reports back. */
  const slotsMax = 2 * logWindow + TURN_INPUTS_MAX;
  const recordsOf = new Map<string, { views: Set<number> }>();
  const sentInTurn = new Map<string, number>();
  return {
    name: "bounds",
    onTurnEnd: (replica) => {
      const sent = sentInTurn.get(replica.name) ?? 0;
      if (sent > TURN_INPUTS_MAX * MESSAGES_PER_INPUT_MAX) fail("bounds", `${replica.name} sends ${sent} messages in one turn`);
      sentInTurn.set(replica.name, 0);
    },
    onEffect: (replica, effect) => {
      if (effect.type === "send") sentInTurn.set(replica.name, (sentInTurn.get(replica.name) ?? 0) + 1);
      if (effect.type !== "persist" || (effect.record.type !== "view-left" && effect.record.type !== "new-view")) return;
      let held = recordsOf.get(replica.name);
      if (held === undefined) recordsOf.set(replica.name, (held = { views: new Set() }));
      held.views.add(effect.record.view);
    },
    onTurn: (replica, status, disk) => {
      if (status.pendingBundles > pendingBundlesMax) fail("bounds", `${replica.name} holds ${status.pendingBundles} waiting bundles of ${pendingBundlesMax}`);
      if (status.openSlots > slotsMax) fail("bounds", `${replica.name} has ${status.openSlots} open slots of ${slotsMax}`);
      if (status.highWatermark - status.stableSeq !== logWindow) fail("bounds", `${replica.name} has a window of ${status.highWatermark - status.stableSeq}`);
      const views = 1 + (recordsOf.get(replica.name)?.views.size ?? 0);
      // view-left, and new-view unsigned and signed, per view; a stable record per checkpoint is replaced by the next truncation.
      const recordsMax = slotsMax * (1 + RECORDS_PER_SLOT_AND_VIEW * views) + 3 * views + slotsMax;
      if (disk.records.length > recordsMax) fail("bounds", `${replica.name} has ${disk.records.length} records in its log, at most ${recordsMax} expected`);
    },
  };
}
