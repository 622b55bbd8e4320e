/**
 * State transfer: when following by decisions will not do, the state of a certified checkpoint is fetched instead. The
 * engine names the target and waits; the shell fetches, verifies and installs. Only certificates begin a transfer: nobody's
 * claim about how far the others are. When the others have dropped that state, a later one that W of them vouch for will do.
 * View, votes and everything that was said stay as they are.
 */
import type { Digest, SeqNum, StableCheckpoint } from "@narses/core";
import { assert, seqNum } from "@narses/core";
import { matchingCheckpoints, moveTo, onCheckpointed } from "./checkpoint.ts";
import { executeReady } from "./execute.ts";
import { forget } from "./request.ts";
import { slotsAscending } from "./slots.ts";
import { emit, type Replica, storeLimit, strong, weak } from "./state.ts";
import { persistDecided } from "./vote.ts";

/** Behind a certified checkpoint by more than a window: the others' logs no longer reach back, and replaying costs more than fetching. */
export function considerTransfer(r: Replica): void {
  const { stableKnown, transfer } = r;
  if (transfer !== undefined) {
    if (stableKnown.seq > transfer.seq) begin(r, stableKnown);
  } else if (stableKnown.seq > r.handed + r.config.parameters.logWindow) begin(r, stableKnown);
}

/**
 * Behind a certified checkpoint, by however little, with nothing to execute for as long as a request may take: nobody sends
 * the decided slots in between (those who could have taken over the state themselves, and lack these blocks too).
 */
export function transferTick(r: Replica): void {
  if (r.transfer !== undefined) return considerVouched(r, r.transfer);
  if (r.stableKnown.seq <= r.handed || r.executed < r.handed) return void (r.stuckSince = undefined);
  if (r.stuckSince?.executed !== r.executed) r.stuckSince = { executed: r.executed, tick: r.tick };
  else if (r.tick - r.stuckSince.tick >= r.config.parameters.requestTimeoutTicks) begin(r, r.stableKnown);
}

/**
 * It takes long: perhaps the others hold only later states, which are not certified because this replica is missing.
 * CHECKPOINTs of W others include a correct one's (this replica may be the wrong one), so what they name is the state; only Q move the low watermark.
 */
function considerVouched(r: Replica, target: StableCheckpoint): void {
  if (r.tick - r.transferSince < r.config.parameters.requestTimeoutTicks) return;
  let best: StableCheckpoint = target;
  for (const held of r.checkpoints.values()) {
    for (const { body: { seq, root } } of held.values()) {
      if (seq <= best.seq) continue;
      const proof = matchingCheckpoints(r, seq, root).filter(({ body }) => body.sender !== r.self);
      if (proof.length >= weak(r)) best = { seq, root, proof };
    }
  }
  if (best !== target) begin(r, best);
}

/** The state here after slot `seq` is not the certified one: what follows from it is worth nothing. */
export function onDiverged(r: Replica, own: Digest): void {
  const { seq, root } = r.stableKnown;
  r.diverged = true;
  emit(r, { type: "diverged", seq, own, stable: root });
  begin(r, r.stableKnown);
}

function begin(r: Replica, target: StableCheckpoint): void {
  r.transfer = target;
  r.transferSince = r.tick;
  r.stuckSince = undefined;
  emit(r, { type: "transfer", target, reason: r.diverged ? "diverged" : "behind" });
}

/** Execution goes on from the installed state; back, too, when this replica had executed further and wrongly. */
export function onTransferred(r: Replica, stable: StableCheckpoint, obsolete: readonly Digest[]): void {
  assert(r.transfer !== undefined && stable.seq <= r.transfer.seq, `state of slot ${stable.seq} was installed, which no transfer asked for`);
  assert(stable.seq >= r.stable.seq, `state of slot ${stable.seq} was installed below the low watermark ${r.stable.seq}`);
  r.transfer = undefined;
  r.diverged = false;
  r.ownRoots.clear();
  r.executed = stable.seq;
  r.handed = stable.seq;
  r.nextSeq = seqNum(Math.max(r.nextSeq, stable.seq + 1));
  r.pulledSeq = stable.seq;
  for (const digest of obsolete) forget(r, digest);
  // What it could not execute was not the primary's debt, nor was it overtaken.
  r.behindTick = r.tick;
  r.watch.overtaken = { order: 0, count: 0 };
  for (const waiting of r.waiting.values()) waiting.sinceTick = r.tick;
  if (r.config.parameters.fastReads) rememberDecided(r, stable.seq);
  if (stable.proof.length < strong(r)) onCheckpointed(r, stable.seq, stable.root);
  else if (stable.seq > r.stable.seq) moveTo(r, stable);
  considerTransfer(r);
  dropUnreachable(r);
  executeReady(r);
}

/** What was decided meanwhile is in no log, and a fast read may show it from here on: a replica that comes back must know how far it had been. */
function rememberDecided(r: Replica, above: SeqNum): void {
  for (const slot of slotsAscending(r)) {
    if (slot.seq > above && slot.committed !== undefined) persistDecided(r, slot, slot.committed, false);
  }
}

/**
 * Execution went back, or less far than the transfer had aimed at: what was stored further ahead than it may now be is
 * dropped, and can be learned again. Slots in which this replica voted stay, as when pruning (all are within its window).
 */
function dropUnreachable(r: Replica): void {
  const limit = storeLimit(r);
  for (const slot of r.slots.values()) {
    if (slot.seq > limit && slot.proposal === undefined && slot.prepared === undefined) r.slots.delete(slot.seq);
  }
}
