/**
 * Where a session's request ids go on. A key that was used by an earlier process must not use an executed id again: the
 * operation would not be executed. Replicas are asked for `highest`, the highest id they know to be executed (or waiting).
 *
 * Why the answer of Q replicas is enough, and what f liars can do with theirs:
 * 1. An earlier process only reported an operation as done when it was decided, so Q replicas took part in deciding it.
 *    Any two sets of Q share f+1 replicas, hence one correct one: some answer covers every such operation, unless that
 *    replica has decided it and neither executed it nor held it waiting. `connect` therefore also waits a moment for the rest.
 * 2. A lie downwards changes nothing: the maximum is taken.
 * 3. A lie upwards is capped. Among the W = f+1 highest answers is a correct one, so the W-th highest answer is at most a
 *    correct replica's `highest`. Answers more than one session window above it are ignored: a liar can waste at most one
 *    window of ids each time, of 2^53.
 * 4. Starting high leaves a gap. The first bundle declares ackLow = start − 1 (no reply below is awaited by anybody), which
 *    closes it: replicas raise the session's low mark to ackLow before they judge the window.
 * 5. Starting low (a correct replica lagged by more than a window, or two processes share one key) is safe too: an id
 *    executes once, whatever the client does. The operation comes back as NOT_EXECUTED and can be submitted again.
 */
import type { Quorums } from "@narses/core";

/** A replica's answer to the control call `session`. */
export interface SessionAnswer {
  /** Every request id up to and including this one is done. */
  readonly low: number;
  /** Highest request id known; ≥ low. */
  readonly highest: number;
}

const isCount = (value: unknown): value is number => typeof value === "number" && Number.isSafeInteger(value) && value >= 0;

/** The answer, or why it cannot come from a correct replica. Holds low ≤ highest ≤ low + window. */
export function parseSessionAnswer(value: unknown, sessionWindow: number): SessionAnswer | string {
  if (typeof value !== "object" || value === null) return "not an object";
  const { low, highest } = value as { low?: unknown; highest?: unknown };
  if (!isCount(low) || !isCount(highest)) return "low and highest must be integers from 0";
  if (highest < low || highest > low + sessionWindow) return `highest ${highest} must be from low ${low} to low + ${sessionWindow}`;
  return { low, highest };
}

/**
 * First request id of a new process, from the answers of at least Q distinct replicas: one more than the highest
 * credible `highest`. At most W-th highest + window + 1, whatever f of the answers say.
 */
export function nextRequestId(answers: readonly SessionAnswer[], quorums: Quorums, sessionWindow: number): number {
  const highest = answers.map((answer) => answer.highest).sort((a, b) => b - a);
  const vouched = highest[quorums.weak - 1] ?? 0;
  const credible = highest.find((value) => value <= vouched + sessionWindow) ?? 0;
  return credible + 1;
}
