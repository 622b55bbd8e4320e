/**
 * STATUS: the one retransmission mechanism. A replica says where it stands; peers answer with signed originals,
 * certificates or payloads it lacks. Nothing in a STATUS is believed: every answer is self-certifying.
 */
import type { Digest, PeerMessage, ReplicaId, Signed, Status, Votes } from "@narses/core";
import { NULL_DIGEST, replicaId, seqNum, STATUS_SLOTS_MAX } from "@narses/core";
import { recallFrom } from "./memory.ts";
import { relayOldest } from "./request.ts";
import { hasPayload, slotsAscending } from "./slots.ts";
import { coveredSeq, emit, isPrimary, n, primary, type Replica, type Slot, slotsOpen, weak } from "./state.ts";

/** Decided slots sent in one answer, at most. */
export const DECISIONS_PER_ANSWER_MAX = 64;
/** Slots whose votes and proposals one answer repeats, at most. */
const SLOTS_PER_ANSWER_MAX = 32;
/** Slots executed between two pulls: half an answer, so that the next share is on its way before this one is used up. */
const PULL_SLOTS = DECISIONS_PER_ANSWER_MAX / 2;
/** Pulls of one peer answered in one tick, at most. */
const PULLS_PER_TICK_MAX = 4;
/** An answer out of the log stops after this many bytes of batches. */
const DECISIONS_BYTES_MAX = 4 << 20;
/** A pull that brought nothing is repeated, at another peer, after this many ticks. */
const PULL_AGAIN_TICKS = 3;
/** The same decided slots are sent again after this many status intervals at the earliest. */
const DECISIONS_AGAIN_INTERVALS = 4;
/** STATUS is sent this many times more rarely while nothing is outstanding. */
const IDLE_FACTOR = 10;

const HAS_PROPOSAL = 1;
const HAS_PREPARED = 2;
const HAS_COMMITTED = 4;

/** Something this replica waits for and a peer might have. */
export function isOutstanding(r: Replica): boolean {
  if (!r.active || r.waiting.size > 0 || r.stableKnown.seq > r.stable.seq || r.ownRoots.size > 0) return true;
  for (const { proposal, announced, commits, committed } of slotsOpen(r)) {
    if (proposal?.view === r.view || announced?.signed.body.view === r.view || commits.size >= weak(r) || committed !== undefined) return true;
  }
  for (const peer of r.peers.values()) if (peer.claimedExecuted > r.executed) return true;
  return false;
}

export function makeStatus(r: Replica): Status {
  const covered = coveredSeq(r);
  const first = covered + 1;
  let last = covered;
  for (const seq of r.slots.keys()) if (seq > last) last = seq;
  const slots = new Uint8Array(Math.min(STATUS_SLOTS_MAX, last - covered));
  for (let i = 0; i < slots.length; i++) {
    const slot = r.slots.get(seqNum(first + i));
    if (slot === undefined) continue;
    const proposed = slot.proposal?.view === r.view && hasPayload(slot, slot.proposal.digest);
    const committed = slot.committed !== undefined && hasPayload(slot, slot.committed.digest);
    slots[i] = (proposed ? HAS_PROPOSAL : 0) | (slot.prepared?.prePrepare.body.view === r.view ? HAS_PREPARED : 0) | (committed ? HAS_COMMITTED : 0);
  }
  const viewChanges = new Uint8Array(r.active ? 0 : Math.ceil(n(r) / 8));
  for (const [sender, vc] of r.viewChanges) {
    if (!r.active && vc.body.view === r.view) viewChanges[sender >> 3] = (viewChanges[sender >> 3] ?? 0) | (1 << (sender & 7));
  }
  return { view: r.view, active: r.active, stableSeq: r.stable.seq, executedSeq: covered, slots, viewChanges };
}

/** Catching up is pulled: after every PULL_SLOTS slots executed, one peer that is ahead is asked for the next. Called after each slot, and every tick while far behind. */
export function pullDecisions(r: Replica): void {
  if (r.transfer !== undefined) return; // decided slots are of no use before the state is here
  const again = r.tick - r.pulledTick >= PULL_AGAIN_TICKS;
  if (r.executed < r.pulledSeq + PULL_SLOTS && !again) return;
  r.pulledTick = r.tick;
  const ahead = [...r.peers].filter(([, peer]) => peer.connected !== false && peer.claimedExecuted > r.executed + PULL_SLOTS).map(([id]) => id).sort((a, b) => a - b);
  r.pulledSeq = r.executed;
  const to = ahead[(Math.floor(r.executed / PULL_SLOTS) + (again ? r.tick : 0)) % Math.max(1, ahead.length)];
  if (to !== undefined) send(r, to, { type: "status", status: makeStatus(r) });
}

/** Called every tick: sends STATUS when due, repeats requests for missing payloads and unanswered relays with it. */
export function statusTick(r: Replica): void {
  if (n(r) === 1) return;
  const interval = r.config.parameters.statusIntervalTicks * (isOutstanding(r) ? 1 : IDLE_FACTOR);
  if (r.tick - r.lastStatusTick < interval) return;
  r.lastStatusTick = r.tick;
  emit(r, { type: "send", to: "all", message: { type: "status", status: makeStatus(r) } });
  let asked = 0;
  for (const slot of slotsAscending(r)) {
    for (const digest of missingPayloads(slot)) {
      if (asked++ < SLOTS_PER_ANSWER_MAX) askForPayload(r, digest);
    }
  }
  relayOldest(r, r.config.parameters.statusIntervalTicks);
}

/** Asks W peers, others each time: Q−f correct replicas hold any certified payload, and one answer is enough. */
export function askForPayload(r: Replica, digest: Digest): void {
  const turn = Math.floor(r.tick / r.config.parameters.statusIntervalTicks);
  for (let i = 0; i < weak(r); i++) {
    const offset = 1 + ((turn * weak(r) + i) % (n(r) - 1));
    emit(r, { type: "send", to: replicaId((r.self + offset) % n(r)), message: { type: "fetch-batch", digest } });
  }
}

function missingPayloads(slot: Slot): readonly Digest[] {
  const wanted = new Set<Digest>();
  if (slot.proposal !== undefined) wanted.add(slot.proposal.digest);
  if (slot.committed !== undefined) wanted.add(slot.committed.digest);
  return [...wanted].filter((digest) => !hasPayload(slot, digest));
}

/** On a (re)connection both sides say where they stand. */
export function onPeer(r: Replica, replica: ReplicaId, connected: boolean): void {
  const peer = r.peers.get(replica);
  if (peer === undefined || peer.connected === connected) return;
  peer.connected = connected;
  if (!connected) {
    peer.lostTick = r.tick;
    return;
  }
  recallFrom(r, replica);
  emit(r, { type: "send", to: replica, message: { type: "status", status: makeStatus(r) } });
  if (replica === primary(r)) relayOldest(r);
}

/** Answers what `from` lacks, at most once per half status interval and peer. */
export function onStatus(r: Replica, from: ReplicaId, status: Status): void {
  const peer = r.peers.get(from);
  if (peer === undefined) return;
  peer.claimedExecuted = status.executedSeq;
  const digested = (peer.lastDecisions?.first ?? 1 - PULL_SLOTS) + PULL_SLOTS - 1;
  if (status.executedSeq >= digested && status.executedSeq + PULL_SLOTS < r.executed) {
    // It digests what it gets: the next share goes at once.
    peer.pulls = peer.pulls?.tick === r.tick ? { tick: r.tick, count: peer.pulls.count + 1 } : { tick: r.tick, count: 1 };
    if (peer.pulls.count <= PULLS_PER_TICK_MAX) sendDecisions(r, from, status);
    return;
  }
  if (r.tick - peer.lastAnswerTick < r.config.parameters.statusIntervalTicks / 2) return;
  peer.lastAnswerTick = r.tick;
  const before = r.out.length;
  answerView(r, from, status);
  answerCheckpoints(r, from, status);
  if (status.executedSeq < r.executed) answerDecisions(r, from, status);
  answerSlots(r, from, status);
  // The peer is ahead in some respect: tell it where we are, so that it can answer in turn.
  const behind = status.view > r.view || status.executedSeq > r.executed || (status.active && !r.active && status.view >= r.view);
  if (behind && r.out.length === before && r.tick - peer.lastStatusTick >= r.config.parameters.statusIntervalTicks) {
    peer.lastStatusTick = r.tick;
    send(r, from, { type: "status", status: makeStatus(r) });
  }
}

const send = (r: Replica, to: ReplicaId, message: PeerMessage): void => emit(r, { type: "send", to, message });

/** NEW-VIEW for one who waits for it or is in an older view; own and relayed VIEW-CHANGEs while none is installed. */
function answerView(r: Replica, from: ReplicaId, status: Status): void {
  if (r.active) {
    const lacks = status.view < r.view || (status.view === r.view && !status.active);
    if (lacks && r.newView !== undefined) send(r, from, { type: "new-view", signed: r.newView });
    return;
  }
  if (status.view > r.view || (status.view === r.view && status.active)) return;
  for (const sender of [...r.viewChanges.keys()].sort((a, b) => a - b)) {
    const vc = r.viewChanges.get(sender);
    if (vc === undefined || vc.body.view < r.view) continue;
    const held = status.view === r.view && ((status.viewChanges[sender >> 3] ?? 0) & (1 << (sender & 7))) !== 0;
    if (!held && sender !== from) send(r, from, { type: "view-change", signed: vc });
  }
}

/** The highest checkpoint proof; above it, the own CHECKPOINTs, so that lost ones cannot leave every log full for ever. */
function answerCheckpoints(r: Replica, from: ReplicaId, status: Status): void {
  if (status.stableSeq < r.stableKnown.seq) send(r, from, { type: "stable", stable: r.stableKnown });
  for (const signed of r.checkpoints.get(r.self)?.values() ?? []) {
    if (signed.body.seq > status.stableSeq) send(r, from, { type: "checkpoint", signed });
  }
}

/** Decided slots, from the log or the block store. Any W answering peers include a correct one, and they take turns. */
function answerDecisions(r: Replica, from: ReplicaId, status: Status): void {
  const turn = Math.floor(r.tick / r.config.parameters.statusIntervalTicks);
  const rank = (((r.self - from + turn) % n(r)) + n(r)) % n(r);
  if (rank > weak(r)) return;
  if (isSettling(r, status)) return;
  const sent = r.peers.get(from)?.lastDecisions;
  const again = DECISIONS_AGAIN_INTERVALS * r.config.parameters.statusIntervalTicks;
  if (sent?.first === status.executedSeq + 1 && r.tick - sent.tick < again) return;
  sendDecisions(r, from, status);
}

/** What the peer lacks first it is about to execute: it holds the decision with its payload, or the proposal is so young that it may be on its way. */
function isSettling(r: Replica, status: Status): boolean {
  if (((status.slots[0] ?? 0) & HAS_COMMITTED) !== 0) return true;
  const proposal = r.slots.get(seqNum(status.executedSeq + 1))?.proposal;
  return proposal?.view === r.view && status.view === r.view && r.tick - proposal.sinceTick < 2 * r.config.parameters.statusIntervalTicks;
}

function sendDecisions(r: Replica, from: ReplicaId, status: Status): void {
  const first = seqNum(status.executedSeq + 1);
  const peer = r.peers.get(from);
  if (peer !== undefined) peer.lastDecisions = { first, tick: r.tick };
  const last = seqNum(Math.min(r.executed, status.executedSeq + DECISIONS_PER_ANSWER_MAX));
  if (r.slots.get(first)?.committed === undefined) return emit(r, { type: "send-decisions", to: from, first, last });
  let bytes = 0;
  for (let seq = first; seq <= last; seq = seqNum(seq + 1)) {
    const slot = r.slots.get(seq);
    if (slot?.committed === undefined || !hasPayload(slot, slot.committed.digest)) return;
    const batch = slot.committed.digest === NULL_DIGEST ? undefined : slot.payloads.get(slot.committed.digest);
    bytes += batch?.bytes.length ?? 0;
    if (bytes > DECISIONS_BYTES_MAX && seq > first) return;
    send(r, from, { type: "decision", certificate: slot.committed, batch });
  }
}

/** For undecided slots of the same view: the proposal, and this replica's own votes. Frames shared by slots go once. */
function answerSlots(r: Replica, from: ReplicaId, status: Status): void {
  if (!r.active || !status.active || status.view !== r.view) return;
  const frames = new Set<Signed<Votes>>();
  let answered = 0;
  for (const slot of slotsAscending(r)) {
    if (slot.seq <= status.executedSeq) continue;
    const has = status.slots[slot.seq - status.executedSeq - 1] ?? 0;
    if ((has & HAS_COMMITTED) !== 0) continue;
    if (answered++ >= SLOTS_PER_ANSWER_MAX) break;
    const proposal = slot.proposal;
    if ((has & HAS_PROPOSAL) === 0 && proposal?.view === r.view && proposal.signed !== undefined) {
      const batch = slot.payloads.get(proposal.digest);
      if (batch !== undefined && (isPrimary(r) || slot.prepared?.prePrepare.body.view === r.view) && mayResend(r, slot, from)) {
        send(r, from, { type: "pre-prepare", signed: proposal.signed, batch });
      }
    }
    if ((has & HAS_PREPARED) === 0) addOwn(r, slot.prepares, frames);
    addOwn(r, slot.commits, frames);
  }
  for (const signed of frames) send(r, from, { type: "votes", signed });
}

/** A proposal may still be on its way: it goes again only after a while, and then at a pace that slow links can bear. */
function mayResend(r: Replica, slot: Slot, to: ReplicaId): boolean {
  const interval = r.config.parameters.statusIntervalTicks;
  const since = slot.proposal?.sinceTick ?? r.tick;
  const last = slot.resent.get(to);
  const wait = last === undefined ? 2 * interval : Math.min(Math.max(2 * interval, last - since), IDLE_FACTOR * interval);
  if (r.tick - (last ?? since) < wait) return false;
  slot.resent.set(to, r.tick);
  return true;
}

function addOwn(r: Replica, votes: Slot["prepares"], frames: Set<Signed<Votes>>): void {
  const own = votes.get(r.self);
  if (own !== undefined && own.view === r.view) frames.add(own.ref.frame);
}
