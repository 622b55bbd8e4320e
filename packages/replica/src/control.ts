/**
 * Control calls: questions a client asks this replica alone. Its answers carry no proof, except blocks, which chain to
 * certified ones. Bounded per connection and in all; parameters and answers have a largest size.
 */
import {
  NarsesError, seqNum,
  type BlockStore, type ClientConnection, type ClientId, type Logger, type StateMachine, type StateStore,
} from "@narses/core";
import { decodePayload, encodePayload, PAYLOAD_LIMITS, type Codec } from "@narses/wire";
import * as z from "zod";
import type { AdmissionControl } from "./admission.ts";
import { CallError } from "./call-error.ts";
import { endLease, leaseReader } from "./app-store.ts";
import type { ClientConnections } from "./client-connections.ts";
import type { Counters } from "./counters.ts";
import type { Halt } from "./execution.ts";
import type { Executor } from "./executor.ts";
import { CALL_PARAMS_BYTES_MAX, CALL_RESULT_BYTES_MAX, CALLS_MAX, CALLS_PER_CONNECTION_MAX } from "./limits.ts";
import { describeError } from "./log.ts";
import type { FastRead } from "./reads/fast-read.ts";
import type { ProvenReads } from "./reads/proven-read.ts";

export interface Call {
  readonly id: number;
  readonly method: string;
  readonly params: Uint8Array;
}

export interface Control {
  /** Answers, at once or some time later; never throws. */
  call(connection: ClientConnection, call: Call): void;
}

export interface ControlOptions {
  readonly codec: Pick<Codec, "encodeToClient" | "encodeBlock">;
  readonly state: StateStore;
  readonly blocks: BlockStore;
  readonly executor: Executor;
  readonly admission: Pick<AdmissionControl, "isOpen">;
  readonly connections: ClientConnections;
  readonly app: StateMachine;
  /** Whether `app-query` is answered: it shows the application's state to whoever can connect. */
  readonly localQueries: boolean;
  /** Why this replica answers nothing about its state, if so. */
  readonly halted: () => Halt | undefined;
  readonly fastRead: FastRead;
  readonly provenReads: Pick<ProvenReads, "prove">;
  /** Plain data. */
  readonly status: () => unknown;
  /** Plain data. */
  readonly why: () => unknown;
  /** Resolves when the state is as new as it was before a restart. */
  readonly recovered?: () => Promise<void>;
  readonly counters: Counters;
  readonly logger: Logger;
}

type Method = (params: unknown, connection: ClientConnection) => unknown;

const none = z.strictObject({});
const sessionParams = z.strictObject({ client: z.string().regex(/^[0-9a-f]{64}$/, "must be 64 lower-case hex digits"), session: z.int().min(0).optional() });
const blockParams = z.strictObject({ seq: z.int().min(0) });
const readParams = z.strictObject({ question: z.instanceof(Uint8Array), full: z.boolean() });
const proveParams = z.strictObject({ key: z.string().min(1).max(512) });
const queryParams = z.strictObject({ question: z.unknown() });

export function createControl(options: ControlOptions): Control {
  const { codec, counters, logger } = options;
  const methods = methodsOf(options);
  const open = new Map<ClientConnection, number>();
  let total = 0;

  async function answer(connection: ClientConnection, { method, params }: Call): Promise<unknown> {
    const handler = methods.get(method);
    if (handler === undefined) {
      throw new CallError("METHOD_UNKNOWN", `there is no method ${JSON.stringify(method)}; there are ${[...methods.keys()].join(", ")}`);
    }
    if (params.length > CALL_PARAMS_BYTES_MAX) {
      throw new CallError("REQUEST_TOO_LARGE", `parameters have ${params.length} bytes, at most ${CALL_PARAMS_BYTES_MAX}`);
    }
    const decoded = decodePayload(params);
    if (!decoded.ok) throw new CallError("REQUEST_INVALID", `parameters: ${decoded.rejection.detail}`);
    return handler(decoded.value, connection);
  }

  function send(connection: ClientConnection, id: number, ok: boolean, value: unknown): void {
    const bytes = encodePayload(value, { ...PAYLOAD_LIMITS, bytesMax: CALL_RESULT_BYTES_MAX });
    connection.send(codec.encodeToClient({ type: "call-result", id, ok, value: bytes }));
  }

  async function serve(connection: ClientConnection, call: Call): Promise<void> {
    try {
      send(connection, call.id, true, await answer(connection, call));
    } catch (error) {
      send(connection, call.id, false, failureOf(error, call, logger));
    }
  }

  return {
    call(connection, call) {
      counters.calls++;
      const own = open.get(connection) ?? 0;
      if (own >= CALLS_PER_CONNECTION_MAX || total >= CALLS_MAX) {
        const message = `${own} calls of this connection and ${total} in all are without an answer`;
        return send(connection, call.id, false, { code: "OVERLOADED", message });
      }
      open.set(connection, own + 1);
      total++;
      serve(connection, call)
        .catch((error: unknown) => logger.error({ method: call.method, error: describeError(error) }, "a control call could not be answered"))
        .finally(() => {
          total--;
          const left = (open.get(connection) ?? 1) - 1;
          if (left > 0) open.set(connection, left);
          else open.delete(connection);
        });
    },
  };
}

function failureOf(error: unknown, call: Call, logger: Logger): { readonly code: string; readonly message: string } {
  if (error instanceof CallError) return { code: error.code, message: error.message };
  if (error instanceof z.ZodError) return { code: "REQUEST_INVALID", message: `parameters: ${z.prettifyError(error)}` };
  if (error instanceof RangeError) return { code: "REQUEST_TOO_LARGE", message: error.message };
  if (error instanceof NarsesError) return { code: error.code, message: error.message };
  logger.error({ method: call.method, error: describeError(error) }, "a control call failed");
  return { code: "INTERNAL", message: "the call failed; the replica's log tells why" };
}

function methodsOf(options: ControlOptions): ReadonlyMap<string, Method> {
  const { admission, connections, blocks, codec, executor } = options;
  return new Map<string, Method>([
    ["status", (params) => (none.parse(params ?? {}), options.status())],
    ["why", (params) => (none.parse(params ?? {}), options.why())],
    ["session", async (params, connection) => {
      const { client, session } = sessionParams.parse(params);
      requireState(options);
      connections.attach(connection, client as ClientId, false);
      await options.recovered?.();
      const open = session === undefined ? undefined : admission.isOpen({ client: client as ClientId, session });
      return { seq: executor.head.header.seq, ...(open !== undefined && { open }) };
    }],
    ["head", (params) => {
      none.parse(params ?? {});
      const { header, hash } = executor.head;
      return { seq: header.seq, block: hash, stateRoot: header.stateRoot, timestampMs: header.timestampMs };
    }],
    ["block", async (params) => {
      const { seq } = blockParams.parse(params);
      if (blocks.head === undefined || seq > blocks.head) {
        throw new CallError("NOT_FOUND", `block ${seq} is not there yet: the last one is ${String(blocks.head)}`);
      }
      const block = await blocks.get(seqNum(seq));
      if (block === undefined) throw notHere(seq, blocks);
      return codec.encodeBlock(block);
    }],
    ["read", (params) => {
      const { question, full } = readParams.parse(params);
      return options.fastRead(question, full);
    }],
    ["prove", (params) => options.provenReads.prove(proveParams.parse(params).key)],
    ["app-query", (params) => appQuery(options, queryParams.parse(params).question)],
  ]);
}

/** @throws CallError while the state is in doubt or being replaced. */
function requireState({ halted }: ControlOptions): void {
  const halt = halted();
  if (halt !== undefined) throw new CallError(halt.code, halt.reason);
}

/** Says where blocks begin again: this replica took over a state there instead of executing what was before. */
function notHere(seq: number, blocks: BlockStore): CallError {
  const gap = blocks.gaps.find(({ first, last }) => first <= seq && seq <= last);
  if (gap === undefined) return new CallError("NOT_FOUND", `block ${seq} is not kept`);
  const why = `it took over a state from others instead of executing what led to it, and fetches these blocks in the background, from ${gap.last} down`;
  return new CallError("BLOCKS_MISSING", `this replica lacks blocks ${gap.first} to ${gap.last}: ${why}. Ask another replica, or later`);
}

/** "local" consistency: the state of this replica, after the last slot it executed, vouched for by nobody else. */
function appQuery(options: ControlOptions, question: unknown): unknown {
  const { app, state, executor, localQueries, logger } = options;
  if (!localQueries) throw new CallError("NOT_ALLOWED", `this replica answers no local queries ("localQueries" in replica.json); submit an ordered query`);
  if (app.query === undefined) throw new CallError("METHOD_UNKNOWN", "this state machine answers no queries");
  requireState(options);
  const { header } = executor.head;
  const store = leaseReader(state);
  let value: unknown;
  try {
    value = app.query(question, { store, time: header.timestampMs, seq: header.seq }) ?? null;
  } catch (error) {
    const { name, code, message } = error as { name?: unknown; code?: unknown; message?: unknown };
    if (name === "AppRejection" && typeof code === "string" && typeof message === "string") throw new CallError(code, message);
    logger.warn({ error: describeError(error) }, "the state machine threw an unexpected error from query");
    throw new CallError("INTERNAL", "the state machine failed; the replica's log tells why");
  } finally {
    endLease(store);
  }
  return { value, seq: header.seq, consistency: "local" };
}
