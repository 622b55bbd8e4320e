/**
 * One session: operations become signed bundles, bundles are sent and sent again until W replicas give the same answer.
 *
 * A bundle once sent is retransmitted, byte for byte the same, until it is answered or the client is closed, even when
 * every caller has given up: its request ids must be used up, or the session window of the replicas would have a hole.
 */
import { NarsesError, rejection, verdict, type Digest, type Operation, type Receipt, type Rejection, type ReplicaId, type Reply } from "@narses/core";
import { retransmitDelayMs, seededRandom } from "./backoff.ts";
import { createBlockRegistry, recordCertifiedBlock } from "./block-registry.ts";
import { setBounded } from "./bounded.ts";
import { BUNDLE_OVERHEAD_BYTES, operationBytes } from "./bundle-size.ts";
import { clip, listed } from "./text.ts";
import { answerMissing, type InFlight } from "./flight.ts";
import type { Links } from "./links.ts";
import type { Membership } from "./membership.ts";
import { checkTimeoutMs, type ResolvedOptions } from "./options.ts";
import { Outbox, type Submission, type Submitted, type Unit } from "./outbox.ts";
import { createPending } from "./pending.ts";
import { checkReply } from "./reply.ts";
import { settleWithResult } from "./result.ts";
import { SessionIds } from "./session-ids.ts";
import { createTally, findQuorum, type Quorum, type VerifiedOutcomes } from "./tally.ts";
import { believedPrimary, believedView, createViewHint, reportView } from "./view-hint.ts";

/** Answered bundles remembered, so that late replies are told from unsolicited ones. */
export const ANSWERED_BUNDLES_MAX = 1_024;

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
  readonly view: number;
  readonly primary: ReplicaId;
  readonly nextRid: number;
  readonly ackLow: number;
  readonly bundlesInFlight: number;
  readonly operationsInFlight: number;
  readonly oldestInFlightMs: number;
  readonly queuedOperations: number;
  readonly queuedBytes: number;
  readonly retransmissions: number;
}

export class Session {
  readonly #membership: Membership;
  readonly #links: Links;
  readonly #options: ResolvedOptions;
  readonly #onForged: SessionOptions["onForged"];
  readonly #random: () => number;
  readonly #ids: SessionIds;
  readonly #outbox = new Outbox();
  readonly #inFlight = new Map<Digest, InFlight>();
  readonly #answered = new Map<Digest, true>();
  readonly #verified: VerifiedOutcomes = new Map();
  readonly #blocks = createBlockRegistry();
  readonly #viewHint;
  #flushPlanned = false;
  #retransmissions = 0;
  #closed: Error | undefined;

  constructor({ membership, links, options, ridStart, onForged }: SessionOptions) {
    this.#membership = membership;
    this.#links = links;
    this.#options = options;
    this.#onForged = onForged;
    this.#random = seededRandom(options.jitterSeed);
    this.#ids = new SessionIds(ridStart);
    this.#viewHint = createViewHint(membership.quorums.n);
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

  /** @returns why the reply was not believed; undefined when it was, or came too late to matter. @throws InvariantViolation */
  onReply(from: ReplicaId, reply: Reply): Rejection | undefined {
    const flight = this.#inFlight.get(reply.bundleDigest);
    if (flight === undefined) {
      if (!this.#answered.has(reply.bundleDigest)) return rejection("UNSOLICITED", `reply for bundle ${reply.bundleDigest}, which is not ours or long answered`);
      reportView(this.#viewHint, from, reply.view);
      return undefined;
    }
    const { tally, bundle } = flight;
    if (tally.excluded.has(from)) return undefined;
    const checked = checkReply(from, reply, bundle);
    if (!checked.ok) {
      if (verdict(checked.rejection) === "misbehaviour") tally.excluded.add(from);
      return checked.rejection;
    }
    reportView(this.#viewHint, from, reply.view);
    tally.votes.set(from, checked.value);
    const quorum = findQuorum(tally, checked.value.claim, this.#membership, this.#verified, this.#onForged);
    if (quorum !== undefined) this.#accept(flight, quorum);
    return undefined;
  }

  onRefused(from: ReplicaId, bundleDigest: Digest, code: string, detail: string): void {
    this.#inFlight.get(bundleDigest)?.refusals.set(from, { code: clip(code), detail: clip(detail) });
  }

  onConnected(replica: ReplicaId): void {
    const primary = believedPrimary(this.#viewHint, this.#membership.quorums);
    for (const flight of this.#inFlight.values()) {
      if (flight.broadcast || replica === primary) this.#links.send(replica, flight.frame);
    }
  }

  /** Without its primary a bundle may be lost: every other replica gets it at once, to relay it and to watch over it. */
  onDisconnected(replica: ReplicaId): void {
    if (replica !== believedPrimary(this.#viewHint, this.#membership.quorums)) return;
    for (const flight of this.#inFlight.values()) this.#retransmit(flight);
  }

  close(reason: Error): void {
    this.#closed ??= reason;
    for (const { pending } of this.#outbox.drain()) pending.reject(reason);
    for (const flight of this.#inFlight.values()) {
      this.#options.timers.clear(flight.timer);
      for (const { pending } of flight.submissions) pending.reject(reason);
    }
    this.#inFlight.clear();
  }

  status(): SessionStatus {
    const flights = [...this.#inFlight.values()];
    const now = this.#options.timers.now();
    return {
      view: believedView(this.#viewHint, this.#membership.quorums),
      primary: believedPrimary(this.#viewHint, this.#membership.quorums),
      nextRid: this.#ids.next,
      ackLow: this.#ids.ackLow,
      bundlesInFlight: flights.length,
      operationsInFlight: flights.reduce((sum, flight) => sum + flight.submissions.length, 0),
      oldestInFlightMs: flights.reduce((oldest, flight) => Math.max(oldest, now - flight.sentAtMs), 0),
      queuedOperations: this.#outbox.operations,
      queuedBytes: this.#outbox.bytes,
      retransmissions: this.#retransmissions,
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
    while (this.#inFlight.size < bundlesInFlight) {
      const submissions = this.#outbox.take({
        operationsMax: Math.min(parameters.bundleOperationsMax, outstanding - this.#ids.outstanding),
        bytesMax: parameters.bundleBytesMax - BUNDLE_OVERHEAD_BYTES,
        bytesOf: operationBytes,
      });
      if (submissions.length === 0) return;
      try {
        this.#sendBundle(submissions);
      } catch (error) {
        // Only the key can fail here (a signer outside the process, say); nothing was sent and no id is used up.
        for (const { pending } of submissions) pending.reject(error);
      }
    }
  }

  #sendBundle(submissions: readonly Submission[]): void {
    const { codec, quorums } = this.#membership;
    const bundle = codec.makeBundle({
      key: this.#options.key,
      session: this.#options.session,
      ridFirst: this.#ids.next,
      ackLow: this.#ids.ackLow,
      operations: submissions.map((submission) => submission.operation),
    });
    this.#ids.take(submissions.length);
    const flight: InFlight = {
      bundle,
      frame: codec.encodeClient({ type: "request", bundle }),
      submissions,
      tally: createTally(),
      refusals: new Map(),
      sentAtMs: this.#options.timers.now(),
      broadcast: false,
      attempt: 0,
      timer: undefined,
    };
    this.#inFlight.set(bundle.digest, flight);
    if (!this.#links.send(believedPrimary(this.#viewHint, quorums), flight.frame)) this.#broadcast(flight);
    this.#arm(flight);
  }

  #broadcast(flight: InFlight): void {
    flight.broadcast = true;
    this.#links.sendToAll(flight.frame);
  }

  #retransmit(flight: InFlight): void {
    this.#retransmissions++;
    this.#broadcast(flight);
    this.#arm(flight);
  }

  #arm(flight: InFlight): void {
    const { timers, timeouts } = this.#options;
    if (flight.timer !== undefined) timers.clear(flight.timer);
    const delayMs = retransmitDelayMs(flight.attempt, { firstMs: timeouts.retransmitMs, maxMs: timeouts.retransmitMaxMs }, this.#random);
    flight.timer = timers.set(delayMs, () => {
      flight.attempt++;
      this.#retransmit(flight);
    });
  }

  #accept(flight: InFlight, { accepted, outcomes }: Quorum): void {
    const { reply } = accepted;
    const { header, leafIndex, leafCount, path, results } = reply;
    const block = reply.outcome.body.block;
    recordCertifiedBlock(this.#blocks, header, block);
    const { bundle, submissions } = flight;
    this.#options.timers.clear(flight.timer);
    this.#inFlight.delete(bundle.digest);
    setBounded(this.#answered, bundle.digest, true, ANSWERED_BUNDLES_MAX);
    this.#ids.answered(bundle.ridFirst, submissions.length);
    submissions.forEach(({ pending }, operation) => {
      const bytes = results[operation];
      if (bytes === undefined) return; // checkReply: one result for each operation
      const receipt: Receipt = { version: 1, header, outcomes, leafIndex, leafCount, path, bundle: bundle.bytes, results, operation };
      settleWithResult(pending, { bytes, header, block, receipt });
    });
    this.#flushSoon();
  }

  #timeoutError(submission: Submission, timeoutMs: number): NarsesError {
    const { connected } = this.#links;
    const flight = [...this.#inFlight.values()].find((candidate) => candidate.submissions.includes(submission));
    if (flight !== undefined) return answerMissing(flight, submission, { timeoutMs, weak: this.#membership.quorums.weak, connected });
    const text = `not sent within ${timeoutMs} ms: ${this.#inFlight.size} bundles are in flight and unanswered; connected replicas: ${listed(connected)}`;
    return new NarsesError("TIMEOUT", text, { timeoutMs, sent: false, connected });
  }
}
