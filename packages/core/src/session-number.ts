/**
 * Session numbers. A client names its session itself: a slot it knows to be executed (the anchor), and a few random bits, so that
 * two processes of one key that start at the same slot do not share a session. A number opens a session in a slot above its
 * anchor only, so no number can be ahead of the cluster; session 0 is the one anchored at genesis.
 */
import type { SeqNum } from "./ids.ts";

/** Random numbers per anchor. 2^33 slots have session numbers below 2^53. */
export const SESSIONS_PER_ANCHOR: number = 1 << 20;

/** @throws RangeError outside the numbers the wire format carries. */
export function sessionNumber(anchor: SeqNum, random: number): number {
  const number = anchor * SESSIONS_PER_ANCHOR + random;
  if (!Number.isSafeInteger(number) || !Number.isSafeInteger(random) || random < 0 || random >= SESSIONS_PER_ANCHOR) {
    throw new RangeError(`no session number has anchor ${anchor} and random part ${random} (below ${SESSIONS_PER_ANCHOR})`);
  }
  return number;
}

/** The slot a session number is anchored at: it opens a session in later slots only. */
export const sessionAnchor = (session: number): SeqNum => Math.floor(session / SESSIONS_PER_ANCHOR) as SeqNum;
