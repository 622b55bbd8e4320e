/** What goes wrong around runs, not within them. */
export type ToolErrorCode =
  | "WORKER_DIED" // a worker process ended instead of answering
  | "STATE_INVALID" // a state file is of another campaign or damaged
  | "SCENARIO_INVALID" // a scenario file is damaged, or of another format
  | "MUTATION_STALE" // the text that a seeded bug replaces is no longer in the source
  | "APP_INVALID"; // the module named by --app exports no state machine

export class ToolError extends Error {
  override readonly name = "ToolError";
  readonly code: ToolErrorCode;

  /** `message` says what happened, to which file, and what to do next. */
  constructor(code: ToolErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
