/** Time: counters in ticks. When to suspect the primary, and when to give up on a view that does not begin (liveness rules). */
import type { View } from "@narses/core";
import { view as toView } from "@narses/core";
import { proposeReady } from "./request.ts";
import { isPrimary, primary, type Replica, slotsOpen } from "./state.ts";
import { statusTick } from "./status.ts";
import { transferTick } from "./transfer.ts";
import { leaveView, onNewViewTimeout } from "./view-change.ts";

export function onTick(r: Replica, wallMs: number): void {
  r.tick++;
  r.wallMs = wallMs;
  if (r.active) {
    const reason = suspicion(r);
    if (reason !== undefined) leaveView(r, toView(r.view + 1), reason);
    else proposeReady(r);
  } else if (r.quorumTick !== undefined && r.tick - r.quorumTick >= r.config.parameters.viewChangeTimeoutTicks * 2 ** r.backoff) {
    onNewViewTimeout(r);
  }
  transferTick(r);
  statusTick(r);
}

/** Tick since which the primary owes something: its oldest waiting request, or a slot it proposed and that is not executed. */
export function oldestDebtTick(r: Replica): number | undefined {
  let oldest: number | undefined;
  const first = r.waiting.values().next();
  if (first.done !== true) oldest = first.value.sinceTick; // in order of arrival, all reset together: the first is the oldest
  for (const slot of slotsOpen(r)) {
    const since = slot.proposal?.view === r.view ? slot.proposal.sinceTick : undefined;
    if (since !== undefined && (oldest === undefined || since < oldest)) oldest = since;
  }
  return oldest;
}

/**
 * Why the primary should be replaced, if it should. Never while a view change is under way, never by the primary itself,
 * and not by one that fetches its state: it cannot tell what the others execute.
 */
function suspicion(r: Replica): string | undefined {
  if (isPrimary(r) || r.transfer !== undefined) return undefined;
  const debt = oldestDebtTick(r);
  if (debt === undefined) return undefined;
  const p = r.config.parameters;
  const scale = 2 ** r.backoff;
  if (r.tick - debt >= p.requestTimeoutTicks * scale) return `primary ${primary(r)} left a request unexecuted for ${r.tick - debt} ticks`;
  const peer = r.peers.get(primary(r));
  if (peer?.connected !== false) return undefined;
  const since = Math.max(debt, peer.lostTick);
  return r.tick - since >= p.disconnectTimeoutTicks * scale ? `connection to primary ${primary(r)} is lost for ${r.tick - since} ticks` : undefined;
}

/** For `status`: ticks until this replica leaves the view or tries the next, if a timer runs. */
export function ticksLeft(r: Replica): { readonly timer: "request" | "new-view"; readonly view: View; readonly ticks: number } | undefined {
  const scale = 2 ** r.backoff;
  if (!r.active) {
    if (r.quorumTick === undefined) return undefined;
    return { timer: "new-view", view: r.view, ticks: r.quorumTick + r.config.parameters.viewChangeTimeoutTicks * scale - r.tick };
  }
  const debt = isPrimary(r) || r.transfer !== undefined ? undefined : oldestDebtTick(r);
  if (debt === undefined) return undefined;
  return { timer: "request", view: r.view, ticks: debt + r.config.parameters.requestTimeoutTicks * scale - r.tick };
}
