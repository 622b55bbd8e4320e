/** A broken invariant: the replica must stop, since continuing could make it lie. */
export class InvariantViolation extends Error {
  override readonly name = "InvariantViolation";
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantViolation(message);
}

/** Ends an exhaustive switch: a new variant fails to compile here. */
export function assertNever(value: never): never {
  throw new InvariantViolation(`unexpected variant ${JSON.stringify(value)}`);
}
