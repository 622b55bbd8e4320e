/** What an accepted result means to the caller who waits for it. */
import { InvariantViolation, NarsesError, type BlockHeader, type Digest, type Receipt } from "@narses/core";
import { decodeResult } from "@narses/wire";
import { EVICTED, inDoubt } from "./flight.ts";
import type { Pending } from "./pending.ts";
import type { Submitted } from "./outbox.ts";

export interface AcceptedResult {
  readonly bytes: Uint8Array;
  readonly header: BlockHeader;
  /** Hash of `header`. */
  readonly block: Digest;
  readonly receipt: Receipt;
  readonly session: number;
}

/** Resolves with the value, or rejects with APP_REJECTED, NOT_EXECUTED or IN_DOUBT: the agreed code, message and receipt are in `data`. */
export function settleWithResult(pending: Pending<Submitted>, { bytes, header, block, receipt, session }: AcceptedResult): void {
  const decoded = decodeResult(bytes);
  if (!decoded.ok) {
    // A correct replica vouches for these bytes, so it is not a lie: replica and client disagree on the format.
    pending.reject(new InvariantViolation(`the certified result in block ${header.seq} is malformed: ${decoded.rejection.detail}`));
    return;
  }
  const result = decoded.value;
  const certified = { seq: header.seq, block, receipt };
  switch (result.status) {
    case "ok":
      pending.resolve({ result: result.value, ...certified });
      return;
    case "rejected": {
      const { code, message, data } = result;
      pending.reject(new NarsesError("APP_REJECTED", `the state machine refused the operation in block ${header.seq}: ${code}: ${message}`, { code, message, data, ...certified }));
      return;
    }
    case "not-executed": {
      const { code, message } = result;
      if (code === EVICTED) return pending.reject(inDoubt(session, `block ${header.seq} says so`, certified));
      const text = `the operation was ordered in block ${header.seq} but not executed there: ${code}: ${message}`;
      pending.reject(new NarsesError("NOT_EXECUTED", text, { code, message, ...certified }));
      return;
    }
  }
}

/** Why nothing of a bundle was executed. A session is evicted, and an order kept, for a bundle as a whole: its first result tells. */
export function refusalOfBundle(bytes: Uint8Array | undefined): string | undefined {
  const decoded = bytes === undefined ? undefined : decodeResult(bytes);
  return decoded?.ok === true && decoded.value.status === "not-executed" ? decoded.value.code : undefined;
}
