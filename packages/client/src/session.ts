/** One session: operations wait, become signed bundles with consecutive request ids, and are handed to the dispatcher. */
import { NarsesError, type Bundle, type Digest, type Operation, type Rejection, type ReplicaId, type Reply } from "@narses/core";
import { BUNDLE_OVERHEAD_BYTES, operationBytes } from "./bundle-size.ts";
import { Dispatcher } from "./dispatcher.ts";
import { answerMissing } from "./flight.ts";
import type { Links } from "./links.ts";
import type { Membership } from "./membership.ts";
import { checkTimeoutMs, type ResolvedOptions } from "./options.ts";
import { Outbox, type Submission, type Submitted, type Unit } from "./outbox.ts";
import { createPending } from "./pending.ts";
import { SessionIds } from "./session-ids.ts";
import { listed } from "./text.ts";

export interface SubmitOptions {
  /** Stops waiting at once, rejecting with `signal.reason`. An operation already sent may still execute. */
  readonly signal?: AbortSignal;
  /** Milliseconds; default timeouts.operationMs. Infinity: no limit. An operation already sent may still execute. */
  readonly timeoutMs?: number;
}

export interface SessionOptions {
  readonly membership: Membership;
  readonly links: Links;
  readonly options: ResolvedOptions;
  readonly ridStart: number;
  readonly onForged: (from: ReplicaId, reason: Rejection) => void;
}

export interface SessionStatus {
  /** The view that W replicas have reached, as their replies say: a hint. */
  readonly view: number;
  readonly primary: ReplicaId;
  readonly nextRid: number;
  /** Every request id up to this one is answered. */
  readonly ackLow: number;
  readonly bundlesInFlight: number;
  readonly operationsInFlight: number;
  /** 0 when nothing is in flight. */
  readonly oldestInFlightMs: number;
  readonly queuedOperations: number;
  readonly queuedBytes: number;
  /** Bundles sent again, since the start. */
  readonly retransmissions: number;
}

export class Session {
  readonly #membership: Membership;
  readonly #links: Links;
  readonly #options: ResolvedOptions;
  readonly #ids: SessionIds;
  readonly #outbox = new Outbox();
  readonly #dispatcher: Dispatcher;
  #flushPlanned = false;
  #closed: Error | undefined;

  constructor({ membership, links, options, ridStart, onForged }: SessionOptions) {
    this.#membership = membership;
    this.#links = links;
    this.#options = options;
    this.#ids = new SessionIds(ridStart);
    this.#dispatcher = new Dispatcher({
      membership,
      links,
      options,
      onForged,
      onLanded: ({ ridFirst, operations }) => {
        this.#ids.answered(ridFirst, operations.length);
        this.#flushSoon();
      },
    });
  }

  /** Queues operations that travel in one bundle; a promise for each. They must fit one bundle (see splitIntoUnits). */
  enqueue(operations: readonly Operation[], options: SubmitOptions): readonly Promise<Submitted>[] {
    const timeoutMs = checkTimeoutMs("timeoutMs", options.timeoutMs ?? this.#options.timeouts.operationMs);
    const refusal: unknown = this.#closed ?? (options.signal?.aborted === true ? options.signal.reason : this.#overload(operations));
    if (refusal !== undefined) return operations.map(() => Promise.reject(refusal));
    const submissions: Submission[] = [];
    const unit: Unit = { submissions };
    for (const operation of operations) {
      const pending = createPending<Submitted>({
        timers: this.#options.timers,
        timeoutMs,
        signal: options.signal,
        timeoutError: () => this.#timeoutError(submission, timeoutMs),
        onGivenUp: () => this.#outbox.forget(unit, submission),
      });
      const submission: Submission = { operation, pending };
      submissions.push(submission);
    }
    this.#outbox.add(unit);
    this.#flushSoon();
    return submissions.map((submission) => submission.pending.promise);
  }

  /** @returns why the reply was not believed, if so. @throws InvariantViolation when certified answers contradict each other. */
  onReply(from: ReplicaId, reply: Reply): Rejection | undefined {
    return this.#dispatcher.onReply(from, reply);
  }

  onRefused(from: ReplicaId, bundleDigest: Digest, code: string, detail: string): void {
    this.#dispatcher.onRefused(from, bundleDigest, code, detail);
  }

  onConnected(replica: ReplicaId): void {
    this.#dispatcher.onConnected(replica);
  }

  onDisconnected(replica: ReplicaId): void {
    this.#dispatcher.onDisconnected(replica);
  }

  close(reason: Error): void {
    this.#closed ??= reason;
    for (const { pending } of this.#outbox.drain()) pending.reject(reason);
    this.#dispatcher.close(reason);
  }

  status(): SessionStatus {
    const { flights, view, primary, retransmissions } = this.#dispatcher;
    const now = this.#options.timers.now();
    return {
      view,
      primary,
      nextRid: this.#ids.next,
      ackLow: this.#ids.ackLow,
      bundlesInFlight: flights.length,
      operationsInFlight: flights.reduce((sum, flight) => sum + flight.submissions.length, 0),
      oldestInFlightMs: flights.reduce((oldest, flight) => Math.max(oldest, now - flight.sentAtMs), 0),
      queuedOperations: this.#outbox.operations,
      queuedBytes: this.#outbox.bytes,
      retransmissions,
    };
  }

  #overload(operations: readonly Operation[]): NarsesError | undefined {
    const { queuedOperations, queuedBytes } = this.#options.limits;
    const bytes = operations.reduce((sum, operation) => sum + operation.payload.length, this.#outbox.bytes);
    if (this.#outbox.operations + operations.length <= queuedOperations && bytes <= queuedBytes) return undefined;
    const waiting = `${this.#outbox.operations} operations of ${this.#outbox.bytes} bytes wait`;
    return new NarsesError("OVERLOADED", `${waiting}, the limits are ${queuedOperations} operations and ${queuedBytes} bytes; submit again when some are answered`, {
      queuedOperations,
      queuedBytes,
    });
  }

  /** At the end of the turn, so that everything submitted in one turn shares a bundle. */
  #flushSoon(): void {
    if (this.#flushPlanned) return;
    this.#flushPlanned = true;
    queueMicrotask(() => {
      this.#flushPlanned = false;
      this.#flush();
    });
  }

  #flush(): void {
    const { parameters } = this.#membership.cluster;
    const { bundlesInFlight, outstanding } = this.#options.limits;
    while (this.#dispatcher.size < bundlesInFlight) {
      const submissions = this.#outbox.take({
        operationsMax: Math.min(parameters.bundleOperationsMax, outstanding - this.#ids.outstanding),
        bytesMax: parameters.bundleBytesMax - BUNDLE_OVERHEAD_BYTES,
        bytesOf: operationBytes,
      });
      if (submissions.length === 0) return;
      const bundle = this.#sign(submissions);
      if (bundle === undefined) continue;
      this.#ids.take(submissions.length);
      this.#dispatcher.send(bundle, submissions);
    }
  }

  /** Rejects the submissions when the key cannot sign (it may live outside this process); no id is used up then. */
  #sign(submissions: readonly Submission[]): Bundle | undefined {
    try {
      return this.#membership.codec.makeBundle({
        key: this.#options.key,
        session: this.#options.session,
        ridFirst: this.#ids.next,
        ackLow: this.#ids.ackLow,
        operations: submissions.map((submission) => submission.operation),
      });
    } catch (error) {
      for (const { pending } of submissions) pending.reject(error);
      return undefined;
    }
  }

  #timeoutError(submission: Submission, timeoutMs: number): NarsesError {
    const { connected } = this.#links;
    const flight = this.#dispatcher.flights.find((candidate) => candidate.submissions.includes(submission));
    if (flight !== undefined) return answerMissing(flight, submission, { timeoutMs, weak: this.#membership.quorums.weak, connected });
    const text = `not sent within ${timeoutMs} ms: ${this.#dispatcher.size} bundles are in flight and unanswered; connected replicas: ${listed(connected)}`;
    return new NarsesError("TIMEOUT", text, { timeoutMs, sent: false, connected });
  }
}
