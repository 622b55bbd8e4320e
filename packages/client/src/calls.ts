/** Control calls: a question to one replica, answered by it alone. Its answer is worth what its word is worth. */
import { NarsesError, type ReplicaId } from "@narses/core";
import { CALL_RESULT_BYTES_MAX, PAYLOAD_LIMITS, decodePayload, encodePayload } from "@narses/wire";
import type { Links } from "./links.ts";
import type { Membership } from "./membership.ts";
import { checkTimeoutMs } from "./options.ts";
import { createTimed, type Pending } from "./pending.ts";
import { clip } from "./text.ts";
import type { Timers } from "./timers.ts";

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Milliseconds; default timeouts.callMs. Infinity: no limit. */
  readonly timeoutMs?: number;
}

/** Blocks come this way: the frame is what bounds them. */
const ANSWER_LIMITS = { ...PAYLOAD_LIMITS, bytesMax: CALL_RESULT_BYTES_MAX };

interface Call {
  readonly replica: ReplicaId;
  readonly method: string;
  readonly pending: Pending<unknown>;
}

export interface CallsOptions {
  readonly membership: Membership;
  readonly links: Links;
  readonly timers: Timers;
  readonly timeoutMs: number;
  /** Calls without an answer, at most. */
  readonly max: number;
}

export class Calls {
  readonly #options: CallsOptions;
  readonly #waiting = new Map<number, Call>();
  /** Calls of the application without an answer. */
  #open = 0;
  #lastId = 0;

  constructor(options: CallsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** A call of the application. @throws NarsesError OVERLOADED above the limit, and as `ask`. */
  async call(replica: ReplicaId, method: string, params: unknown, options: CallOptions): Promise<unknown> {
    const { max } = this.#options;
    if (this.#open >= max) {
      throw new NarsesError("OVERLOADED", `${max} control calls are without an answer; wait for one before calling "${method}"`, { method, max });
    }
    this.#open++;
    try {
      return await this.ask(replica, method, params, options);
    } finally {
      this.#open--;
    }
  }

  /** A call of the client itself: at most one at a time for each connection, so not counted. @throws NarsesError TIMEOUT, NOT_CONNECTED, CALL_FAILED, CLOSED. */
  async ask(replica: ReplicaId, method: string, params: unknown, options: CallOptions): Promise<unknown> {
    const { links, membership, timers } = this.#options;
    const timeoutMs = checkTimeoutMs("timeoutMs", options.timeoutMs ?? this.#options.timeoutMs);
    options.signal?.throwIfAborted();
    const id = ++this.#lastId;
    const frame = membership.codec.encodeClient({ type: "call", id, method, params: encodePayload(params) });
    if (!links.send(replica, frame)) {
      const problem = links.isConnected(replica) ? "its send queue is full" : "it is not connected";
      throw new NarsesError("NOT_CONNECTED", `cannot call "${method}" of replica ${replica}: ${problem}; call another replica or try again`, { replica, method });
    }
    const pending = createTimed<unknown>({
      timers,
      timeoutMs,
      signal: options.signal,
      timeoutError: () => new NarsesError("TIMEOUT", `replica ${replica} did not answer "${method}" within ${timeoutMs} ms`, { replica, method, timeoutMs }),
      onGivenUp: () => this.#waiting.delete(id),
    });
    this.#waiting.set(id, { replica, method, pending });
    return pending.promise;
  }

  /** False when nobody waits for this answer, or it is another replica that was asked. */
  onResult(from: ReplicaId, id: number, ok: boolean, value: Uint8Array): boolean {
    const call = this.#waiting.get(id);
    if (call?.replica !== from) return false;
    this.#waiting.delete(id);
    const decoded = decodePayload(value, ANSWER_LIMITS);
    if (!decoded.ok) {
      const { detail } = decoded.rejection;
      call.pending.reject(new NarsesError("FRAME_INVALID", `replica ${from} answered "${call.method}" with bytes that are no value: ${detail}`, { replica: from }));
    } else if (ok) {
      call.pending.resolve(decoded.value);
    } else {
      call.pending.reject(callFailed(from, call.method, decoded.value));
    }
    return true;
  }

  onDisconnected(replica: ReplicaId): void {
    for (const [id, call] of this.#waiting) {
      if (call.replica !== replica) continue;
      this.#waiting.delete(id);
      call.pending.reject(new NarsesError("NOT_CONNECTED", `the connection to replica ${replica} was lost before it answered "${call.method}"`, { replica }));
    }
  }

  close(reason: Error): void {
    for (const call of this.#waiting.values()) call.pending.reject(reason);
    this.#waiting.clear();
  }
}

/** Replicas send { code, message }; anything else is shown as it is. */
function callFailed(replica: ReplicaId, method: string, answer: unknown): NarsesError {
  const { code, message } = typeof answer === "object" && answer !== null ? (answer as { code?: unknown; message?: unknown }) : {};
  const reason = typeof message === "string" ? message : typeof answer === "string" ? answer : "no reason given";
  const prefix = typeof code === "string" ? `${code}: ` : "";
  return new NarsesError("CALL_FAILED", clip(`replica ${replica} refused "${method}": ${prefix}${reason}`), { replica, method, answer });
}
