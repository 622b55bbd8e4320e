/** A bundle that is sent and not answered yet. */
import { NarsesError, type Bundle, type ReplicaId } from "@narses/core";
import type { Tally } from "./tally.ts";
import { listed } from "./text.ts";
import type { Submission } from "./unit.ts";

export interface Refusal {
  readonly code: string;
  readonly detail: string;
}

export interface InFlight {
  readonly bundle: Bundle;
  readonly frame: Uint8Array;
  readonly submissions: readonly Submission[];
  readonly tally: Tally;
  /** The last refusal of each replica: hints, shown when the time is up. */
  readonly refusals: Map<ReplicaId, Refusal>;
  readonly sentAtMs: number;
  /** Has gone to every replica connected at the time, not to the primary alone. */
  broadcast: boolean;
  /** Retransmissions after silence so far. */
  attempt: number;
  timer: unknown;
  /** It was ordered before the one before it (see `Bundle.fifo`), and goes again as soon as that has its answer. */
  early: boolean;
  /** It did so for that reason already; from then on it is a matter of patience. */
  hurried: boolean;
}

/** Code of a refusal, and of a result: the session is not open any more. */
export const EVICTED = "EVICTED";

/** Code of a result: the bundle was ordered before the one before it, and not executed. */
export const OUT_OF_ORDER = "OUT_OF_ORDER";

/**
 * An evicted session executes nothing from now on, and whether it did before is forgotten. `detail` says who says so.
 */
export function inDoubt(session: number, detail: string, data: Readonly<Record<string, unknown>>): NarsesError {
  const text =
    `session ${session} was evicted before this operation was answered: ${detail}. It was executed at most once, and will not be executed any more: ` +
    "look before submitting it again";
  return new NarsesError("IN_DOUBT", text, { code: EVICTED, session, ...data });
}

/**
 * Refusals that a correct replica never takes back: they follow from the bundle's bytes, or from ids that stay executed.
 * When W replicas say so, one of them is correct and the bundle will not be executed from now on. (OVERLOADED and all
 * others are worth another try.)
 */
const FINAL_REFUSALS: ReadonlySet<string> = new Set(["ALREADY_EXECUTED", EVICTED, "SIGNATURE_INVALID", "REQUEST_INVALID"]);

/** Codes of results and refusals that leave the bundle's request ids unused, for good: what follows it in order is not executed either. */
const LEAVES_IDS_UNUSED: ReadonlySet<string> = new Set(["SESSION_FULL", "OUT_OF_WINDOW", "SESSION_UNKNOWN", "SIGNATURE_INVALID", "REQUEST_INVALID"]);

export const leavesIdsUnused = (code: string | undefined): boolean => code !== undefined && LEAVES_IDS_UNUSED.has(code);

/** Whether this one is executed only when `earlier` is. */
export const waitsFor = ({ bundle }: InFlight, { bundle: earlier }: InFlight): boolean =>
  bundle.fifo && bundle.session === earlier.session && bundle.client === earlier.client && bundle.ridFirst > earlier.ridFirst;

/** Ordered as "fifo" behind a bundle that was refused for good. */
export function behindRefused({ bundle }: InFlight, { bundle: earlier }: InFlight, code: string): NarsesError {
  const idsOf = ({ ridFirst, operations }: Bundle): string => `${ridFirst} to ${ridFirst + operations.length - 1}`;
  const text =
    `requests ${idsOf(bundle)} are kept in order behind requests ${idsOf(earlier)}, which were refused (${code}) and will not be executed: ` +
    "so these were not executed either. Submit them again when the reason of the refusal is gone";
  return new NarsesError("NOT_EXECUTED", text, { code, behind: earlier.ridFirst, session: bundle.session });
}

/** The code of a final refusal that W replicas agree on. */
export function finalRefusal({ refusals }: InFlight, weak: number): string | undefined {
  const counts = new Map<string, number>();
  for (const { code } of refusals.values()) counts.set(code, (counts.get(code) ?? 0) + 1);
  return [...counts].find(([code, count]) => count >= weak && FINAL_REFUSALS.has(code))?.[0];
}

export interface RefusalBy extends Refusal {
  readonly replica: ReplicaId;
}

/** Ascending by replica. */
const refusalsOf = (flight: InFlight): readonly RefusalBy[] => [...flight.refusals].sort(([a], [b]) => a - b).map(([replica, refusal]) => ({ replica, ...refusal }));

const describeRefusals = (refusals: readonly RefusalBy[]): string => refusals.map(({ replica, code, detail }) => `; replica ${replica} refused it: ${code}: ${detail}`).join("");

/** W replicas refused the bundle for good. */
export function refusedForGood(flight: InFlight, code: string): NarsesError {
  const refusals = refusalsOf(flight);
  const first = flight.bundle.ridFirst;
  if (code === EVICTED) return inDoubt(flight.bundle.session, `replicas ${listed(refusals.map(({ replica }) => replica))} say so`, { refusals });
  const advice =
    code === "ALREADY_EXECUTED"
      ? "Another process uses this key, or it was executed and its result is not kept any more: look before submitting it again"
      : "It was not executed, and will not be";
  const text = `the bundle with requests ${first} to ${first + flight.submissions.length - 1} will not be ordered${describeRefusals(refusals)}. ${advice}.`;
  return new NarsesError("NOT_EXECUTED", text, { code, refusals });
}

export interface Waiting {
  readonly timeoutMs: number;
  /** Matching answers. */
  readonly needed: number;
  readonly connected: readonly ReplicaId[];
}

/** Why one operation of the bundle has no answer in time: who replied, who refused, who is there. */
export function answerMissing(flight: InFlight, submission: Submission, { timeoutMs, needed, connected }: Waiting): NarsesError {
  const rid = flight.bundle.ridFirst + flight.submissions.indexOf(submission);
  const refusals = refusalsOf(flight);
  const replied = [...flight.tally.votes.keys()].sort((a, b) => a - b);
  const text =
    `request ${rid} has no ${needed} matching replies after ${timeoutMs} ms and ${flight.attempt} retransmissions; replies from replicas: ` +
    `${listed(replied)}; connected replicas: ${listed(connected)}${describeRefusals(refusals)}. It may still execute: look before submitting it again.`;
  return new NarsesError("TIMEOUT", text, { timeoutMs, sent: true, rid, replied, refusals, connected });
}
