/** What an accepted result means to the caller who waits for it. */
import { InvariantViolation, NarsesError } from "@narses/core";
import { decodeResult } from "@narses/wire";
import { EVICTED, inDoubt } from "./flight.ts";
import type { Submission, Submitted } from "./unit.ts";

/** Resolves with the value, or rejects with APP_REJECTED, NOT_EXECUTED or IN_DOUBT: the agreed code, message and receipt are in `data`. */
export function settleWithResult(submission: Pick<Submission, "resolve" | "reject">, bytes: Uint8Array, certified: Omit<Submitted, "result">, session: number): void {
  const { seq, block, receipt } = certified;
  const decoded = decodeResult(bytes);
  if (!decoded.ok) {
    // A correct replica vouches for these bytes, so it is not a lie: replica and client disagree on the format.
    submission.reject(new InvariantViolation(`the certified result in block ${seq} is malformed: ${decoded.rejection.detail}`));
    return;
  }
  const result = decoded.value;
  switch (result.status) {
    case "ok":
      submission.resolve({ result: result.value, receipt, seq, block });
      return;
    case "rejected": {
      const { code, message, data } = result;
      submission.reject(new NarsesError("APP_REJECTED", `the state machine refused the operation in block ${seq}: ${code}: ${message}`, { code, message, data, ...certified }));
      return;
    }
    case "not-executed": {
      const { code, message } = result;
      if (code === EVICTED) return submission.reject(inDoubt(session, `block ${seq} says so`, { ...certified }));
      const text = `the operation was ordered in block ${seq} but not executed there: ${code}: ${message}`;
      submission.reject(new NarsesError("NOT_EXECUTED", text, { code, message, ...certified }));
      return;
    }
  }
}

/** Why nothing of a bundle was executed. A session is evicted, and an order kept, for a bundle as a whole: its first result tells. */
export function refusalOfBundle(bytes: Uint8Array | undefined): string | undefined {
  const decoded = bytes === undefined ? undefined : decodeResult(bytes);
  return decoded?.ok === true && decoded.value.status === "not-executed" ? decoded.value.code : undefined;
}
