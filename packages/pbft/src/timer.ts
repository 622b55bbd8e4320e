/** Time: counters in ticks. When to suspect the primary, and when to give up on a view that does not begin (liveness rules). */
import type { View } from "@narses/core";
import { view as toView } from "@narses/core";
import { proposeReady } from "./request.ts";
import { isPrimary, primary, type Replica, slotsOpen, weak } from "./state.ts";
import { pullDecisions, statusTick } from "./status.ts";
import { transferTick } from "./transfer.ts";
import { leaveView, onNewViewTimeout, raiseBackoff } from "./view-change.ts";

export function onTick(r: Replica, wallMs: number): void {
  r.tick++;
  r.wallMs = wallMs;
  if (isBehind(r)) {
    r.behindTick = r.tick;
    pullDecisions(r);
  }
  if (r.active) {
    const suspected = suspicion(r);
    if (suspected === undefined) proposeReady(r);
    else {
      // Nothing came of this view although its primary was reachable: perhaps the timeout is too short for this network.
      if (suspected.timeout && !r.progressed) raiseBackoff(r);
      leaveView(r, toView(r.view + 1), suspected.reason);
    }
  } else if (r.quorumTick !== undefined && r.tick - r.quorumTick >= r.config.parameters.viewChangeTimeoutTicks * 2 ** r.backoff) {
    onNewViewTimeout(r);
  }
  transferTick(r);
  statusTick(r);
}

/**
 * W peers say they executed well beyond this replica, so a correct one did: what waits here is late because this replica is,
 * after a restart or a partition, and not because of the primary. The margin keeps ordinary jitter from resetting any timer.
 */
function isBehind(r: Replica): boolean {
  const claims = [...r.peers.values()].map((peer) => peer.claimedExecuted).sort((a, b) => b - a);
  return (claims[weak(r) - 1] ?? 0) > r.executed + 2 * r.config.parameters.pipelineDepth;
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

/** Under load a bundle may wait this many timeouts, as long as slots are executed and none that came later overtook it. */
const PATIENCE_FACTOR = 8;
/** Arrival order differs between replicas by what is in flight: fewer later arrivals executed first are no sign of unfairness. */
const OVERTAKEN_MAX = 256;

/**
 * Why the primary should be replaced, if it should. Never while a view change is under way, never by the primary itself,
 * and not by one that fetches its state: it cannot tell what the others execute.
 */
function suspicion(r: Replica): { readonly reason: string; readonly timeout: boolean } | undefined {
  if (isPrimary(r) || r.transfer !== undefined) return undefined;
  const oldest = oldestDebtTick(r);
  if (oldest === undefined) return undefined;
  const debt = Math.max(oldest, r.behindTick);
  const p = r.config.parameters;
  const timeout = p.requestTimeoutTicks * 2 ** r.backoff;
  const age = r.tick - debt;
  if (age >= timeout && isUnserved(r, age, timeout)) return { reason: `primary ${primary(r)} left a request unexecuted for ${age} ticks`, timeout: true };
  const peer = r.peers.get(primary(r));
  if (peer?.connected !== false) return undefined;
  const lost = r.tick - Math.max(debt, peer.lostTick);
  if (lost < p.disconnectTimeoutTicks * 2 ** r.backoff) return undefined;
  return { reason: `connection to primary ${primary(r)} is lost for ${lost} ticks`, timeout: false };
}

/** Tells a primary that does not serve from one that has much to do. */
function isUnserved(r: Replica, age: number, timeout: number): boolean {
  if (r.tick - r.progressTick >= timeout || age >= PATIENCE_FACTOR * timeout) return true;
  const first = r.waiting.values().next();
  return first.done !== true && r.executedOrder > first.value.order + OVERTAKEN_MAX;
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
  return { timer: "request", view: r.view, ticks: Math.max(debt, r.behindTick) + r.config.parameters.requestTimeoutTicks * scale - r.tick };
}
