/** How a run can fail. `crash`: an exception or a broken invariant; `safety` and `liveness`: an oracle spoke. */
export type FailureKind = "crash" | "safety" | "liveness";

export class Violation extends Error {
  override readonly name = "Violation";
  readonly kind: FailureKind;
  /** The oracle that fired, or `engine` for an exception inside a correct replica. */
  readonly oracle: string;

  constructor(kind: FailureKind, oracle: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.kind = kind;
    this.oracle = oracle;
  }
}
