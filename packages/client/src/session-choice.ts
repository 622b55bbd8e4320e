/**
 * Which session a client uses. A session belongs to one process: it takes a number nobody has used, and counts its requests from
 * 1. Replicas are asked how far they have executed, and the number is anchored there (see `session-number.ts` in core).
 *
 * 1. The anchor must be executed: among the W = f+1 highest answers is a correct one, so the W-th highest is no higher than
 *    what a correct replica has executed, and any bundle signed from now on is ordered above it.
 * 2. It should be recent, or the number may be at or below the floor of evicted sessions: of Q answers at most f are lies, so the
 *    W-th highest is at least that of the (f+1)-th of the correct ones.
 * 3. Wrong in either way, the number opens nothing: the bundle is answered EVICTED or not at all, never executed twice.
 * 4. Two processes of one key that choose the same anchor differ in 20 random bits. Should those be the same too, request
 *    ids collide: each id executes once, and the other operation comes back as ALREADY_EXECUTED.
 */
import { seqNum, sessionNumber, SESSIONS_PER_ANCHOR, type Quorums } from "@narses/core";

/** A replica's answer to the control call `session`. */
export interface SessionAnswer {
  /** The last slot it executed. */
  readonly seq: number;
  /** Whether the session asked about can still be used, as far as it knows; undefined when none was named. */
  readonly open: boolean | undefined;
}

/** Anchors a session number can have. */
const ANCHOR_MAX = Math.floor(Number.MAX_SAFE_INTEGER / SESSIONS_PER_ANCHOR) - 1;

/** The answer, or why it cannot come from a correct replica. */
export function parseSessionAnswer(value: unknown): SessionAnswer | string {
  if (typeof value !== "object" || value === null) return "not an object";
  const { seq, open } = value as { seq?: unknown; open?: unknown };
  if (typeof seq !== "number" || !Number.isSafeInteger(seq) || seq < 0 || seq > ANCHOR_MAX) return "seq must be a slot";
  if (open !== undefined && typeof open !== "boolean") return "open must be true or false";
  return { seq, open };
}

/** A number for a new session, from the answers of at least Q distinct replicas. `random` is below SESSIONS_PER_ANCHOR. */
export function chooseSession(answers: readonly SessionAnswer[], quorums: Quorums, random: number): number {
  const highest = answers.map((answer) => answer.seq).sort((a, b) => b - a);
  return sessionNumber(seqNum(highest[quorums.weak - 1] ?? 0), random);
}

/** W replicas say that the session is evicted: one of them is correct. */
export function isEvicted(answers: readonly SessionAnswer[], quorums: Quorums): boolean {
  return answers.filter(({ open }) => open === false).length >= quorums.weak;
}

export function randomPart(): number {
  const [word] = globalThis.crypto.getRandomValues(new Uint32Array(1));
  return (word ?? 0) % SESSIONS_PER_ANCHOR;
}
