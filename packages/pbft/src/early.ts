/** Pre-prepares that came above the high watermark, taken up when the window moves (a fast primary sees stability first). */
import type { Replica } from "./state.ts";
import { highWatermark } from "./state.ts";
import { slotsAscending } from "./slots.ts";
import { accept } from "./pre-prepare.ts";

export function onPrePrepareEarly(r: Replica): void {
  for (const slot of slotsAscending(r)) {
    const early = slot.early;
    if (early === undefined || slot.seq > highWatermark(r)) continue;
    slot.early = undefined;
    if (!r.active || early.signed.body.view !== r.view || slot.proposal?.view === r.view) continue;
    accept(r, slot, early.signed, early.batch);
  }
}
