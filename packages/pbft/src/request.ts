/** Requests: what waits to be ordered, relaying to the primary, and the primary's batching (PBFT §4.1, §5.1.4). */
import type { Bundle } from "@narses/core";
import { seqNum } from "@narses/core";
import { addPayload, slotAt } from "./slots.ts";
import { emit, highWatermark, isPrimary, primary, type Replica, type Waiting } from "./state.ts";

/** A client's bundle, verified and admitted by the shell. Beyond pendingBundlesMax it is dropped; the client retries. */
export function onRequest(r: Replica, bundle: Bundle): void {
  if (r.waiting.has(bundle.digest)) return;
  if (r.waiting.size >= r.config.parameters.pendingBundlesMax) return;
  r.waiting.set(bundle.digest, { bundle, sinceTick: r.tick, proposed: undefined, order: ++r.arrivals });
  if (!r.active) return;
  if (isPrimary(r)) proposeReady(r);
  else emit(r, { type: "send", to: primary(r), message: { type: "forward", bundle } });
}

/** Bundles relayed at once, at most: the primary usually has them, and they must not stand in the way of votes. */
const RELAYED_AT_ONCE_MAX = 16;

/** Relays the oldest waiting bundles to the primary: on entering a view, on reconnection, and with each STATUS (those that waited long enough). */
export function relayOldest(r: Replica, waitedTicksMin = 0): void {
  if (!r.active || isPrimary(r)) return;
  let relayed = 0;
  for (const { bundle, sinceTick } of r.waiting.values()) {
    if (relayed++ >= RELAYED_AT_ONCE_MAX || r.tick - sinceTick < waitedTicksMin) return;
    emit(r, { type: "send", to: primary(r), message: { type: "forward", bundle } });
  }
}

/** On entering a view: every waiting bundle is owed by the new primary, from now on. */
export function restartWaiting(r: Replica): void {
  r.progressTick = r.tick;
  r.progressed = false;
  r.executedOrder = 0;
  for (const waiting of r.waiting.values()) {
    waiting.sinceTick = r.tick;
    waiting.proposed = undefined;
  }
  relayOldest(r);
  if (!isPrimary(r)) return;
  for (const slot of r.slots.values()) {
    if (slot.proposal?.view !== r.view) continue;
    for (const bundle of slot.payloads.get(slot.proposal.digest)?.bundles ?? []) {
      const waiting = r.waiting.get(bundle.digest);
      if (waiting !== undefined) waiting.proposed = slot.seq;
    }
  }
}

/** Primary: proposes batches while the pipeline has room and the batching rule says so. */
export function proposeReady(r: Replica): void {
  if (!r.active || !isPrimary(r) || !r.started || r.transfer !== undefined) return;
  // Behind its back, in a later view it does not know of yet, slots may have been decided: it follows, and must not reach below.
  if (r.nextSeq <= r.handed) r.nextSeq = seqNum(r.handed + 1);
  while (r.nextSeq <= highWatermark(r) && inFlight(r) < r.config.parameters.pipelineDepth) {
    const picked = pick(r);
    if (picked === undefined) return;
    propose(r, picked);
  }
}

const inFlight = (r: Replica): number => r.nextSeq - 1 - r.executed;

/**
 * The bundles of the next batch, in order of arrival, up to the caps; undefined when it is better to wait.
 * Rule: at once when the pipeline is empty, when a full batch waits, or when the oldest has waited batchDelayTicks.
 */
function pick(r: Replica): readonly Waiting[] | undefined {
  const p = r.config.parameters;
  const picked: Waiting[] = [];
  let bytes = 0;
  let operations = 0;
  let full = false;
  for (const waiting of r.waiting.values()) {
    if (waiting.proposed !== undefined) continue;
    bytes += waiting.bundle.bytes.length;
    operations += waiting.bundle.operations.length;
    if (bytes > p.batchBytesMax || operations > p.batchOperationsMax) {
      full = true;
      break;
    }
    picked.push(waiting);
  }
  const oldest = picked[0];
  if (oldest === undefined) return undefined;
  const waitedTicks = r.tick - oldest.sinceTick;
  return full || inFlight(r) <= 0 || waitedTicks >= p.batchDelayTicks ? picked : undefined;
}

/** Assigns the next sequence number. Durable before PRE-PREPARE: a restarted primary proposes the same again. */
function propose(r: Replica, picked: readonly Waiting[]): void {
  const seq = r.nextSeq;
  const batch = r.tools.makeBatch(r.config.epoch, r.wallMs, picked.map((w) => w.bundle));
  for (const waiting of picked) waiting.proposed = seq;
  const slot = slotAt(r, seq);
  addPayload(slot, batch);
  slot.proposal = { view: r.view, digest: batch.digest, signed: undefined, sinceTick: r.tick, prepareCast: true };
  r.nextSeq = seqNum(seq + 1);
  emit(r, { type: "persist", record: { type: "pre-prepared", view: r.view, seq, digest: batch.digest, batch }, lazy: false });
  emit(r, { type: "pre-prepare", view: r.view, seq, digest: batch.digest, batch });
}
