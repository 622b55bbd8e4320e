/** Whole-state relations, checked after every step. A violation stops the replica before it can speak. */
import { assert } from "@narses/core";
import { coveredSeq, type Replica } from "./state.ts";

export function checkInvariants(r: Replica): void {
  assert(r.stable.seq <= coveredSeq(r), `low watermark ${r.stable.seq} is above the last executed seq ${r.executed}`);
  assert(r.executed <= r.handed, `executed ${r.executed} is above handed ${r.handed}`);
  assert(r.stable.seq <= r.stableKnown.seq, `own checkpoint ${r.stable.seq} is above the highest known ${r.stableKnown.seq}`);
  assert(!r.diverged || r.transfer !== undefined, "a diverged state is being replaced");
  const window = r.config.parameters.logWindow;
  assert(r.handed - r.executed <= window, `${r.handed - r.executed} slots wait for execution`);
  // The log may give back more than the window: what was executed before the crash and is executed again.
  assert(r.slots.size <= 2 * window + (Math.max(coveredSeq(r), r.recoveredSeq) - r.stable.seq), `${r.slots.size} slots are held above ${r.stable.seq}, executed ${r.executed}`);
  assert(r.waiting.size <= r.config.parameters.pendingBundlesMax, `${r.waiting.size} bundles wait`);
  assert(r.queue.bundles.size <= r.waiting.size, `${r.queue.bundles.size} bundles are to be proposed, ${r.waiting.size} wait`);
  assert(r.viewChanges.size <= r.config.quorums.n, "one view-change per sender");
  assert(r.active || r.view > 0, "view 0 needs no new-view");
}
