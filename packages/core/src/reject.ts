/**
 * Why a message from a peer was not accepted. `ignore` is harmless (stale, duplicate, ahead, not for this view);
 * `misbehaviour` means a correct replica could not have sent it.
 */
export type Verdict = "ignore" | "misbehaviour";

export type RejectionCode =
  | "FRAME_MALFORMED"
  | "FRAME_TOO_LARGE"
  | "SIGNATURE_INVALID"
  | "SENDER_UNKNOWN"
  | "SENDER_MISMATCH"
  | "BATCH_INVALID"
  | "REQUEST_INVALID"
  | "EPOCH_FOREIGN"
  | "VIEW_OLD"
  | "VIEW_FUTURE"
  | "VIEW_INACTIVE"
  | "SEQ_BELOW_WINDOW"
  | "SEQ_ABOVE_WINDOW"
  | "DUPLICATE"
  | "NOT_PRIMARY"
  | "PRIMARY_PREPARE"
  | "EQUIVOCATION"
  | "DIGEST_MISMATCH"
  | "TIMESTAMP_OUT_OF_RANGE"
  | "CERTIFICATE_INVALID"
  | "VIEW_CHANGE_INVALID"
  | "NEW_VIEW_INVALID"
  | "CHECKPOINT_DIVERGED"
  | "STATE_INVALID"
  | "UNSOLICITED"
  | "QUEUE_FULL"
  | "RATE_LIMITED";

export const REJECTION_CODES: Readonly<Record<RejectionCode, Verdict>> = {
  // wire and authentication
  FRAME_MALFORMED: "misbehaviour",
  FRAME_TOO_LARGE: "misbehaviour",
  SIGNATURE_INVALID: "misbehaviour",
  SENDER_UNKNOWN: "misbehaviour",
  SENDER_MISMATCH: "misbehaviour",
  BATCH_INVALID: "misbehaviour",
  REQUEST_INVALID: "misbehaviour",
  // protocol
  EPOCH_FOREIGN: "ignore",
  VIEW_OLD: "ignore",
  VIEW_FUTURE: "ignore",
  VIEW_INACTIVE: "ignore",
  SEQ_BELOW_WINDOW: "ignore",
  SEQ_ABOVE_WINDOW: "ignore",
  DUPLICATE: "ignore",
  NOT_PRIMARY: "misbehaviour",
  PRIMARY_PREPARE: "misbehaviour",
  EQUIVOCATION: "misbehaviour",
  DIGEST_MISMATCH: "misbehaviour",
  TIMESTAMP_OUT_OF_RANGE: "ignore",
  CERTIFICATE_INVALID: "misbehaviour",
  VIEW_CHANGE_INVALID: "misbehaviour",
  NEW_VIEW_INVALID: "misbehaviour",
  CHECKPOINT_DIVERGED: "misbehaviour",
  STATE_INVALID: "misbehaviour",
  UNSOLICITED: "ignore",
  QUEUE_FULL: "ignore",
  RATE_LIMITED: "ignore",
};

export interface Rejection {
  readonly code: RejectionCode;
  /** One clause for the log and `why`: what was wrong, with the numbers. */
  readonly detail: string;
}

export const rejection = (code: RejectionCode, detail: string): Rejection => ({ code, detail });

export const verdict = (r: Rejection): Verdict => REJECTION_CODES[r.code];
