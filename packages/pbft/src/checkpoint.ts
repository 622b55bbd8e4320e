/** Checkpoints: when Q replicas vouch for the same state, the log below it can go (PBFT §4.3). */
import type { Checkpoint, Digest, ReplicaId, SeqNum, Signed, StableCheckpoint } from "@narses/core";
import { checkStable } from "./certificate.ts";
import { onPrePrepareEarly } from "./early.ts";
import { proposeReady } from "./request.ts";
import { noteStable } from "./suspicion.ts";
import { coveredSeq, emit, pair, reject, type Replica, strong } from "./state.ts";
import { considerTransfer, onDiverged } from "./transfer.ts";

/** CHECKPOINTs kept per sender: the window, one window above, and one more. The highest are kept. */
const perSenderMax = (r: Replica): number => (2 * r.config.parameters.logWindow) / r.config.parameters.checkpointInterval + 1;

/** The state as of `seq` is durable here. */
export function onCheckpointed(r: Replica, seq: SeqNum, root: Digest): void {
  if (seq <= r.stable.seq || seq < r.stableKnown.seq) return; // overtaken by a certified checkpoint
  if (r.transfer !== undefined) return; // of a state that is being replaced
  r.ownRoots.set(seq, root);
  // Repaired meanwhile: what was said of this slot before cannot be taken back, nor contradicted.
  const said = r.vouched.get(seq);
  if (said !== undefined && said !== root) return adoptKnown(r);
  if (said === undefined) emit(r, { type: "persist", record: { type: "vouched", seq, root }, lazy: false });
  r.vouched.set(seq, root);
  emit(r, { type: "checkpoint", seq, root });
  adoptKnown(r);
}

/** CHECKPOINT from a peer, or own once signed. */
export function onCheckpoint(r: Replica, from: ReplicaId, signed: Signed<Checkpoint>): void {
  const { sender, seq, root, epoch } = signed.body;
  if (epoch !== r.config.epoch) return reject(r, from, "checkpoint", "EPOCH_FOREIGN", `epoch ${epoch}, this is ${r.config.epoch}`);
  if (seq <= r.stableKnown.seq) return; // late: stability came first
  if (seq % r.config.parameters.checkpointInterval !== 0) return reject(r, from, "checkpoint", "CERTIFICATE_INVALID", `seq ${seq} is not a checkpoint`);
  let held = r.checkpoints.get(sender);
  if (held === undefined) r.checkpoints.set(sender, (held = new Map()));
  const earlier = held.get(seq);
  if (earlier !== undefined) {
    if (earlier.body.root !== root) reject(r, from, "checkpoint", "EQUIVOCATION", `replica ${sender} signed two roots for seq ${seq}`, pair(earlier, signed));
    return;
  }
  held.set(seq, signed);
  if (held.size > perSenderMax(r)) held.delete(Math.min(...held.keys()) as SeqNum);
  const proof = matchingCheckpoints(r, seq, root);
  if (proof.length >= strong(r)) onStable(r, { seq, root, proof: proof.slice(0, strong(r)) });
}

export function matchingCheckpoints(r: Replica, seq: SeqNum, root: Digest): readonly Signed<Checkpoint>[] {
  const proof: Signed<Checkpoint>[] = [];
  for (const sender of [...r.checkpoints.keys()].sort((a, b) => a - b)) {
    const signed = r.checkpoints.get(sender)?.get(seq);
    if (signed?.body.root === root) proof.push(signed);
  }
  return proof;
}

/** A checkpoint proof from a peer or out of a new-view. */
export function onStableProof(r: Replica, from: ReplicaId, stable: StableCheckpoint): void {
  if (stable.seq <= r.stableKnown.seq) return;
  const problem = checkStable(r.config, stable);
  if (problem !== undefined) return reject(r, from, "stable", "CERTIFICATE_INVALID", problem);
  onStable(r, stable);
}

function onStable(r: Replica, stable: StableCheckpoint): void {
  r.stableKnown = stable;
  for (const held of r.checkpoints.values()) for (const seq of held.keys()) if (seq <= stable.seq) held.delete(seq);
  if (r.transfer === undefined) adoptKnown(r);
  considerTransfer(r);
  pruneBehind(r);
}

/**
 * Moves the low watermark to the certified checkpoint once this replica holds the same state durably.
 * Until then it is behind: it follows by decisions, and does not vote above its own window.
 */
function adoptKnown(r: Replica): void {
  const { stableKnown } = r;
  if (stableKnown.seq <= r.stable.seq) return;
  const own = r.ownRoots.get(stableKnown.seq);
  if (own !== undefined && own !== stableKnown.root) return onDiverged(r, own);
  if (own !== undefined || isPassed(r, stableKnown.seq)) moveTo(r, stableKnown);
}

/** Started from the state of a later checkpoint: that of `seq` will never be made again. Whether the later one is right, its own certificate will tell. */
function isPassed(r: Replica, seq: SeqNum): boolean {
  for (const own of r.ownRoots.keys()) if (own > seq) return true;
  return false;
}

/** The state as of this certified checkpoint, or of a later one, is durable here: everything at or below it can go. */
export function moveTo(r: Replica, stable: StableCheckpoint): void {
  r.stable = stable;
  emit(r, { type: "persist", record: { type: "stable", stable: r.stable }, lazy: false });
  emit(r, { type: "truncate", seq: r.stable.seq });
  for (const seq of r.slots.keys()) if (seq <= r.stable.seq) r.slots.delete(seq);
  for (const seq of r.ownRoots.keys()) if (seq <= r.stable.seq) r.ownRoots.delete(seq);
  for (const seq of r.vouched.keys()) if (seq <= r.stable.seq) r.vouched.delete(seq);
  onPrePrepareEarly(r);
  noteStable(r);
  proposeReady(r);
}

/**
 * While behind: slots that are executed, or part of the state that is being fetched, that a certified checkpoint covers and in
 * which this replica never voted are dropped (a transfer may take long). Where it voted, the proposal and the certificate stay
 * until the low watermark passes: they are its memory against voting twice, and what its VIEW-CHANGE must report.
 */
export function pruneBehind(r: Replica): void {
  if (r.stableKnown.seq === r.stable.seq) return;
  const covered = Math.min(coveredSeq(r), r.stableKnown.seq);
  for (const slot of r.slots.values()) {
    if (slot.seq <= covered && slot.proposal === undefined && slot.prepared === undefined) r.slots.delete(slot.seq);
  }
}
