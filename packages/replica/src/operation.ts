/**
 * Runs one operation of the state machine in a transaction, and turns whatever it does into a result. Everything in a
 * result is agreed (it is under the result root), so nothing in it may depend on the engine that runs the code: the text
 * of an unexpected error goes to the log, not into the result.
 */
import {
  AppRejection, requestId,
  type ApplyContext, type AppStore, type Bundle, type ClientId, type Logger, type Operation, type SeqNum, type StateMachine, type StateReader,
} from "@narses/core";
import { decodePart, decodePayload, encodeResult, type OperationResult } from "@narses/wire";
import { endLease, leaseReader, leaseStore } from "./app-store.ts";
import { DeterminismViolation } from "./guard/violation.ts";
import { REJECTION_CODE_LENGTH_MAX, REJECTION_MESSAGE_LENGTH_MAX, RESULT_BYTES_MAX } from "./limits.ts";
import { describeError } from "./log.ts";
import type { Overlay } from "./overlay.ts";

/** What the operations of a bundle have in common. */
export interface BundleContext {
  readonly state: Overlay;
  readonly app: StateMachine;
  readonly logger: Logger;
  /** Unix milliseconds of the slot. */
  readonly time: number;
  readonly seq: SeqNum;
  readonly bundle: Bundle;
  /** The numbers of an operation, by its place in the bundle. */
  readonly random: (operation: number) => () => number;
}

/** One of them. */
export interface OperationPlace {
  readonly kind: Operation["kind"];
  /** Its payload is the bytes `from` … `to` of this, which are the bundle's own: see {@link ownPayloads}. */
  readonly payloads: Uint8Array;
  readonly from: number;
  readonly to: number;
  /** Its place in the bundle. */
  readonly index: number;
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
 * The payloads of a bundle one after the other, which the application may keep and change, as it may with everything it is given: one copy
 * of all of them, the same on every replica, where a copy of each would cost as much as executing it.
 */
export function ownPayloads(operations: readonly Operation[]): Uint8Array {
  let bytes = 0;
  for (const { payload } of operations) bytes += payload.length;
  const copy = new Uint8Array(bytes);
  let at = 0;
  for (const { payload } of operations) {
    copy.set(payload, at);
    at += payload.length;
  }
  return copy;
}

/** What the application is told of an operation: properties of its own, as machines made of others hand it on as `{ ...context, store }`. */
const told = (store: AppStore, { time, seq, bundle, random }: BundleContext, index: number): ApplyContext =>
  ({ store, time, seq, client: bundle.client, publicKey: bundle.publicKey.slice(), rid: requestId(bundle.ridFirst + index), random: random(index) });

/** Executes one operation and returns the encoded result. Its writes stay only if the result is "ok". @throws a failure of the state store. */
export function runOperation(common: BundleContext, { kind, payloads, from, to, index, bytesMax }: OperationPlace): Uint8Array {
  const payload = decodePart(payloads, from, to);
  if (!payload.ok) return BAD_OPERATION;
  const { app, state, time, seq } = common;
  if (kind === "query") return query(payload.value, { app, state, place: { time, seq } }, aboutOf(common, index, bytesMax));
  state.begin();
  const store = leaseStore(state);
  let bytes: Uint8Array;
  let ok = true;
  try {
    bytes = resultOf(app.apply(payload.value, told(store, common, index)));
  } catch (error) {
    bytes = encodeFailure(aboutOf(common, index, bytesMax), error);
    ok = false;
  }
  endLease(store); // throws when the store itself failed: that is no result
  const fits = bytes.length <= bytesMax;
  if (ok && fits) state.commit();
  else state.rollback();
  return fits ? bytes : TOO_LARGE;
}

const aboutOf = ({ logger, seq, bundle }: BundleContext, index: number, bytesMax: number): About =>
  ({ logger, bytesMax, seq, rid: bundle.ridFirst + index, client: bundle.client });

/** What a query needs, ordered or not. */
export interface QueryContext {
  readonly app: StateMachine;
  readonly state: StateReader;
  /** Its properties are read only if the state machine reads them. */
  readonly place: { readonly time: number; readonly seq: SeqNum };
}

/** Which operation it is, for the log, and how long its result may be. */
export interface About {
  readonly logger: Logger;
  /** Encoded result, at most. */
  readonly bytesMax: number;
  readonly seq: SeqNum;
  readonly rid?: number;
  readonly client?: ClientId;
}

/** The encoded answer to a question that is not ordered: the same that an ordered one would get in this state. @throws as runOperation. */
export function runQuery(payload: Uint8Array, context: QueryContext, about: About): Uint8Array {
  const question = decodePayload(payload);
  return question.ok ? query(question.value, context, about) : BAD_OPERATION;
}

function query(question: unknown, { app, state, place }: QueryContext, about: About): Uint8Array {
  if (app.query === undefined) return NO_QUERY;
  const store = leaseReader(state);
  const asked = {
    store,
    get time() {
      return place.time;
    },
    get seq() {
      return place.seq;
    },
  };
  let bytes: Uint8Array;
  try {
    bytes = resultOf(app.query(question, asked));
  } catch (error) {
    bytes = encodeFailure(about, error);
  }
  endLease(store); // as above
  return bytes.length <= about.bytesMax ? bytes : TOO_LARGE;
}

function resultOf(value: unknown): Uint8Array {
  if (isThenable(value)) throw new TypeError("the state machine returned a promise: apply and query must be synchronous");
  return encodeResult({ status: "ok", value: value ?? null });
}

const isThenable = (value: unknown): boolean =>
  typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";

function encodeFailure({ logger, seq, rid, client }: About, error: unknown): Uint8Array {
  // Only the guard makes these, and nobody runs it where others do not: no result, the replica stops.
  if (error instanceof DeterminismViolation) throw error;
  const refusal = refusalOf(error);
  if (refusal !== undefined) {
    try {
      const bytes = encodeResult(refusal);
      if (bytes.length <= RESULT_BYTES_MAX) return bytes;
    } catch {
      // Data that msgpack cannot carry is a fault of the application: INTERNAL, below.
    }
  }
  const fields = { seq, ...(rid !== undefined && { rid }), ...(client !== undefined && { client }), stack: describeError(error) };
  logger.error(fields, "the state machine threw an unexpected error: the operation is undone and rejected as INTERNAL");
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
