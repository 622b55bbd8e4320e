/** Time: counters in ticks. What each tick may lead to, in order. */
import type { View } from "@narses/core";
import { view as toView } from "@narses/core";
import { forwardTick } from "./forward.ts";
import { memoryTick } from "./memory.ts";
import { heartbeat, proposeReady } from "./request.ts";
import { isPrimary, type Replica, weak } from "./state.ts";
import { pullDecisions, statusTick } from "./status.ts";
import { isRotationDue, oldestDebtTick, onSuspected, suspicion } from "./suspicion.ts";
import { newViewTicksLeft, scaled } from "./synchroniser.ts";
import { transferTick } from "./transfer.ts";
import { leaveView, onNewViewTimeout } from "./view-change.ts";

export function onTick(r: Replica, wallMs: number): void {
  r.tick++;
  r.wallMs = wallMs;
  if (isBehind(r)) {
    r.behindTick = r.tick;
    pullDecisions(r);
  }
  if (r.silence !== undefined) memoryTick(r);
  else if (r.active) {
    const suspected = suspicion(r);
    if (suspected !== undefined) {
      onSuspected(r, suspected);
      leaveView(r, toView(r.view + 1), suspected.reason);
    } else if (isRotationDue(r)) {
      leaveView(r, toView(r.view + 1), `rotation: view ${r.view} lasted ${r.config.parameters.rotationCheckpoints} checkpoints`);
    } else {
      proposeReady(r);
      heartbeat(r);
    }
  } else if ((newViewTicksLeft(r, r.config, r.tick) ?? 1) <= 0) {
    onNewViewTimeout(r);
  }
  transferTick(r);
  forwardTick(r);
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

/** For `status`: ticks until this replica leaves the view or tries the next, if a timer runs. */
export function ticksLeft(r: Replica): { readonly timer: "request" | "new-view"; readonly view: View; readonly ticks: number } | undefined {
  if (!r.active) {
    const ticks = r.silence !== undefined ? undefined : newViewTicksLeft(r, r.config, r.tick);
    return ticks === undefined ? undefined : { timer: "new-view", view: r.view, ticks };
  }
  const debt = isPrimary(r) || r.transfer !== undefined || r.silence !== undefined ? undefined : oldestDebtTick(r);
  if (debt === undefined) return undefined;
  return { timer: "request", view: r.view, ticks: Math.max(debt, r.behindTick) + scaled(r, r.config.parameters.requestTimeoutTicks) - r.tick };
}
