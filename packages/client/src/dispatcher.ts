/**
 * Bundles in flight: sent to the believed primary, sent again to all until enough replicas give the same answer.
 *
 * A bundle once sent is retransmitted, byte for byte the same, until its fate is known or the client is closed, even when
 * every caller has given up: its request ids must be used up, or the session window of the replicas would have a hole.
 */
import { rejection, verdict, view, type Bundle, type Digest, type Receipt, type Rejection, type ReplicaId, type Reply, type SeqNum } from "@narses/core";
import { digestPrefix, peekReply } from "@narses/wire";
import { Patience, retransmitDelayMs, seededRandom } from "./backoff.ts";
import { createBlockRegistry, recordCertifiedBlock } from "./block-registry.ts";
import { setBounded } from "./bounded.ts";
import { behindRefused, EVICTED, finalRefusal, leavesIdsUnused, OUT_OF_ORDER, refusedForGood, waitsFor, type InFlight } from "./flight.ts";
import type { Links } from "./links.ts";
import type { Membership } from "./membership.ts";
import type { ResolvedOptions } from "./options.ts";
import type { Submission } from "./unit.ts";
import { checkReply } from "./reply.ts";
import { refusalOfBundle, settleWithResult } from "./result.ts";
import { createTally, findQuorum, supersedes, type Quorum, type VerifiedOutcomes } from "./tally.ts";
import { clip } from "./text.ts";
import { believedPrimary, believedView, createViewHint, reportView } from "./view-hint.ts";

/** Bundles whose fate is known that are remembered, so that late replies are told from unsolicited ones. */
export const LANDED_BUNDLES_MAX = 1_024;

export interface DispatcherOptions {
  readonly membership: Membership;
  readonly links: Links;
  readonly options: ResolvedOptions;
  /** A reply was counted whose signature turned out to be bad. */
  readonly onForged: (from: ReplicaId, reason: Rejection) => void;
  /** The fate of a bundle is known; `evicted`: its session is gone. */
  readonly onLanded: (bundle: Bundle, evicted: boolean) => void;
}

export class Dispatcher {
  readonly #membership: Membership;
  readonly #links: Links;
  readonly #options: ResolvedOptions;
  readonly #onForged: DispatcherOptions["onForged"];
  readonly #onLanded: DispatcherOptions["onLanded"];
  readonly #random: () => number;
  readonly #inFlight = new Map<Digest, InFlight>();
  /** How the digests of answered bundles begin: those of bundles in flight are not among them. */
  readonly #landed = new Map<number, true>();
  readonly #verified: VerifiedOutcomes = new Map();
  readonly #blocks = createBlockRegistry();
  readonly #viewHint;
  readonly #patience = new Patience();
  #retransmissions = 0;

  constructor({ membership, links, options, onForged, onLanded }: DispatcherOptions) {
    this.#membership = membership;
    this.#links = links;
    this.#options = options;
    this.#onForged = onForged;
    this.#onLanded = onLanded;
    this.#random = seededRandom(options.jitterSeed);
    this.#viewHint = createViewHint(membership.quorums.n);
  }

  get view(): number {
    return believedView(this.#viewHint, this.#membership.quorums);
  }

  get primary(): ReplicaId {
    return believedPrimary(this.#viewHint, this.#membership.quorums);
  }

  /** In order of sending. */
  get flights(): readonly InFlight[] {
    return [...this.#inFlight.values()];
  }

  get size(): number {
    return this.#inFlight.size;
  }

  get retransmissions(): number {
    return this.#retransmissions;
  }

  /** Submission i waits for the result of operation i. */
  send(bundle: Bundle, submissions: readonly Submission[]): void {
    const flight: InFlight = {
      bundle,
      frame: this.#membership.codec.encodeClient({ type: "request", bundle }),
      submissions,
      tally: createTally(),
      refusals: new Map(),
      sentAtMs: this.#options.timers.now(),
      broadcast: false,
      attempt: 0,
      timer: undefined,
      early: false,
      hurried: false,
    };
    this.#inFlight.set(bundle.digest, flight);
    this.#landed.delete(digestPrefix(bundle.digest));
    // A large one is named by its digest only when it is proposed: every replica needs its own copy.
    const large = bundle.bytes.length > this.#membership.cluster.parameters.largeBundleBytes;
    if (large || !this.#links.send(this.primary, flight.frame)) this.#broadcast(flight);
    this.#arm(flight);
  }

  /** A reply to a bundle whose fate is known: its view is noted (an honest hint or a liar's, as in any reply), the rest is not read. */
  isLate(from: ReplicaId, frame: Uint8Array): boolean {
    const peeked = peekReply(frame);
    if (peeked === undefined || !this.#landed.has(peeked.prefix) || !Number.isSafeInteger(peeked.view)) return false;
    reportView(this.#viewHint, from, view(peeked.view));
    return true;
  }

  /** @returns why the reply was not believed; undefined when it was, or came too late to matter. @throws InvariantViolation */
  onReply(from: ReplicaId, reply: Reply): Rejection | undefined {
    const flight = this.#inFlight.get(reply.bundleDigest);
    if (flight === undefined) {
      if (!this.#landed.has(digestPrefix(reply.bundleDigest))) return rejection("UNSOLICITED", `reply for bundle ${reply.bundleDigest}, which is not ours or long answered`);
      reportView(this.#viewHint, from, reply.view);
      return undefined;
    }
    const { tally, bundle } = flight;
    if (tally.excluded.has(from)) return undefined;
    const checked = checkReply(from, reply, bundle, tally.votes.values());
    if (!checked.ok) {
      if (verdict(checked.rejection) === "misbehaviour") tally.excluded.add(from);
      return checked.rejection;
    }
    reportView(this.#viewHint, from, reply.view);
    if (!supersedes(checked.value, tally.votes.get(from))) return undefined;
    tally.votes.set(from, checked.value);
    this.#count(flight, checked.value.claim);
    return undefined;
  }

  /** A replica whose state was transferred executed it there, and has no block to show. */
  onExecuted(from: ReplicaId, bundleDigest: Digest, seq: SeqNum, leafIndex: number): void {
    const flight = this.#inFlight.get(bundleDigest);
    if (flight === undefined) return;
    flight.tally.executed.set(from, { seq, leafIndex });
    for (const claim of new Set([...flight.tally.votes.values()].map((vote) => vote.claim))) {
      if (this.#inFlight.has(bundleDigest)) this.#count(flight, claim);
    }
  }

  onRefused(from: ReplicaId, bundleDigest: Digest, code: string, detail: string): void {
    const flight = this.#inFlight.get(bundleDigest);
    if (flight === undefined) return;
    flight.refusals.set(from, { code: clip(code), detail: clip(detail) });
    const final = finalRefusal(flight, this.#membership.quorums.weak);
    if (final === undefined) return;
    const reason = refusedForGood(flight, final);
    for (const submission of flight.submissions) submission.reject(reason);
    this.#land(flight, final);
  }

  /** A replica that missed what the others got at once. */
  onConnected(replica: ReplicaId): void {
    for (const flight of this.#inFlight.values()) {
      if (flight.broadcast) this.#links.send(replica, flight.frame);
    }
  }

  /** Without its primary a bundle may be lost: every other replica gets it at once, to relay it and to watch over it. */
  onDisconnected(replica: ReplicaId): void {
    if (replica !== this.primary) return;
    for (const flight of this.#inFlight.values()) this.#retransmit(flight);
  }

  close(reason: Error): void {
    for (const flight of this.#inFlight.values()) {
      this.#options.timers.clear(flight.timer);
      for (const submission of flight.submissions) submission.reject(reason);
    }
    this.#inFlight.clear();
  }

  #count(flight: InFlight, claim: string): void {
    const quorum = findQuorum(flight.tally, claim, this.#membership, this.#verified, this.#onForged);
    if (quorum !== undefined) this.#accept(flight, quorum);
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
    const delayMs = retransmitDelayMs(flight.attempt, { firstMs: this.#patience.delayMs(timeouts.retransmitMs), maxMs: timeouts.retransmitMaxMs }, this.#random);
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
    this.#patience.answered(this.#options.timers.now() - flight.sentAtMs);
    const refusal = refusalOfBundle(results[0]);
    if (refusal === OUT_OF_ORDER) return this.#holdBack(flight);
    this.#land(flight, refusal);
    for (const [operation, submission] of flight.submissions.entries()) {
      const bytes = results[operation];
      if (bytes === undefined) return; // never: checkReply wants one result for each operation
      const receipt: Receipt = { version: 1, header, outcomes, leafIndex, leafCount, path, bundle: flight.bundle.bytes, results, operation };
      settleWithResult(submission, bytes, { seq: header.seq, block, receipt }, flight.bundle.session);
    }
  }

  /** The one before it may have had its answer already, or gets it soon. What replicas say later, with fewer refusals, counts instead. */
  #holdBack(flight: InFlight): void {
    flight.early = true;
    flight.tally.votes.clear();
    const before = this.flights.some(({ bundle }) => bundle.session === flight.bundle.session && bundle.ridFirst < flight.bundle.ridFirst);
    if (!before) this.#hurry(flight);
  }

  /** Once: the one before it may have failed, and then only a later acknowledgement lets this one pass. */
  #hurry(flight: InFlight): void {
    flight.early = false;
    if (flight.hurried) return;
    flight.hurried = true;
    this.#retransmit(flight);
  }

  /** `code`: of its refusal, if it was refused. Then what must follow it in order has no place to wait for. */
  #land(flight: InFlight, code: string | undefined): void {
    this.#forget(flight, code === EVICTED);
    if (code !== undefined && leavesIdsUnused(code)) {
      for (const later of this.flights.filter((other) => waitsFor(other, flight))) {
        const reason = behindRefused(later, flight, code);
        for (const submission of later.submissions) submission.reject(reason);
        this.#forget(later, false);
      }
    }
    for (const next of this.#inFlight.values()) if (next.early) return this.#hurry(next);
  }

  #forget({ bundle, timer }: InFlight, evicted: boolean): void {
    this.#options.timers.clear(timer);
    this.#inFlight.delete(bundle.digest);
    setBounded(this.#landed, digestPrefix(bundle.digest), true, LANDED_BUNDLES_MAX);
    this.#onLanded(bundle, evicted);
  }
}
