/**
 * Timestamps. The primary proposes its own clock with each batch, whatever it saw before: then every backup whose clock is within the
 * precision accepts, also when all clocks were set back. A backup votes for a fresh proposal only if
 * the time is plausible on its own clock, with delays and skew allowed for (proposer-based timestamps, as in CometBFT). What a
 * certificate carries over is not judged again: it was. Execution raises a lower time to the block before, so time never falls.
 *
 * A replica that refuses what others accept has the wrong clock itself, and says so: its votes are missing until it is set right.
 * So does one that refuses primary after primary while nothing is decided: too many clocks disagree, here or there.
 */
import type { Batch, Digest, ReplicaId, SeqNum, View } from "@narses/core";
import { matchingVotes } from "./slots.ts";
import { emit, primary, type Replica, type Slot, weak } from "./state.ts";
import { scaled } from "./synchroniser.ts";

/** Between two warnings about the own clock. */
const WARNING_TICKS = 6_000;

export interface OwnClock {
  /**
   * Others accepted what was refused here for its time: the first such slot since a fresh proposal was last accepted. Once may be a
   * pause of this process, whose messages waited; the same again, a request's timeout later, is the clock.
   */
  contradicted: { readonly seq: SeqNum; readonly tick: number } | undefined;
  /** How far the others' clocks are ahead of this one; undefined while there is nothing to say. */
  behindMs: number | undefined;
  warnedTick: number | undefined;
  /** Primaries whose proposals were refused since anything was decided, and the view of the first. At most n. */
  refusals: { readonly first: View; readonly primaries: Set<ReplicaId> } | undefined;
}

export const freshClock = (): OwnClock => ({ contradicted: undefined, behindMs: undefined, warnedTick: undefined, refusals: undefined });

/** Pure: what is wrong with the time of a fresh proposal that has just arrived. */
export function checkTime(r: Replica, { timestampMs }: Batch): string | undefined {
  const { timestampPrecisionMs, timestampDelayMs } = r.config.parameters;
  const ahead = timestampMs - r.wallMs;
  if (ahead > timestampPrecisionMs) return `timestamp is ${ahead} ms ahead of the clock here, at most ${timestampPrecisionMs} are accepted`;
  const allowed = scaled(r, timestampDelayMs) + timestampPrecisionMs;
  return -ahead > allowed ? `timestamp is ${-ahead} ms behind the clock here, at most ${allowed} are accepted` : undefined;
}

/** Primary after primary was refused here, with nothing decided. One of W is correct; a second view where W is 1, as one refusal may be a pause of this process. */
const isStuck = (r: Replica): boolean => r.clock.refusals !== undefined && r.clock.refusals.primaries.size >= weak(r) && r.view > r.clock.refusals.first;

/** A fresh proposal was accepted: its time and the clock here agree. Where nothing can be decided that is one opinion of several. */
export function noteAccepted(r: Replica): void {
  r.clock.contradicted = undefined;
  if (!isStuck(r)) r.clock.behindMs = undefined;
}

/** A proposal was not accepted for its time. Others may see it otherwise. */
export function noteRefused(r: Replica, slot: Slot, batch: Batch): void {
  const { refused } = slot;
  const again = refused?.view === r.view && refused.digest === batch.digest;
  slot.refused = { view: r.view, digest: batch.digest, behindMs: batch.timestampMs - r.wallMs, sinceTick: again ? refused.sinceTick : r.tick };
  r.clock.refusals ??= { first: r.view, primaries: new Set() };
  r.clock.refusals.primaries.add(primary(r));
  if (isStuck(r)) warn(r, slot.seq, slot.refused);
}

/** Some times are accepted by a quorum: whoever refuses them learns it from the votes. */
export function noteDecided(r: Replica): void {
  if (isStuck(r)) r.clock.behindMs = undefined;
  r.clock.refusals = undefined;
}

/** W other backups, or a quorum, accepted what was refused here: at least one of them is correct. */
export function considerClock(r: Replica, slot: Slot): void {
  const { refused } = slot;
  if (refused === undefined) return;
  const decided = slot.committed?.digest === refused.digest;
  if (!decided && matchingVotes(slot.prepares, refused.view, refused.digest).length < weak(r)) return;
  r.clock.contradicted ??= { seq: slot.seq, tick: r.tick };
  const { seq, tick } = r.clock.contradicted;
  if (slot.seq === seq || r.tick - tick < r.config.parameters.requestTimeoutTicks) return;
  warn(r, slot.seq, refused);
}

function warn(r: Replica, seq: SeqNum, { behindMs }: Refused): void {
  r.clock.behindMs = behindMs;
  if (r.clock.warnedTick !== undefined && r.tick - r.clock.warnedTick < WARNING_TICKS) return;
  r.clock.warnedTick = r.tick;
  emit(r, { type: "clock-off", seq, behindMs });
}

/** Refused by this replica, in the view named, for its time. */
export interface Refused {
  readonly view: number;
  readonly digest: Digest;
  readonly behindMs: number;
  readonly sinceTick: number;
}

/** For `status` and `why`. */
export function clockSentence(r: Replica): string | undefined {
  const { behindMs } = r.clock;
  if (behindMs === undefined) return undefined;
  const distance = `${(Math.abs(behindMs) / 1_000).toFixed(1)} s ${behindMs < 0 ? "ahead of" : "behind"}`;
  if (!isStuck(r)) return `this replica's clock to be set: it is ${distance} the others, whose proposals it refuses`;
  return `clocks to be set, here or elsewhere: this replica's is ${distance} the last primary it refused, and nothing is decided`;
}
