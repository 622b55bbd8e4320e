/**
 * Timestamps. The primary proposes one with each batch, never below what it saw proposed before. A backup votes for a fresh proposal only if
 * the time is plausible on its own clock, with delays and skew allowed for (proposer-based timestamps, as in CometBFT). What a
 * certificate carries over is not judged again: it was. Execution raises a lower time to the block before, so time never falls.
 *
 * A replica that refuses what others accept has the wrong clock itself, and says so: its votes are missing until it is set right.
 */
import type { Batch, Digest, SeqNum } from "@narses/core";
import { matchingVotes } from "./slots.ts";
import { emit, type Replica, type Slot, weak } from "./state.ts";
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
  /** Highest timestamp proposed here or executed. */
  seenMs: number;
}

export const freshClock = (): OwnClock => ({ contradicted: undefined, behindMs: undefined, warnedTick: undefined, seenMs: 0 });

/** The time of the next own proposal. */
export function proposalTimeMs(r: Replica): number {
  r.clock.seenMs = Math.max(r.clock.seenMs, r.wallMs);
  return r.clock.seenMs;
}

/** Pure: what is wrong with the time of a fresh proposal that has just arrived. */
export function checkTime(r: Replica, { timestampMs }: Batch): string | undefined {
  const { timestampPrecisionMs, timestampDelayMs } = r.config.parameters;
  const ahead = timestampMs - r.wallMs;
  if (ahead > timestampPrecisionMs) return `timestamp is ${ahead} ms ahead of the clock here, at most ${timestampPrecisionMs} are accepted`;
  const allowed = scaled(r, timestampDelayMs) + timestampPrecisionMs;
  return -ahead > allowed ? `timestamp is ${-ahead} ms behind the clock here, at most ${allowed} are accepted` : undefined;
}

/** A fresh proposal was accepted: its time and the clock here agree. */
export function noteAccepted(r: Replica): void {
  r.clock.contradicted = undefined;
  r.clock.behindMs = undefined;
}

/** A proposal was not accepted for its time. Others may see it otherwise. */
export function noteRefused(r: Replica, slot: Slot, batch: Batch): void {
  const { refused } = slot;
  const again = refused?.view === r.view && refused.digest === batch.digest;
  slot.refused = { view: r.view, digest: batch.digest, behindMs: batch.timestampMs - r.wallMs, sinceTick: again ? refused.sinceTick : r.tick };
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
  r.clock.behindMs = refused.behindMs;
  if (r.clock.warnedTick !== undefined && r.tick - r.clock.warnedTick < WARNING_TICKS) return;
  r.clock.warnedTick = r.tick;
  emit(r, { type: "clock-off", seq: slot.seq, behindMs: refused.behindMs });
}

/** Refused by this replica, in the view named, for its time. */
export interface Refused {
  readonly view: number;
  readonly digest: Digest;
  readonly behindMs: number;
  readonly sinceTick: number;
}

/** For `status` and `why`. */
export function clockSentence({ clock: { behindMs } }: Replica): string | undefined {
  if (behindMs === undefined) return undefined;
  const seconds = (Math.abs(behindMs) / 1_000).toFixed(1);
  return `this replica's clock to be set: it is ${seconds} s ${behindMs < 0 ? "ahead of" : "behind"} the others, whose proposals it refuses`;
}
