/** View change: leaving a view that does not serve, and collecting the others' VIEW-CHANGEs (PBFT §4.4). */
import type { PreparedCertificate, ReplicaId, Signed, View, ViewChange } from "@narses/core";
import { assert, bytesEqual, view as toView } from "@narses/core";
import { checkPrepared, checkStable } from "./certificate.ts";
import { onStableProof } from "./checkpoint.ts";
import { buildNewView } from "./new-view.ts";
import { slotsAscending } from "./slots.ts";
import { emit, isPrimary, pair, reject, type Replica } from "./state.ts";
import { ask, considerEntry, lengthen, viewToJoin } from "./synchroniser.ts";

/**
 * Leaves every view below `target`: no vote is cast until NEW-VIEW of `target` or later is installed. What this replica
 * prepared is durable, with the departure, before VIEW-CHANGE says so.
 */
export function leaveView(r: Replica, target: View, reason: string): void {
  if (r.silence !== undefined || !ask(r, target)) return;
  r.newView = undefined;
  r.newViewPending = undefined;
  const prepared: PreparedCertificate[] = [];
  for (const slot of slotsAscending(r)) {
    if (slot.seq <= r.stable.seq + r.config.parameters.logWindow && slot.prepared !== undefined) prepared.push(slot.prepared);
  }
  r.leaving = { stable: r.stable, prepared };
  emit(r, { type: "view-left", view: target, reason });
  emit(r, { type: "persist", record: { type: "view-left", view: target, stable: r.stable, prepared }, lazy: false });
  emit(r, { type: "view-change", view: target, stable: r.stable, prepared });
  considerQuorum(r);
}

/** A VIEW-CHANGE from a peer, or own once durable and signed. */
export function onViewChange(r: Replica, from: ReplicaId, signed: Signed<ViewChange>): void {
  const { sender, view, epoch } = signed.body;
  if (epoch !== r.config.epoch) return reject(r, from, "view-change", "EPOCH_FOREIGN", `epoch ${epoch}, this is ${r.config.epoch}`);
  const held = r.viewChanges.get(sender);
  if (held !== undefined && held.body.view >= view) {
    if (held.body.view === view && sender !== r.self && !bytesEqual(held.bytes, signed.bytes)) {
      r.twoFaced.add(sender);
      reject(r, from, "view-change", "EQUIVOCATION", `replica ${sender} signed two view-changes for view ${view}`, pair(held, signed));
    }
    return;
  }
  if (view < r.view || (view === r.view && r.active)) return reject(r, from, "view-change", "VIEW_OLD", `view ${view}, now in ${r.view}`);
  const problem = checkViewChange(r, signed.body);
  if (problem !== undefined) return reject(r, from, "view-change", "VIEW_CHANGE_INVALID", `of replica ${sender}: ${problem}`, { type: "forged", signed });
  r.viewChanges.set(sender, signed);
  onStableProof(r, from, signed.body.stable);
  joinHigher(r);
  considerQuorum(r);
}

/** Pure: whether a VIEW-CHANGE is well formed as a statement. An invalid one is discarded whole and spoils nothing else. */
export function checkViewChange(r: Replica, body: ViewChange): string | undefined {
  if (body.epoch !== r.config.epoch) return `epoch ${body.epoch}`;
  if (body.view === 0) return "names view 0";
  const problem = checkStable(r.config, body.stable);
  if (problem !== undefined) return problem;
  let previous: number = body.stable.seq;
  for (const certificate of body.prepared) {
    const { seq, view } = certificate.prePrepare.body;
    if (seq <= previous) return `prepared certificates are not ascending above the stable checkpoint ${body.stable.seq}`;
    if (seq > body.stable.seq + r.config.parameters.logWindow) return `prepared certificate for seq ${seq} is beyond the window of checkpoint ${body.stable.seq}`;
    if (view >= body.view) return `prepared certificate of view ${view} in a change to view ${body.view}`;
    const inner = checkPrepared(r.config, certificate);
    if (inner !== undefined) return inner;
    previous = seq;
  }
  return undefined;
}

/** Also when a silence ends: what came meanwhile was kept and not acted on. */
export function joinHigher(r: Replica): void {
  const others = [...r.viewChanges].filter(([sender]) => sender !== r.self).map(([, vc]) => vc.body.view);
  const target = viewToJoin(r, r.config, others);
  if (target !== undefined) leaveView(r, target, `${r.config.quorums.weak} other replicas moved to view ${target} or later`);
}

/** With Q VIEW-CHANGEs for this view or later the new-view timer runs; with Q for exactly this one its primary may begin. */
export function considerQuorum(r: Replica): void {
  if (r.active) return;
  considerEntry(r, r.config, [...r.viewChanges.values()].map((vc) => vc.body.view), r.tick);
  if (isPrimary(r) && r.newViewPending === undefined && r.silence === undefined) buildNewView(r);
}

/** The own VIEW-CHANGE as signed. */
export function onOwnViewChange(r: Replica, signed: Signed<ViewChange>): void {
  assert(signed.body.sender === r.self, "own view-change names another sender");
  if (signed.body.view < r.view || r.active) return; // overtaken by a later view
  onViewChange(r, r.self, signed);
}

/** The new view did not come in time: try the next, waiting twice as long. */
export function onNewViewTimeout(r: Replica): void {
  lengthen(r, r.config);
  leaveView(r, toView(r.view + 1), `no new-view for view ${r.view} in time`);
}
