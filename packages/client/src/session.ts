/**
 * Operations wait, become signed bundles with consecutive request ids of the current session, and are handed to the dispatcher. When the
 * cluster has evicted the session, another one takes its place for what was not sent; what was sent and not answered is in doubt.
 */
import { NarsesError, type Bundle, type Digest, type Operation, type Rejection, type ReplicaId, type Reply, type SeqNum } from "@narses/core";
import { BUNDLE_OVERHEAD_BYTES, operationBytes } from "./bundle-size.ts";
import { Dispatcher } from "./dispatcher.ts";
import { answerMissing } from "./flight.ts";
import type { Links } from "./links.ts";
import type { Membership } from "./membership.ts";
import { checkTimeoutMs, type ResolvedOptions } from "./options.ts";
import { Outbox } from "./outbox.ts";
import { chooseSession, isEvicted, randomPart, type SessionAnswer } from "./session-choice.ts";
import { SessionIds } from "./session-ids.ts";
import { listed } from "./text.ts";
import { Unit, type Submission, type Submitted } from "./unit.ts";

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
  /** Number of the first session. */
  readonly session: number;
  /** Asks the replicas where they stand, and whether `session` is open. Rejects when the time is up, or the client is closed. */
  readonly ask: (session: number | undefined, timeoutMs: number) => Promise<readonly SessionAnswer[]>;
  readonly onForged: (from: ReplicaId, reason: Rejection) => void;
}

export interface SessionStatus {
  /** The view that W replicas have reached, as their replies say: a hint. */
  readonly view: number;
  readonly primary: ReplicaId;
  /** Number of the current session. */
  readonly session: number;
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

/** While the next one is being chosen: no bundle has it. */
const NO_SESSION = -1;

export class Session {
  readonly #membership: Membership;
  readonly #links: Links;
  readonly #options: ResolvedOptions;
  readonly #ask: SessionOptions["ask"];
  readonly #outbox = new Outbox();
  readonly #dispatcher: Dispatcher;
  #session: number;
  #ids = new SessionIds();
  /** Nothing is sent until the replicas have told which session to use. */
  #asking = false;
  #lastUseMs: number;
  #flushPlanned = false;
  #closed: Error | undefined;

  constructor({ membership, links, options, session, ask, onForged }: SessionOptions) {
    this.#membership = membership;
    this.#links = links;
    this.#options = options;
    this.#session = session;
    this.#ask = ask;
    this.#lastUseMs = options.timers.now();
    this.#dispatcher = new Dispatcher({
      membership,
      links,
      options,
      onForged,
      onLanded: ({ session: of, ridFirst, operationCount }, evicted) => {
        this.#lastUseMs = options.timers.now();
        if (of === this.#session) {
          if (evicted) this.#replace();
          else this.#ids.answered(ridFirst, operationCount);
        }
        this.#flushSoon();
      },
    });
  }

  /** Queues operations that travel in one bundle; resolves with what became of each. They must fit one bundle (see splitIntoUnits). */
  enqueue(operations: readonly Operation[], { signal, timeoutMs: wanted }: SubmitOptions): Promise<readonly PromiseSettledResult<Submitted>[]> {
    const { timers, timeouts } = this.#options;
    const timeoutMs = checkTimeoutMs("timeoutMs", wanted ?? timeouts.operationMs);
    const refusal: unknown = this.#closed ?? (signal?.aborted === true ? signal.reason : this.#overload(operations));
    if (refusal !== undefined) return Promise.resolve(operations.map(() => ({ status: "rejected", reason: refusal })));
    const unit = new Unit({
      operations, timers, timeoutMs, signal,
      timeoutError: (submission) => this.#timeoutError(submission, timeoutMs),
      onGivenUp: (given, submission) => this.#outbox.forget(given, submission),
    });
    this.#outbox.add(unit);
    this.#flushSoon();
    return unit.settled;
  }

  /** True when the frame is a reply to a bundle whose fate is known: nothing in it is worth decoding. */
  isLate(from: ReplicaId, frame: Uint8Array): boolean {
    return this.#dispatcher.isLate(from, frame);
  }

  /** @returns why the reply was not believed, if so. @throws InvariantViolation when certified answers contradict each other. */
  onReply(from: ReplicaId, reply: Reply): Rejection | undefined {
    return this.#dispatcher.onReply(from, reply);
  }

  /** @throws InvariantViolation as onReply. */
  onExecuted(from: ReplicaId, bundleDigest: Digest, seq: SeqNum, leafIndex: number): void {
    this.#dispatcher.onExecuted(from, bundleDigest, seq, leafIndex);
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
    for (const submission of this.#outbox.drain()) submission.reject(reason);
    this.#dispatcher.close(reason);
  }

  status(): SessionStatus {
    const { flights, view, primary, retransmissions } = this.#dispatcher;
    const now = this.#options.timers.now();
    return {
      view,
      primary,
      session: this.#session,
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

  /** The current session is evicted. Its other bundles in flight find that out for themselves. */
  #replace(): void {
    const evicted = this.#session;
    this.#session = NO_SESSION;
    this.#wait(this.#ask(undefined, Number.POSITIVE_INFINITY), (answers) => {
      this.#use(answers);
      this.#options.logger.warn({ evicted, session: this.#session }, "the cluster has evicted this client's session; it goes on in another one");
    });
  }

  /** Long unused: what would be sent into an evicted session would be in doubt. Without an answer the session is used as it is. */
  #confirm(): void {
    this.#wait(this.#ask(this.#session, this.#options.timeouts.retransmitMs), (answers) => {
      if (isEvicted(answers, this.#membership.quorums)) this.#use(answers);
    });
  }

  #use(answers: readonly SessionAnswer[]): void {
    this.#session = chooseSession(answers, this.#membership.quorums, randomPart());
    this.#ids = new SessionIds();
  }

  #wait(asked: Promise<readonly SessionAnswer[]>, then: (answers: readonly SessionAnswer[]) => void): void {
    this.#asking = true;
    asked
      .then(then)
      .catch((error: unknown) => this.#options.logger.debug({ error: String(error) }, "the replicas did not tell where they stand"))
      .finally(() => {
        this.#asking = false;
        this.#lastUseMs = this.#options.timers.now();
        this.#flushSoon();
      });
  }

  #flush(): void {
    if (this.#asking || this.#closed !== undefined || this.#outbox.operations === 0) return;
    if (this.#dispatcher.size === 0 && this.#options.timers.now() - this.#lastUseMs > this.#options.timeouts.sessionIdleMs) return this.#confirm();
    this.#sendBundles();
  }

  #sendBundles(): void {
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
        session: this.#session,
        ridFirst: this.#ids.next,
        ackLow: this.#ids.ackLow,
        fifo: this.#options.fifo,
        operations: submissions.map((submission) => submission.operation),
      });
    } catch (error) {
      for (const submission of submissions) submission.reject(error);
      return undefined;
    }
  }

  #timeoutError(submission: Submission, timeoutMs: number): NarsesError {
    const { connected } = this.#links;
    const flight = this.#dispatcher.flights.find((candidate) => candidate.submissions.includes(submission));
    if (flight !== undefined) return answerMissing(flight, submission, { timeoutMs, needed: this.#membership.replyQuorum, connected });
    const text = `not sent within ${timeoutMs} ms: ${this.#dispatcher.size} bundles are in flight and unanswered; connected replicas: ${listed(connected)}`;
    return new NarsesError("TIMEOUT", text, { timeoutMs, sent: false, connected });
  }
}
