/** A bundle that is sent and not answered yet. */
import { NarsesError, type Bundle, type ReplicaId } from "@narses/core";
import type { Submission } from "./outbox.ts";
import type { Tally } from "./tally.ts";
import { listed } from "./text.ts";

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
}

export interface Waiting {
  readonly timeoutMs: number;
  /** W. */
  readonly weak: number;
  readonly connected: readonly ReplicaId[];
}

/** Why one operation of the bundle has no answer in time: who replied, who refused, who is there. */
export function answerMissing(flight: InFlight, submission: Submission, { timeoutMs, weak, connected }: Waiting): NarsesError {
  const rid = flight.bundle.ridFirst + flight.submissions.indexOf(submission);
  const refusals = [...flight.refusals].sort(([a], [b]) => a - b).map(([replica, refusal]) => ({ replica, ...refusal }));
  const refused = refusals.map(({ replica, code, detail }) => `; replica ${replica} refused it: ${code}: ${detail}`).join("");
  const replied = [...flight.tally.votes.keys()].sort((a, b) => a - b);
  const text =
    `request ${rid} has no ${weak} matching replies after ${timeoutMs} ms and ${flight.attempt} retransmissions; replies from replicas: ` +
    `${listed(replied)}; connected replicas: ${listed(connected)}${refused}. It may still execute: look before submitting it again.`;
  return new NarsesError("TIMEOUT", text, { timeoutMs, sent: true, rid, replied, refusals, connected });
}
