/**
 * Runs one operation of the state machine in a transaction, and turns whatever it does into a result. Everything in a
 * result is agreed (it is under the result root), so nothing in it may depend on the engine that runs the code: the text
 * of an unexpected error goes to the log, not into the result.
 */
import { AppRejection, requestId, type Bundle, type LogFields, type Logger, type Operation, type SeqNum, type StateMachine } from "@narses/core";
import { decodePayload, encodeResult, type OperationResult } from "@narses/wire";
import { leaseReader, leaseStore, type Lease } from "./app-store.ts";
import { DeterminismViolation } from "./guard/violation.ts";
import { REJECTION_CODE_LENGTH_MAX, REJECTION_MESSAGE_LENGTH_MAX, RESULT_BYTES_MAX } from "./limits.ts";
import { describeError } from "./log.ts";
import type { Overlay } from "./overlay.ts";

export interface OperationContext {
  readonly state: Overlay;
  readonly app: StateMachine;
  readonly logger: Logger;
  /** Unix milliseconds of the slot. */
  readonly time: number;
  readonly seq: SeqNum;
  readonly bundle: Bundle;
  readonly rid: number;
  readonly random: () => number;
  /** Encoded result, at most. */
  readonly bytesMax: number;
}

const notExecuted = (code: string, message: string): Uint8Array => encodeResult({ status: "not-executed", code, message });
const rejected = (code: string, message: string): Uint8Array => encodeResult({ status: "rejected", code, message, data: {} });

/** Results of operations that were ordered and that the session refuses. */
export const NOT_EXECUTED: Readonly<Record<"already" | "window" | "unknown" | "evicted" | "full", Uint8Array>> = {
  already: notExecuted("ALREADY_EXECUTED", "this request id was executed before, and its result is not kept for this bundle"),
  window: notExecuted("OUT_OF_WINDOW", "this request id is too far above the lowest one not yet executed"),
  full: notExecuted("STATE_FULL", "the replicated state has no room where this bundle writes; nothing of it was executed"),
  unknown: notExecuted("SESSION_UNKNOWN", "this session is anchored at a slot of the future"),
  evicted: notExecuted("EVICTED", "this session is not open any more; open another one"),
};

const BAD_OPERATION = rejected("BAD_OPERATION", "the payload is not valid msgpack");
const NO_QUERY = rejected("BAD_OPERATION", "this state machine answers no queries");
const INTERNAL = rejected("INTERNAL", "the state machine failed; the replicas' logs tell why");
const TOO_LARGE = rejected("RESULT_TOO_LARGE", "the result is larger than the cluster allows; the operation was undone");

/** Executes and returns the encoded result. Its writes stay only if the result is "ok". @throws a failure of the state store. */
export function runOperation(operation: Operation, context: OperationContext): Uint8Array {
  const payload = decodePayload(operation.payload);
  if (!payload.ok) return BAD_OPERATION;
  const { app, state } = context;
  if (operation.kind === "query") {
    if (app.query === undefined) return NO_QUERY;
    const lease = leaseReader(state);
    const result = attempt(context, lease, () => app.query?.(payload.value, { store: lease.store, time: context.time, seq: context.seq }));
    return result.bytes;
  }
  state.begin();
  const lease = leaseStore(state);
  const { bundle, rid, time, seq, random } = context;
  const result = attempt(context, lease, () =>
    app.apply(payload.value, { store: lease.store, time, seq, client: bundle.client, publicKey: bundle.publicKey.slice(), rid: requestId(rid), random }),
  );
  if (result.ok) state.commit();
  else state.rollback();
  return result.bytes;
}

interface Attempt {
  readonly ok: boolean;
  readonly bytes: Uint8Array;
}

function attempt(context: OperationContext, lease: Lease<unknown>, call: () => unknown): Attempt {
  let result: Attempt;
  try {
    const value = call();
    if (isThenable(value)) throw new TypeError("the state machine returned a promise: apply and query must be synchronous");
    result = { ok: true, bytes: encodeResult({ status: "ok", value: value ?? null }) };
  } catch (error) {
    // Only the guard makes these, and nobody runs it where others do not: no result, the replica stops.
    if (error instanceof DeterminismViolation) throw error;
    result = { ok: false, bytes: encodeFailure(context, error) };
  }
  lease.end(); // throws when the store itself failed: that is no result
  return result.bytes.length <= context.bytesMax ? result : { ok: false, bytes: TOO_LARGE };
}

const isThenable = (value: unknown): boolean =>
  typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";

function encodeFailure(context: OperationContext, error: unknown): Uint8Array {
  const refusal = refusalOf(error);
  if (refusal !== undefined) {
    try {
      const bytes = encodeResult(refusal);
      if (bytes.length <= RESULT_BYTES_MAX) return bytes;
    } catch {
      // Data that msgpack cannot carry is a fault of the application: INTERNAL, below.
    }
  }
  const fields: LogFields = { seq: context.seq, rid: context.rid, client: context.bundle.client, stack: describeError(error) };
  context.logger.error(fields, "the state machine threw an unexpected error: the operation is undone and rejected as INTERNAL");
  return INTERNAL;
}

/** The agreed form of an application's rejection; undefined for any other error. A second copy of core is no obstacle. */
function refusalOf(error: unknown): OperationResult | undefined {
  if (!(error instanceof AppRejection) && (error as { name?: unknown } | null)?.name !== "AppRejection") return undefined;
  const { code, message, data } = error as { code?: unknown; message?: unknown; data?: unknown };
  if (typeof code !== "string" || code.length === 0 || code.length > REJECTION_CODE_LENGTH_MAX || typeof message !== "string") return undefined;
  if (typeof data !== "object" || data === null) return undefined;
  return { status: "rejected", code, message: message.slice(0, REJECTION_MESSAGE_LENGTH_MAX), data: { ...data } };
}
