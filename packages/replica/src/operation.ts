/**
 * Runs one operation of the state machine in a transaction, and turns whatever it does into a result. Everything in a
 * result is agreed (it is under the result root), so nothing in it may depend on the engine that runs the code: the text
 * of an unexpected error goes to the log, not into the result.
 */
import { AppRejection, requestId, type Bundle, type LogFields, type Logger, type Operation, type SeqNum, type StateMachine, type StateReader } from "@narses/core";
import { decodePayload, encodeResult, PAYLOAD_LIMITS, type OperationResult } from "@narses/wire";
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
export const NOT_EXECUTED: Readonly<Record<"already" | "window" | "order" | "unknown" | "evicted" | "full" | "session", Uint8Array>> = {
  already: notExecuted("ALREADY_EXECUTED", "this request id was executed before, and its result is not kept for this bundle"),
  window: notExecuted("OUT_OF_WINDOW", "this request id is too far above the lowest one not yet executed"),
  order: notExecuted("OUT_OF_ORDER", "the request before this bundle is not executed yet"),
  full: notExecuted("STATE_FULL", "the replicated state has no room where this bundle writes; nothing of it was executed, and its request ids are used up"),
  session: notExecuted("SESSION_FULL", "the replicated state has no room for this session; nothing of the bundle was executed, and its request ids are not used up"),
  unknown: notExecuted("SESSION_UNKNOWN", "this session is anchored at a slot of the future"),
  evicted: notExecuted("EVICTED", "this session is not open any more; open another one"),
};

const BAD_OPERATION = rejected("BAD_OPERATION", "the payload is not valid msgpack");
const NO_QUERY = rejected("BAD_OPERATION", "this state machine answers no queries");
const INTERNAL = rejected("INTERNAL", "the state machine failed; the replicas' logs tell why");
const TOO_LARGE = rejected("RESULT_TOO_LARGE", "the result is larger than the cluster allows; the operation was undone");

/**
 * Operations whose payloads the application may keep and change, as it may with everything it is given: one copy of all of a bundle's,
 * the same on every replica, where a copy of each would cost as much as executing it.
 */
export function ownOperations(operations: readonly Operation[]): readonly Operation[] {
  let bytes = 0;
  for (const { payload } of operations) bytes += payload.length;
  const copy = new Uint8Array(bytes);
  let at = 0;
  return operations.map(({ kind, payload }) => {
    copy.set(payload, at);
    at += payload.length;
    return { kind, payload: copy.subarray(at - payload.length, at) };
  });
}

/** Executes one of {@link ownOperations} and returns the encoded result. Its writes stay only if the result is "ok". @throws a failure of the state store. */
export function runOperation(operation: Operation, context: OperationContext): Uint8Array {
  const payload = decodePayload(operation.payload, PAYLOAD_LIMITS, true);
  if (!payload.ok) return BAD_OPERATION;
  const { app, state, logger, bytesMax, bundle, rid, time, seq, random } = context;
  const attempted: AttemptContext = { logger, bytesMax, fields: { seq, rid, client: bundle.client } };
  if (operation.kind === "query") return query(payload.value, { ...attempted, app, state, place: { time, seq } });
  state.begin();
  const lease = leaseStore(state);
  const result = attempt(attempted, lease, () =>
    app.apply(payload.value, { store: lease.store, time, seq, client: bundle.client, publicKey: bundle.publicKey.slice(), rid: requestId(rid), random }),
  );
  if (result.ok) state.commit();
  else state.rollback();
  return result.bytes;
}

/** What a query needs, ordered or not. */
export interface QueryContext extends AttemptContext {
  readonly app: StateMachine;
  readonly state: StateReader;
  /** Its properties are read only if the state machine reads them. */
  readonly place: { readonly time: number; readonly seq: SeqNum };
}

/** The encoded answer to a question that is not ordered: the same that an ordered one would get in this state. @throws as runOperation. */
export function runQuery(payload: Uint8Array, context: QueryContext): Uint8Array {
  const question = decodePayload(payload);
  return question.ok ? query(question.value, context) : BAD_OPERATION;
}

function query(question: unknown, context: QueryContext): Uint8Array {
  const { app, state, place } = context;
  if (app.query === undefined) return NO_QUERY;
  const lease = leaseReader(state);
  const asked = {
    store: lease.store,
    get time() {
      return place.time;
    },
    get seq() {
      return place.seq;
    },
  };
  return attempt(context, lease, () => app.query?.(question, asked)).bytes;
}

interface AttemptContext {
  readonly logger: Logger;
  /** Encoded result, at most. */
  readonly bytesMax: number;
  /** Names the operation in the log. */
  readonly fields: LogFields;
}

interface Attempt {
  readonly ok: boolean;
  readonly bytes: Uint8Array;
}

function attempt(context: AttemptContext, lease: Lease<unknown>, call: () => unknown): Attempt {
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

function encodeFailure(context: AttemptContext, error: unknown): Uint8Array {
  const refusal = refusalOf(error);
  if (refusal !== undefined) {
    try {
      const bytes = encodeResult(refusal);
      if (bytes.length <= RESULT_BYTES_MAX) return bytes;
    } catch {
      // Data that msgpack cannot carry is a fault of the application: INTERNAL, below.
    }
  }
  context.logger.error({ ...context.fields, stack: describeError(error) }, "the state machine threw an unexpected error: the operation is undone and rejected as INTERNAL");
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
