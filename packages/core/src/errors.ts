/**
 * Local failures carry a stable code, a sentence for a person, and data. Bad peer input is a {@link Rejection} value
 * instead; broken invariants are {@link InvariantViolation}; misuse by the caller is TypeError or RangeError.
 */
export const ERROR_CODES = [
  "CONFIG_INVALID", // a cluster file, parameter or option is wrong; `field` names it
  "KEY_INVALID", // a key file is damaged, encrypted with another passphrase, or of another replica
  "KEY_PASSPHRASE", // the key file is encrypted and no passphrase, or a wrong one, was given
  "KEY_EXISTS", // a key file of that name exists, and is not overwritten
  "PORT_IN_USE", // the listen address is taken
  "DATA_DIR_LOCKED", // a live process holds the data directory
  "DATA_DIR_FOREIGN", // the data directory belongs to another cluster or replica
  "DATA_CORRUPT", // a file failed its checksum before its end
  "DATA_VERSION", // the data directory was written by another format version
  "DISK_FAILED", // write or fsync failed; the replica stops (never retried)
  "NOT_CONNECTED", // too few replicas reachable
  "TIMEOUT", // no quorum of matching answers in time
  "CLOSED", // the client or replica was closed
  "UNAVAILABLE", // the replica is fetching its state from others; another one may answer
  "OVERLOADED", // a bounded queue is full
  "REQUEST_TOO_LARGE", // operation or bundle above its cap
  "EVIDENCE_INVALID", // an evidence file proves nothing against anyone
  "RECEIPT_INVALID", // a receipt, block or chain does not verify
  "APP_REJECTED", // the state machine refused the operation
  "APP_NONDETERMINISTIC", // the determinism guard caught the state machine; `data.hazards` says at what
  "NOT_EXECUTED", // the operation was ordered but not executed; `data.code` says why (request id used, outside the window, …)
  "IN_DOUBT", // the session was evicted before the answer came: executed at most once, and not any more; look before submitting it again
  "CALL_FAILED", // a replica answered a control call with an error
  "FRAME_INVALID", // bytes that no message has
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

export class NarsesError extends Error {
  override readonly name = "NarsesError";
  readonly code: ErrorCode;
  readonly data: Readonly<Record<string, unknown>>;

  /** `message` says what happened, to which replica, file or field, and what to do next. */
  constructor(code: ErrorCode, message: string, data: Readonly<Record<string, unknown>> = {}, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.data = data;
  }
}
