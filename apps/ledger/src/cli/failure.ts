/** How a command fails: a code, a sentence, an exit status. Documented in the README; scripts rely on them. */
import { InvariantViolation, NarsesError } from "@narses/core";

export const EXIT = {
  ok: 0,
  /** Not foreseen: a defect, or the operating system. */
  internal: 1,
  /** Unknown option, missing argument, malformed value. */
  usage: 2,
  /** A cluster file, key, port or data directory is wrong. */
  setup: 3,
  /** The ledger refused the operation, or some payments of an import. */
  refused: 4,
  /** Too few replicas reachable, no answer in time. */
  unreachable: 5,
  /** A receipt, block or chain does not verify, or replicas disagree. */
  unverified: 6,
  /** A file to import has lines that are wrong; nothing was applied. */
  input: 7,
  /** Stopped by a signal before it was done. */
  interrupted: 130,
} as const;
export type Exit = (typeof EXIT)[keyof typeof EXIT];

/** A failure of the command itself, as opposed to one that a library reports. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly code: string;
  readonly exit: Exit;
  readonly data: Readonly<Record<string, unknown>>;

  constructor(code: string, exit: Exit, message: string, data: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.code = code;
    this.exit = exit;
    this.data = data;
  }
}

/** The reason of a signal that ends a command. */
export const interrupted = (signal: string): CommandError =>
  new CommandError("INTERRUPTED", EXIT.interrupted, `stopped by ${signal}`, { signal });

/** A value on the command line is wrong. */
export const usage = (message: string, field: string): CommandError => new CommandError("USAGE", EXIT.usage, message, { field });

export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly exit: Exit;
  readonly data: Readonly<Record<string, unknown>>;
}

const EXIT_OF_CODE: Readonly<Record<NarsesError["code"], Exit>> = {
  CONFIG_INVALID: EXIT.setup,
  KEY_INVALID: EXIT.setup,
  KEY_PASSPHRASE: EXIT.setup,
  KEY_EXISTS: EXIT.setup,
  PORT_IN_USE: EXIT.setup,
  DATA_DIR_LOCKED: EXIT.setup,
  DATA_DIR_FOREIGN: EXIT.setup,
  DATA_CORRUPT: EXIT.setup,
  DATA_VERSION: EXIT.setup,
  DISK_FAILED: EXIT.setup,
  APP_NONDETERMINISTIC: EXIT.internal,
  NOT_CONNECTED: EXIT.unreachable,
  TIMEOUT: EXIT.unreachable,
  CLOSED: EXIT.unreachable,
  UNAVAILABLE: EXIT.unreachable,
  OVERLOADED: EXIT.unreachable,
  CALL_FAILED: EXIT.unreachable,
  IN_DOUBT: EXIT.unreachable,
  REQUEST_TOO_LARGE: EXIT.refused,
  APP_REJECTED: EXIT.refused,
  NOT_EXECUTED: EXIT.refused,
  RECEIPT_INVALID: EXIT.unverified,
  EVIDENCE_INVALID: EXIT.unverified,
  FRAME_INVALID: EXIT.unverified,
};

/** What a refusal of the ledger says, without the receipt that proves it. */
export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly seq: number;
  readonly data: Readonly<Record<string, unknown>>;
}

/** The ledger's own code and words, if `error` is a certified refusal. */
export function refusalOf(error: unknown): Refusal | undefined {
  if (!(error instanceof NarsesError) || error.code !== "APP_REJECTED") return undefined;
  const { code, message, seq, data } = error.data;
  const details = typeof data === "object" && data !== null ? (data as Readonly<Record<string, unknown>>) : {};
  return { code: String(code), message: String(message), seq: Number(seq), data: details };
}

const SYSTEM_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or directory; correct the path",
  EISDIR: "is a directory, a file is needed",
  ENOTDIR: "part of the path is not a directory; correct it",
  EACCES: "permission denied; check its owner and mode",
  EEXIST: "exists, and nothing is overwritten; give another name",
  ENOSPC: "the disk is full",
};

function describeSystemError(error: NodeJS.ErrnoException): string {
  const known = SYSTEM_ERRORS[error.code ?? ""];
  return known === undefined || error.path === undefined ? error.message : `${error.path}: ${known}`;
}

export function failureOf(error: unknown): Failure {
  if (error instanceof CommandError) return { code: error.code, message: error.message, exit: error.exit, data: error.data };
  const refusal = refusalOf(error);
  if (refusal !== undefined)
    return { code: refusal.code, message: refusal.message, exit: EXIT.refused, data: { seq: refusal.seq, ...refusal.data } };
  if (error instanceof NarsesError) {
    const { receipt: _receipt, ...data } = error.data;
    const hint = error.code === "KEY_PASSPHRASE" ? " (--passphrase-file FILE)" : "";
    return { code: error.code, message: error.message + hint, exit: EXIT_OF_CODE[error.code], data };
  }
  if (error instanceof InvariantViolation) return { code: "INVARIANT", message: error.message, exit: EXIT.internal, data: {} };
  const system = error as NodeJS.ErrnoException;
  if (error instanceof Error && typeof system.code === "string")
    return { code: system.code, message: describeSystemError(system), exit: EXIT.setup, data: { path: system.path } };
  return {
    code: "INTERNAL",
    message: error instanceof Error ? (error.stack ?? error.message) : String(error),
    exit: EXIT.internal,
    data: {},
  };
}
