/** Requests: what waits to be ordered, relaying to the primary, and the primary's batching (PBFT §4.1, §5.1.4). */
import type { Bundle, ClientId, Digest } from "@narses/core";
import { seqNum } from "@narses/core";
import { addPayload, slotAt } from "./slots.ts";
import { emit, highWatermark, isPrimary, primary, type Replica, type Slot, slotsOpen, type Waiting } from "./state.ts";

/** A client's bundle, verified and admitted by the shell. Beyond pendingBundlesMax it is dropped; the client retries. */
export function onRequest(r: Replica, bundle: Bundle, more = false): void {
  if (!r.waiting.has(bundle.digest) && r.waiting.size < r.config.parameters.pendingBundlesMax) {
    const waiting: Waiting = { bundle, sinceTick: r.tick, order: ++r.arrivals, relayedTick: undefined };
    r.waiting.set(bundle.digest, waiting);
    if (!isCarried(r, bundle)) enqueue(r, waiting);
    if (r.active && !isPrimary(r) && r.waiting.size <= RELAYED_AT_ONCE_MAX && !isLarge(r, bundle) && !isProposed(r, bundle)) relay(r, waiting);
  }
  if (!more) proposeReady(r);
}

/** A bundle that was executed, or has nothing left to execute. */
export function forget(r: Replica, digest: Digest): void {
  r.waiting.delete(digest);
  dequeue(r, digest);
}

function enqueue({ queue }: Replica, waiting: Waiting): void {
  queue.bundles.set(waiting.bundle.digest, waiting);
  queue.operations += waiting.bundle.operationCount;
  queue.bytes += waiting.bundle.bytes.length;
}

function dequeue({ queue }: Replica, digest: Digest): void {
  const bundle = queue.bundles.get(digest)?.bundle;
  if (bundle === undefined) return;
  queue.bundles.delete(digest);
  queue.operations -= bundle.operationCount;
  queue.bytes -= bundle.bytes.length;
}

// ── relaying ─────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Bundles relayed at once, at most: the primary usually has them, and they must not stand in the way of votes. While more wait, only
 * the oldest are relayed, with each STATUS: a cluster that is late is not helped by hearing everything four times.
 */
const RELAYED_AT_ONCE_MAX = 16;

function relay(r: Replica, waiting: Waiting): void {
  waiting.relayedTick ??= r.tick;
  emit(r, { type: "send", to: primary(r), message: { type: "forward", bundle: waiting.bundle } });
}

/** Its client sends it to every replica: relayed at once by all of them, it would reach the primary n times. */
const isLarge = (r: Replica, { bytes }: Bundle): boolean => bytes.length > r.config.parameters.largeBundleBytes;

/** The primary has it: an accepted proposal of this view carries it. */
function isProposed(r: Replica, { digest }: Bundle): boolean {
  for (const { proposal, payloads } of slotsOpen(r)) {
    if (proposal?.view === r.view && payloads.get(proposal.digest)?.bundles.some((bundle) => bundle.digest === digest) === true) return true;
  }
  return false;
}

/** Of large bundles, the oldest are relayed with a STATUS up to this many bytes, and the one that exceeds it. */
const LARGE_RELAYED_BYTES_MAX = 256 << 10;

/**
 * Relays the oldest waiting bundles to the primary: on entering a view, on reconnection, and with each STATUS (those that waited long
 * enough). Of large ones only a few, and never before they have waited for a STATUS: the primary lacks one only when its client, or
 * a link, did not do its part.
 */
export function relayOldest(r: Replica, waitedTicksMin = 0): void {
  if (!r.active || isPrimary(r)) return;
  let relayed = 0;
  let largeBytes = 0;
  for (const waiting of r.waiting.values()) {
    const { bundle } = waiting;
    const waited = r.tick - waiting.sinceTick;
    if (relayed++ >= RELAYED_AT_ONCE_MAX || waited < waitedTicksMin) return;
    const large = isLarge(r, bundle);
    if (large && (waited < r.config.parameters.statusIntervalTicks || largeBytes >= LARGE_RELAYED_BYTES_MAX)) continue;
    if (isProposed(r, bundle)) continue;
    if (large) largeBytes += bundle.bytes.length;
    relay(r, waiting);
  }
}

/** On entering a view: every waiting bundle is owed by the new primary, from now on. */
export function restartWaiting(r: Replica): void {
  for (const waiting of r.waiting.values()) {
    waiting.sinceTick = r.tick;
    waiting.relayedTick = undefined;
    dequeue(r, waiting.bundle.digest);
    enqueue(r, waiting);
  }
  relayOldest(r);
  if (isPrimary(r)) for (const slot of r.slots.values()) noteCarried(r, slot);
}

/** Primary: what a proposal of this view carries need not be proposed again. Also when its payload, long certified, comes late. */
export function noteCarried(r: Replica, { proposal, payloads }: Slot): void {
  if (proposal?.view !== r.view || !isPrimary(r)) return;
  for (const { digest } of payloads.get(proposal.digest)?.bundles ?? []) dequeue(r, digest);
}

/** Primary: whether NEW-VIEW carried over a slot with this bundle, not executed yet. Usually there is none to look at. */
function isCarried(r: Replica, { digest }: Bundle): boolean {
  if (!isPrimary(r)) return false;
  for (let seq = seqNum(r.executed + 1); seq <= r.settledSeq; seq = seqNum(seq + 1)) {
    const slot = r.slots.get(seq);
    if (slot?.proposal?.view === r.view && slot.payloads.get(slot.proposal.digest)?.bundles.some((bundle) => bundle.digest === digest) === true) return true;
  }
  return false;
}

// ── batching ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** Primary: proposes batches while the pipeline has room and the batching rule says so. */
export function proposeReady(r: Replica): void {
  if (!r.active || !isPrimary(r) || !r.started || r.transfer !== undefined || r.silence !== undefined) return;
  // Behind its back, in a later view it does not know of yet, slots may have been decided: it follows, and must not reach below.
  if (r.nextSeq <= r.handed) r.nextSeq = seqNum(r.handed + 1);
  while (r.queue.bundles.size > 0 && r.nextSeq <= highWatermark(r) && slotsInFlight(r) < r.config.parameters.pipelineDepth && isWorthIt(r)) propose(r, pick(r));
}

const slotsInFlight = (r: Replica): number => r.nextSeq - 1 - r.executed;

/** Operations of the slots proposed and not executed. */
function operationsInFlight(r: Replica): number {
  let operations = 0;
  for (let seq = r.executed + 1; seq < r.nextSeq; seq++) {
    const slot = r.slots.get(seqNum(seq));
    const bundles = slot?.proposal === undefined ? undefined : slot.payloads.get(slot.proposal.digest)?.bundles;
    for (const bundle of bundles ?? []) operations += bundle.operationCount;
  }
  return operations;
}

/**
 * Whether to propose now or to gather more. A slot costs the same whatever it carries, so under load few large ones are cheaper than
 * many small ones, while a client that is alone must not wait for others: at once when nothing is in flight; else when as much waits as
 * is in flight (so that what the network can keep under way is shared by a few slots, and none waits longer than a slot takes), when a
 * full batch waits, or when the oldest has waited batchDelayTicks.
 */
function isWorthIt(r: Replica): boolean {
  const { batchDelayTicks } = r.config.parameters;
  const [oldest] = r.queue.bundles.values();
  if (slotsInFlight(r) <= 0 || oldest === undefined || r.tick - oldest.sinceTick >= batchDelayTicks) return true;
  return !fitsOne(r) || r.queue.operations >= operationsInFlight(r);
}

/** Everything that waits fits one batch. */
const fitsOne = ({ queue, config: { parameters: p } }: Replica): boolean => queue.operations <= p.batchOperationsMax && queue.bytes <= p.batchBytesMax;

/**
 * The bundles of the next batch, up to the caps. When not all fit, clients take turns, in order of their oldest bundle: one that sends
 * much cannot keep the others out. A client's own bundles stay in order.
 */
function pick(r: Replica): readonly Bundle[] {
  if (fitsOne(r)) return [...r.queue.bundles.values()].map(({ bundle }) => bundle);
  const { batchBytesMax, batchOperationsMax } = r.config.parameters;
  const picked: Bundle[] = [];
  let bytes = 0;
  let operations = 0;
  for (const bundle of inTurns(r.queue.bundles.values())) {
    bytes += bundle.bytes.length;
    operations += bundle.operationCount;
    if (bytes > batchBytesMax || operations > batchOperationsMax) break;
    picked.push(bundle);
  }
  return picked;
}

function* inTurns(queue: Iterable<Waiting>): Iterable<Bundle> {
  const clients = new Map<ClientId, Bundle[]>();
  for (const { bundle } of queue) {
    const own = clients.get(bundle.client);
    if (own === undefined) clients.set(bundle.client, [bundle]);
    else own.push(bundle);
  }
  for (let turn = 0; clients.size > 0; turn++) {
    for (const [client, own] of clients) {
      const bundle = own[turn];
      if (bundle === undefined) clients.delete(client);
      else yield bundle;
    }
  }
}

/** Assigns the next sequence number. Durable before PRE-PREPARE: a restarted primary proposes the same again. */
function propose(r: Replica, bundles: readonly Bundle[]): void {
  const seq = r.nextSeq;
  const batch = r.tools.makeBatch(r.config.epoch, r.wallMs, bundles);
  for (const { digest } of bundles) dequeue(r, digest);
  const slot = slotAt(r, seq);
  addPayload(slot, batch);
  slot.proposal = { view: r.view, digest: batch.digest, signed: undefined, sinceTick: r.tick, prepareCast: true };
  r.nextSeq = seqNum(seq + 1);
  emit(r, { type: "persist", record: { type: "pre-prepared", view: r.view, seq, digest: batch.digest, batch }, lazy: false });
  emit(r, { type: "pre-prepare", view: r.view, seq, digest: batch.digest, batch });
}

/** Primary, with heartbeats on and nothing to order: an empty batch shows that it is alive, and lets time advance. */
export function heartbeat(r: Replica): void {
  const { heartbeatTicks } = r.config.parameters;
  if (heartbeatTicks === 0 || !r.active || !isPrimary(r) || r.transfer !== undefined || r.nextSeq > highWatermark(r) || slotsInFlight(r) > 0) return;
  if (r.tick - r.watch.proposedTick >= heartbeatTicks) propose(r, []);
}
