/**
 * Watching the primary of an active view: what a backup suspects it of, and how long each takes (liveness rules; Aardvark, NSDI
 * 2009). A suspicion ends a view. It is no evidence: nothing in here blames a replica that is merely slow, or far away.
 *
 * With T = requestTimeoutTicks·2^k. A primary that                         is left after
 *   serves nothing that waits, or leaves a proposed slot unexecuted          T, if nothing was executed for as long
 *   is unreachable while something waits                                     disconnectTimeoutTicks·2^k
 *   starves a bundle while it serves others                                  T and overtakenBundlesMax of theirs, or 8·T at most
 *   skips a slot and proposes half a window further                          4 status intervals·2^k
 *   lets what waits wait longer than d = proposalDelayTicksMax·2^k, on       8 proposals: at most 8·T for one "just under the
 *     average over 8 proposals, with room in its pipeline, and not            timeout" (unless commits are as slow here)
 *     because commits are slow too (8 times the commit time is allowed)
 *   is silent for a heartbeat, or sends twice as many, if they are on        heartbeatTicks + T, or 8 too many
 * What none of these sees (a primary slow within d; one that f silent backups help to make commits slow; one that keeps some clients
 * waiting for less than T while it serves most at once) ends with rotation, after rotationCheckpoints checkpoints, if that is on.
 */
import { type Bundle, type SeqNum, seqNum } from "@narses/core";
import { isPrimary, lowWatermark, primary, type Replica, type Slot, slotsOpen, type Waiting } from "./state.ts";
import { lengthen, scaled, shorten } from "./synchroniser.ts";

/** What a backup remembers of the primary of the current view. */
export interface Watch {
  /** Tick of entering the view. */
  enteredTick: number;
  /** Tick of the last slot that this view decided and this replica executed, or of entering the view. */
  progressTick: number;
  /** Whether this view has executed a slot that it proposed itself. */
  progressed: boolean;
  /** Bundles of other clients executed before the oldest waiting one although they came later, and its arrival number. */
  overtaken: { readonly order: number; readonly count: number };
  /** How long the primary let the oldest bundle of its last proposals wait, the latest DELAYS_JUDGED of them. */
  delays: readonly number[];
  /** Smoothed ticks from proposal to execution in this view: what the others make the wait, whoever is primary. */
  commitTicks: number;
  /** Last tick at which the pipeline was seen full. */
  fullTick: number;
  /** Highest slot proposed in this view, and when anything was last proposed. */
  proposedSeq: SeqNum;
  proposedTick: number;
  /** A slot without proposal half a window below `proposedSeq`, and since when. */
  gap: { readonly seq: SeqNum; readonly tick: number } | undefined;
  /** Empty batches beyond two a heartbeat. */
  idle: number;
  /** Low watermark when the view began, min-s at least: rotation counts from here. */
  rotationSeq: SeqNum;
  /** Exponent of patience with a primary that makes progress, across views: grows while replacing it does not help. */
  lenience: number;
}

/** Under load a bundle may wait this many timeouts, as long as slots are executed and few that came later overtook it. */
const PATIENCE_FACTOR = 8;
/** Proposals whose delays are averaged. */
const DELAYS_JUDGED = 8;
/** A primary may take this many times as long to propose as the others take to commit. */
const SLOWNESS_FACTOR = 8;
/** A lost pre-prepare has been repeated by then. */
const GAP_STATUS_INTERVALS = 4;
/** Empty batches above two a heartbeat that jitter may bring. */
const IDLE_BURST_MAX = 8;
/** Steps by which primaries left for slowness make the next ones be judged more patiently; no further after that. */
const LENIENCE_MAX = 3;

/** `settled` is max-s of the view that begins. */
export const freshWatch = (at: { readonly tick: number; readonly stable: SeqNum; readonly settled: SeqNum; readonly lenience: number }): Watch => ({
  enteredTick: at.tick, progressTick: at.tick, progressed: false, overtaken: { order: 0, count: 0 }, delays: [], commitTicks: 0, fullTick: at.tick,
  proposedSeq: at.settled, proposedTick: at.tick, gap: undefined, idle: 0, rotationSeq: at.stable, lenience: at.lenience,
});

export interface Suspicion {
  readonly reason: string;
  /** The whole view served nothing in time: perhaps the timeout is too short for this network. */
  readonly wasted: boolean;
  /** The primary made progress, and was too slow or unfair. */
  readonly slow: boolean;
}

/**
 * Why the primary should be replaced, if it should. Never while a view change is under way, never by the primary itself,
 * and not by one that fetches its state: it cannot tell what the others execute.
 */
export function suspicion(r: Replica): Suspicion | undefined {
  if (isPrimary(r) || r.transfer !== undefined) return undefined;
  return overdue(r) ?? silent(r) ?? gap(r) ?? slow(r);
}

/** Called on leaving a view for `why`. */
export function onSuspected(r: Replica, why: Suspicion): void {
  if (why.wasted && !r.watch.progressed) lengthen(r, r.config);
  if (why.slow) r.watch.lenience = Math.min(r.watch.lenience + 1, LENIENCE_MAX);
}

/** Tick since which the primary owes something: its oldest waiting request, or a slot it proposed (at whatever time) and that is not executed. */
export function oldestDebtTick(r: Replica): number | undefined {
  return earliest([oldestWaiting(r)?.sinceTick, oldestProposedTick(r)]);
}

/**
 * The same, of a request from when this replica told the primary of it: of the oldest it does with the next STATUS. What waited here in
 * a long queue before, because a client showed it to the backups only, is not yet a fault of a primary that makes progress.
 */
const oldestToldTick = (r: Replica): number | undefined => earliest([oldestWaiting(r)?.relayedTick, oldestProposedTick(r)]);

function earliest(ticks: readonly (number | undefined)[]): number | undefined {
  const known = ticks.filter((tick) => tick !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

function oldestProposedTick(r: Replica): number | undefined {
  let oldest: number | undefined;
  for (const { announced, proposal, refused } of slotsOpen(r)) {
    const since = announced?.signed.body.view === r.view ? announced.sinceTick : [proposal, refused].find((held) => held?.view === r.view)?.sinceTick;
    if (since !== undefined && (oldest === undefined || since < oldest)) oldest = since;
  }
  return oldest;
}

/** In order of arrival, and all reset together: the first is the oldest. */
function oldestWaiting(r: Replica): Waiting | undefined {
  const first = r.waiting.values().next();
  return first.done === true ? undefined : first.value;
}

function overdue(r: Replica): Suspicion | undefined {
  const oldest = oldestDebtTick(r);
  if (oldest === undefined) return undefined;
  const debt = Math.max(oldest, r.behindTick);
  const { requestTimeoutTicks, disconnectTimeoutTicks } = r.config.parameters;
  const timeout = scaled(r, requestTimeoutTicks);
  const age = r.tick - debt;
  if (age >= timeout) {
    const reason = `primary ${primary(r)} left a request unexecuted for ${age} ticks`;
    if (r.tick - r.watch.progressTick >= timeout) return { reason, wasted: true, slow: false };
    const told = r.tick - Math.max(oldestToldTick(r) ?? r.tick, r.behindTick);
    if (told >= PATIENCE_FACTOR * timeout * 2 ** r.watch.lenience) return { reason, wasted: true, slow: true };
    if (told >= timeout && isOvertaken(r)) return { reason: `${reason} and ${r.watch.overtaken.count} of other clients, which came later, executed`, wasted: true, slow: true };
  }
  const peer = r.peers.get(primary(r));
  if (peer?.connected !== false) return undefined;
  const lost = r.tick - Math.max(debt, peer.lostTick);
  if (lost < scaled(r, disconnectTimeoutTicks)) return undefined;
  return { reason: `connection to primary ${primary(r)} is lost for ${lost} ticks`, wasted: false, slow: false };
}

const isOvertaken = (r: Replica): boolean =>
  r.watch.overtaken.order === oldestWaiting(r)?.order && r.watch.overtaken.count > r.config.parameters.overtakenBundlesMax * 2 ** r.watch.lenience;

/** With heartbeats on, silence is a sign even when nothing is known to wait; unless the primary has no slot left to propose. */
function silent(r: Replica): Suspicion | undefined {
  const { heartbeatTicks, requestTimeoutTicks, logWindow } = r.config.parameters;
  if (heartbeatTicks === 0) return undefined;
  if (r.watch.idle > IDLE_BURST_MAX) return { reason: `primary ${primary(r)} floods empty batches`, wasted: false, slow: true };
  if (r.watch.proposedSeq >= lowWatermark(r) + logWindow) return undefined;
  const age = r.tick - Math.max(r.watch.proposedTick, r.behindTick);
  if (age < heartbeatTicks + scaled(r, requestTimeoutTicks)) return undefined;
  return { reason: `primary ${primary(r)} proposed nothing for ${age} ticks, a heartbeat is due every ${heartbeatTicks}`, wasted: true, slow: false };
}

/**
 * A correct primary is at most pipelineDepth ≤ L/2 slots ahead of what it executed: a slot it left out that far below can no longer
 * be on its way to it, only lost to this replica, and then it was repeated. Keeps a window from filling behind a hole.
 */
function gap(r: Replica): Suspicion | undefined {
  const { watch } = r;
  const hole = firstHole(r);
  if (hole === undefined) return void (watch.gap = undefined);
  if (watch.gap?.seq !== hole || r.behindTick === r.tick) watch.gap = { seq: hole, tick: r.tick };
  const age = r.tick - watch.gap.tick;
  if (age < scaled(r, GAP_STATUS_INTERVALS * r.config.parameters.statusIntervalTicks)) return undefined;
  return { reason: `primary ${primary(r)} proposed seq ${watch.proposedSeq} and nothing for seq ${hole}`, wasted: false, slow: false };
}

function firstHole(r: Replica): SeqNum | undefined {
  const limit = r.watch.proposedSeq - r.config.parameters.logWindow / 2;
  for (let seq = seqNum(Math.max(r.executed, r.settledSeq) + 1); seq <= limit; seq = seqNum(seq + 1)) {
    const slot = r.slots.get(seq);
    const proposed = [slot?.proposal?.view, slot?.early?.signed.body.view, slot?.announced?.signed.body.view].includes(r.view);
    if (!proposed && slot?.committed === undefined) return seq;
  }
  return undefined;
}

/** "Just under the timeout": judged against what the others show to be possible, and not before it could matter. */
function slow(r: Replica): Suspicion | undefined {
  const { delays, commitTicks, lenience } = r.watch;
  const { proposalDelayTicksMax } = r.config.parameters;
  if (proposalDelayTicksMax === 0 || delays.length < DELAYS_JUDGED) return undefined;
  const mean = delays.reduce((sum, delay) => sum + delay, 0) / delays.length;
  const allowed = Math.max(scaled(r, proposalDelayTicksMax) * 2 ** lenience, SLOWNESS_FACTOR * commitTicks);
  if (mean <= allowed) return undefined;
  const reason = `primary ${primary(r)} took ${Math.round(mean)} ticks to propose what waited, over ${delays.length} proposals; ${Math.round(allowed)} are allowed`;
  return { reason, wasted: false, slow: true };
}

const isFull = (r: Replica): boolean => r.watch.proposedSeq - r.executed >= r.config.parameters.pipelineDepth;

/** A proposal of the current view arrived for the first time, for a slot that NEW-VIEW did not settle; its payload took `gatheringTicks` more. */
export function noteProposal(r: Replica, seq: SeqNum, bundles: readonly Bundle[], gatheringTicks: number): void {
  const { watch } = r;
  // From when this replica told it: what the primary could not know is not its fault.
  const waited = bundles.flatMap(({ digest }) => r.waiting.get(digest)?.relayedTick ?? []);
  if (waited.length > 0) {
    const since = Math.max(Math.min(...waited), watch.fullTick, watch.enteredTick, r.behindTick);
    watch.delays = [...watch.delays, Math.max(0, r.tick - gatheringTicks - since)].slice(-DELAYS_JUDGED);
  }
  if (bundles.length === 0) watch.idle = Math.max(0, watch.idle - (2 * (r.tick - watch.proposedTick)) / Math.max(1, r.config.parameters.heartbeatTicks)) + 1;
  watch.proposedTick = r.tick;
  if (seq > watch.proposedSeq) watch.proposedSeq = seq;
  if (isFull(r)) watch.fullTick = r.tick;
}

/** `slot` is about to count as executed; `r.executed` is the slot before. */
export function noteExecuted(r: Replica, slot: Slot | undefined, bundles: readonly Bundle[]): void {
  const { watch } = r;
  if (isFull(r)) watch.fullTick = r.tick;
  if (!isPrimary(r)) countOvertaking(r, slot, bundles);
  if (slot?.committed === undefined || slot.committed.view !== r.view || !r.active) return;
  watch.progressTick = r.tick;
  if (slot.seq <= r.settledSeq) return; // NEW-VIEW carried it over: the others get that far without the primary
  watch.progressed = true;
  const took = slot.proposal?.view === r.view ? r.tick - slot.proposal.sinceTick : 0;
  watch.commitTicks += (took - watch.commitTicks) / 4;
  shorten(r, r.config, took);
}

/** Bundles of other clients that came after the oldest waiting one: here, or if they never came here, in a later proposal. */
function countOvertaking(r: Replica, slot: Slot | undefined, bundles: readonly Bundle[]): void {
  const executed = new Set(bundles.map(({ digest }) => digest));
  let oldest: Waiting | undefined;
  for (const waiting of r.waiting.values()) {
    if (executed.has(waiting.bundle.digest)) continue;
    oldest = waiting;
    break;
  }
  if (oldest === undefined) return void (r.watch.overtaken = { order: 0, count: 0 });
  const before = r.watch.overtaken.order === oldest.order ? r.watch.overtaken.count : 0;
  const { sinceTick, relayedTick, order, bundle: { client } } = oldest;
  const proposedTick = slot?.proposal?.sinceTick ?? 0;
  // What was on its way before the primary was told overtook nothing.
  if (relayedTick === undefined || (slot?.proposal !== undefined && proposedTick < relayedTick)) return void (r.watch.overtaken = { order, count: before });
  const later = bundles.filter((bundle) => bundle.client !== client && (r.waiting.get(bundle.digest)?.order ?? (proposedTick > sinceTick ? Infinity : 0)) > order);
  r.watch.overtaken = { order, count: before + later.length };
}

/** A checkpoint became stable: patience with whoever made progress is not stretched any longer. */
export function noteStable(r: Replica): void {
  if (r.active && r.watch.progressed) r.watch.lenience = 0;
}

/** Rotation: every view ends after so many checkpoints, however well it goes. All see the same slots become stable. */
export function isRotationDue(r: Replica): boolean {
  const { rotationCheckpoints, checkpointInterval } = r.config.parameters;
  return rotationCheckpoints > 0 && r.active && lowWatermark(r) - r.watch.rotationSeq >= rotationCheckpoints * checkpointInterval;
}
