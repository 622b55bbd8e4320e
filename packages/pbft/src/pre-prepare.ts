/** PRE-PREPARE: accepting the primary's proposal for a slot and answering with PREPARE (PBFT §4.2). */
import type { Batch, CommitCertificate, PrePrepare, ReplicaId, SeqNum, Signed } from "@narses/core";
import { assert, NULL_DIGEST, primaryOf, view } from "@narses/core";
import { addPayload, hasPayload, slotAt } from "./slots.ts";
import { emit, highWatermark, isPrimary, lowWatermark, n, pair, reject, type Replica, type Slot, storeLimit } from "./state.ts";
import { advance } from "./vote.ts";
import { noteCarried } from "./request.ts";
import { noteProposal } from "./suspicion.ts";
import { checkTime, considerClock, noteAccepted, noteRefused } from "./time.ts";
import { leaveView } from "./view-change.ts";

/** A pre-prepare from the wire: live from the primary, or relayed by any peer in answer to STATUS. */
export function onPrePrepare(r: Replica, from: ReplicaId, signed: Signed<PrePrepare>, batch: Batch): void {
  const { body } = signed;
  if (!checkIdentity(r, from, signed)) return;
  const settled = body.seq <= r.settledSeq;
  const known = r.slots.get(body.seq)?.proposal;
  if (known !== undefined && known.view === body.view) return onSecond(r, from, signed, batch);
  const announced = announcementOf(r, body.seq);
  if (announced !== undefined && announced.signed.body.digest !== body.digest) return onEquivocation(r, from, announced.signed, signed);
  if (settled) return reject(r, from, "pre-prepare", "SEQ_BELOW_WINDOW", `seq ${body.seq} was settled by the new-view of view ${r.view}`);
  const problem = checkBatch(r, batch);
  if (problem !== undefined) {
    reject(r, from, "pre-prepare", "BATCH_INVALID", problem);
    return leaveView(r, view(r.view + 1), `primary ${body.sender} proposed an invalid batch: ${problem}`);
  }
  const slot = slotAt(r, body.seq);
  const implausible = checkTime(r, batch);
  if (implausible !== undefined) {
    noteRefused(r, slot, batch);
    reject(r, from, "pre-prepare", "TIMESTAMP_OUT_OF_RANGE", implausible);
    if (slot.committed?.digest === body.digest) onPayload(r, slot, batch); // decided without this replica: its payload is welcome
    return considerClock(r, slot);
  }
  if (body.seq > highWatermark(r)) return keepEarly(r, from, slot, signed, batch);
  if (slot.committed !== undefined && slot.committed.digest !== body.digest) return onDecided(r, from, signed, slot.committed);
  noteAccepted(r);
  noteProposal(r, body.seq, batch.bundles, gatheringTicks(r, announced));
  accept(r, slot, signed, batch);
}

/**
 * Another digest is decided for its slot. In its own view or an earlier one, no correct primary could propose this. In a later one, it could: a
 * primary that was away when its view ended goes on in it, and nobody but those who were away as well hears it.
 */
function onDecided(r: Replica, from: ReplicaId, { body }: Signed<PrePrepare>, decided: CommitCertificate): void {
  const over = decided.view > body.view;
  if (over) reject(r, from, "pre-prepare", "VIEW_OLD", `seq ${body.seq} is decided with another digest, in view ${decided.view}: view ${body.view} is over`);
  else reject(r, from, "pre-prepare", "EQUIVOCATION", `seq ${body.seq} is already decided with another digest`);
  leaveView(r, view(r.view + 1), over ? `seq ${body.seq} was decided in view ${decided.view}` : `primary ${body.sender} re-proposed decided seq ${body.seq}`);
}

/** Above the high watermark, up to a window more: taken up when the window moves (`early.ts`). */
function keepEarly(r: Replica, from: ReplicaId, slot: Slot, signed: Signed<PrePrepare>, batch: Batch): void {
  const held = slot.early?.signed.body;
  if (held?.view !== signed.body.view) {
    slot.early = { signed, batch };
    noteProposal(r, slot.seq, batch.bundles, gatheringTicks(r, slot.announced));
  } else if (held.digest !== signed.body.digest) onEquivocation(r, from, slot.early?.signed, signed);
}

/**
 * A compact pre-prepare from the wire: the shell gathers the large bundles it names, and brings the whole one. Until then it binds its
 * primary, who owes the slot from now on, and nothing else comes of it.
 */
export function onAnnounced(r: Replica, from: ReplicaId, signed: Signed<PrePrepare>): void {
  const { body } = signed;
  if (!checkIdentity(r, from, signed)) return;
  const slot = slotAt(r, body.seq);
  const held = [slot.proposal, slot.early && { ...slot.early, ...slot.early.signed.body }, slot.announced && { ...slot.announced, ...slot.announced.signed.body }]
    .find((known) => known?.view === body.view);
  if (held === undefined && body.seq > r.settledSeq) slot.announced = { signed, sinceTick: r.tick };
  else if (held !== undefined && held.digest !== body.digest) onEquivocation(r, from, held.signed, signed);
}

/** The compact pre-prepare of this view that waits, or waited, for its payload. */
function announcementOf(r: Replica, seq: SeqNum): Slot["announced"] {
  const announced = r.slots.get(seq)?.announced;
  return announced?.signed.body.view === r.view ? announced : undefined;
}

/** A correct primary gives what it names within one status interval or two; what takes longer than this counts as its delay. */
const GATHERING_INTERVALS_MAX = 4;

/** For how long a proposal was held up by large bundles that its clients had not sent here: that is not the primary's delay. */
function gatheringTicks(r: Replica, announced: Slot["announced"]): number {
  if (announced?.signed.body.view !== r.view) return 0;
  return Math.min(r.tick - announced.sinceTick, GATHERING_INTERVALS_MAX * r.config.parameters.statusIntervalTicks);
}

function onEquivocation(r: Replica, from: ReplicaId, first: Signed<PrePrepare> | undefined, second: Signed<PrePrepare>): void {
  const { sender, seq } = second.body;
  reject(r, from, "pre-prepare", "EQUIVOCATION", `primary ${sender} signed two proposals for view ${r.view}, seq ${seq}`, pair(first, second));
  leaveView(r, view(r.view + 1), `primary ${sender} equivocated at seq ${seq}`);
}

/** View, sender and window. */
function checkIdentity(r: Replica, from: ReplicaId, { body }: Signed<PrePrepare>): boolean {
  const fail = (code: "VIEW_OLD" | "VIEW_FUTURE" | "VIEW_INACTIVE" | "NOT_PRIMARY" | "SEQ_BELOW_WINDOW" | "SEQ_ABOVE_WINDOW" | "EPOCH_FOREIGN", detail: string): boolean => {
    reject(r, from, "pre-prepare", code, detail);
    return false;
  };
  if (body.epoch !== r.config.epoch) return fail("EPOCH_FOREIGN", `epoch ${body.epoch}, this is ${r.config.epoch}`);
  if (body.view < r.view) return fail("VIEW_OLD", `view ${body.view}, now in ${r.view}`);
  if (body.view > r.view) return fail("VIEW_FUTURE", `view ${body.view}, still in ${r.view}`);
  if (!r.active) return fail("VIEW_INACTIVE", `waiting for the new-view of ${r.view}`);
  if (body.sender !== primaryOf(body.view, n(r))) return fail("NOT_PRIMARY", `replica ${body.sender} is not the primary of view ${body.view}`);
  if (body.seq <= lowWatermark(r)) return fail("SEQ_BELOW_WINDOW", `seq ${body.seq}, low watermark ${lowWatermark(r)}`);
  if (body.seq > storeLimit(r)) return fail("SEQ_ABOVE_WINDOW", `seq ${body.seq}, high watermark ${highWatermark(r)}`);
  return true;
}

/** A second pre-prepare for a slot of this view: the missing payload of the first, a duplicate, or equivocation. */
function onSecond(r: Replica, from: ReplicaId, signed: Signed<PrePrepare>, batch: Batch): void {
  const slot = slotAt(r, signed.body.seq);
  if (slot.proposal?.digest === signed.body.digest) {
    if (!hasPayload(slot, batch.digest)) onPayload(r, slot, batch);
    return;
  }
  onEquivocation(r, from, slot.proposal?.signed, signed);
}

/** Acceptance is a function of bytes all correct replicas share: caps only, nothing about sessions or state. */
function checkBatch(r: Replica, batch: Batch): string | undefined {
  const p = r.config.parameters;
  if (batch.epoch !== r.config.epoch) return `batch of epoch ${batch.epoch}`;
  let operations = 0;
  for (const bundle of batch.bundles) operations += bundle.operationCount;
  if (operations === 0 && p.heartbeatTicks === 0) return "an empty batch, and heartbeats are off";
  if (operations > p.batchOperationsMax) return `${operations} operations, at most ${p.batchOperationsMax}`;
  if (batch.bytes.length > p.batchBytesMax + BATCH_OVERHEAD_BYTES) return `${batch.bytes.length} bytes, at most ${p.batchBytesMax}`;
  return undefined;
}

/** Header and offset table of a batch are not counted against batchBytesMax: 4 bytes for each of at most 65,536 bundles. */
const BATCH_OVERHEAD_BYTES = 1 << 19;

/**
 * Takes the proposal as this replica's one and only for (view, seq): durable before PREPARE.
 * `batch` is undefined for a null batch, or while the payload is still to be fetched (new-view only).
 */
export function accept(r: Replica, slot: Slot, signed: Signed<PrePrepare>, batch: Batch | undefined): void {
  const { body } = signed;
  const held = slot.proposal;
  assert(held === undefined || held.view < body.view, `replica ${r.self} would accept a second proposal for view ${body.view}, seq ${body.seq}`);
  slot.early = undefined;
  slot.proposal = { view: body.view, digest: body.digest, signed, sinceTick: r.tick, prepareCast: false };
  if (batch !== undefined) addPayload(slot, batch);
  if (hasPayload(slot, body.digest)) castPrepare(r, slot);
  advance(r, slot);
}

/** A payload that was missing arrived: the PREPARE that waited for it can be cast. */
export function onPayload(r: Replica, slot: Slot, batch: Batch): void {
  addPayload(slot, batch);
  if (slot.proposal?.digest === batch.digest && slot.proposal.view === r.view && r.active) {
    castPrepare(r, slot);
    noteCarried(r, slot);
  }
  advance(r, slot);
}

function castPrepare(r: Replica, slot: Slot): void {
  const proposal = slot.proposal;
  if (proposal === undefined || proposal.prepareCast) return;
  proposal.prepareCast = true;
  slot.voted.add(proposal.digest);
  const { view: v, digest, signed } = proposal;
  const batch = digest === NULL_DIGEST ? undefined : slot.payloads.get(digest);
  emit(r, {
    type: "persist", lazy: false,
    record: { type: "pre-prepared", view: v, seq: slot.seq, digest, ...(batch && { batch }), ...(signed && { signed }) },
  });
  if (!isPrimary(r)) emit(r, { type: "vote", vote: { phase: "prepare", view: v, seq: slot.seq, digest } });
}

/** The primary's own pre-prepare, signed and durable. */
export function onOwnPrePrepare(r: Replica, signed: Signed<PrePrepare>): void {
  const { body } = signed;
  const slot = r.slots.get(body.seq);
  const proposal = slot?.proposal;
  if (slot === undefined || proposal === undefined || proposal.view !== body.view) return; // left the view meanwhile
  assert(proposal.digest === body.digest, `own pre-prepare for seq ${body.seq} differs from the proposal`);
  proposal.signed = signed;
  slot.voted.add(body.digest);
  r.watch.proposedTick = r.tick;
  if (body.seq > r.watch.proposedSeq) r.watch.proposedSeq = body.seq;
  advance(r, slot);
}
