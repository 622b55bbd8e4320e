/**
 * What went wrong lately, for `why`: rejections and warnings, each kind bounded. The same rejection again adds to its count
 * and does not push others out, so a flood of one kind hides nothing.
 */
import { verdict, type LogFields, type Logger, type Rejection, type ReplicaId, type Verdict } from "@narses/core";
import { INCIDENT_TEXT_LENGTH_MAX, PROBLEMS_KEPT_MAX, REJECTIONS_KEPT_MAX } from "../limits.ts";

export interface RejectionIncident {
  /** Absent: a client. */
  readonly from?: ReplicaId;
  /** Type of the message, or "frame" when it did not decode. */
  readonly message: string;
  readonly code: string;
  readonly verdict: Verdict;
  /** Of the last one. */
  readonly detail: string;
  readonly count: number;
  /** Since the last one. */
  readonly ageMs: number;
}

export interface ProblemIncident {
  readonly level: "warn" | "error";
  readonly code?: string;
  readonly message: string;
  readonly count: number;
  readonly ageMs: number;
}

interface Kept<T> {
  readonly value: T;
  count: number;
  atMs: number;
}

/** The last `max` different things, by key; the one not seen for longest makes place. */
class Recent<T> {
  readonly #max: number;
  readonly #nowMs: () => number;
  readonly #kept = new Map<string, Kept<T>>();

  constructor(max: number, nowMs: () => number) {
    this.#max = max;
    this.#nowMs = nowMs;
  }

  add(key: string, value: T): void {
    const count = (this.#kept.get(key)?.count ?? 0) + 1;
    this.#kept.delete(key);
    this.#kept.set(key, { value, count, atMs: this.#nowMs() });
    if (this.#kept.size > this.#max) for (const oldest of this.#kept.keys()) return void this.#kept.delete(oldest);
  }

  /** Latest first. */
  list<R>(show: (value: T, count: number, ageMs: number) => R): readonly R[] {
    const now = this.#nowMs();
    return [...this.#kept.values()].reverse().map(({ value, count, atMs }) => show(value, count, Math.round(now - atMs)));
  }
}

const short = (text: string): string => (text.length <= INCIDENT_TEXT_LENGTH_MAX ? text : `${text.slice(0, INCIDENT_TEXT_LENGTH_MAX)}…`);

type Refused = Pick<RejectionIncident, "message"> & { readonly from: ReplicaId | undefined; readonly rejection: Rejection };

export class Incidents {
  readonly #rejections: Recent<Refused>;
  readonly #problems: Recent<Omit<ProblemIncident, "count" | "ageMs">>;

  constructor(nowMs: () => number) {
    this.#rejections = new Recent(REJECTIONS_KEPT_MAX, nowMs);
    this.#problems = new Recent(PROBLEMS_KEPT_MAX, nowMs);
  }

  /** `from` undefined: a client. Codes and messages come from closed sets. */
  rejected(from: ReplicaId | undefined, message: string, rejection: Rejection): void {
    this.#rejections.add(`${from ?? "client"} ${message} ${rejection.code}`, { from, message, rejection });
  }

  problem(level: "warn" | "error", fields: LogFields, message: string): void {
    const { code } = fields;
    const text = short(message);
    this.#problems.add(text, { level, message: text, ...(typeof code === "string" && { code }) });
  }

  /** Latest first; misbehaviour before what is harmless. */
  rejections(): readonly RejectionIncident[] {
    const all = this.#rejections.list(({ from, message, rejection }, count, ageMs): RejectionIncident => ({
      ...(from !== undefined && { from }), message, code: rejection.code, verdict: verdict(rejection), detail: short(rejection.detail), count, ageMs,
    }));
    return [...all.filter((r) => r.verdict === "misbehaviour"), ...all.filter((r) => r.verdict === "ignore")];
  }

  /** Latest first. */
  problems(): readonly ProblemIncident[] {
    return this.#problems.list((problem, count, ageMs) => ({ ...problem, count, ageMs }));
  }
}

/** The same logger, which also remembers warnings and errors. */
export function rememberProblems(logger: Logger, incidents: Incidents): Logger {
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => {
      incidents.problem("warn", fields, message);
      logger.warn(fields, message);
    },
    error: (fields, message) => {
      incidents.problem("error", fields, message);
      logger.error(fields, message);
    },
  };
}
