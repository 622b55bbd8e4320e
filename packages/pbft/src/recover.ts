/** Making a replica: fresh, or from the vote log after a crash (amnesia rules: it must never contradict what it said). */
import type { EngineConfig, EngineTools, LogRecord, Recovered, StableCheckpoint, View } from "@narses/core";
import { assert, replicaId, seqNum, view as toView } from "@narses/core";
import { installProposal, resignNewView, selectProposals } from "./new-view.ts";
import { addPayload, slotAt, slotsAscending } from "./slots.ts";
import { restoreMemory, startMemory } from "./memory.ts";
import { proposeReady } from "./request.ts";
import { freshWatch } from "./suspicion.ts";
import { freshSynchroniser } from "./synchroniser.ts";
import { freshClock } from "./time.ts";
import { considerQuorum, joinHigher } from "./view-change.ts";
import { emit, isPrimary, type Replica, type Slot } from "./state.ts";

/** A tick long before the first. */
const NEVER = -1_000_000;

export function freshReplica(config: EngineConfig, tools: EngineTools, recovered: Recovered | undefined): Replica {
  const genesis: StableCheckpoint = { seq: seqNum(0), root: config.genesisRoot, proof: [] };
  const executed = recovered?.executedSeq ?? seqNum(0);
  const peers: Replica["peers"] = new Map();
  for (let id = 0; id < config.quorums.n; id++) {
    if (id === config.self) continue;
    peers.set(replicaId(id), {
      connected: undefined, lostTick: 0, claimedExecuted: seqNum(0),
      lastAnswerTick: NEVER, lastDecisions: undefined, lastStatusTick: NEVER, recalls: undefined, pulls: undefined, fetched: undefined,
    });
  }
  const r: Replica = {
    config, tools, self: config.self, tick: 0, wallMs: 0, clock: freshClock(),
    ...freshSynchroniser(toView(0), true), newView: undefined, settledSeq: seqNum(0), viewChanges: new Map(), twoFaced: new Set(), newViewPending: undefined,
    leaving: undefined, unsignedNewView: undefined,
    stable: genesis, stableKnown: genesis, slots: new Map(), checkpoints: new Map(), ownRoots: new Map(), vouched: new Map(), forwarding: new Map(),
    recoveredSeq: executed, handed: executed, executed, nextSeq: seqNum(executed + 1),
    waiting: new Map(), queue: { bundles: new Map(), operations: 0, bytes: 0 }, arrivals: 0, watch: freshWatch({ tick: 0, stable: seqNum(0), settled: seqNum(0), lenience: 0 }),
    peers, lastStatusTick: NEVER, pulledSeq: executed, pulledTick: 0, behindTick: 0, started: false,
    diverged: false, transfer: undefined, transferSince: 0, stuckSince: undefined, silence: undefined, recall: undefined, out: [],
  };
  if (recovered !== undefined) {
    restore(r, recovered.records);
    restoreMemory(r, recovered.records, recovered.memory);
  }
  return r;
}

interface ViewRecords {
  left: Extract<LogRecord, { type: "view-left" }> | undefined;
  entered: Extract<LogRecord, { type: "new-view" }> | undefined;
}

/** Order-independent where it can be: the highest view and checkpoint win, whatever a truncation re-ordered. */
function restore(r: Replica, records: readonly LogRecord[]): void {
  const views: ViewRecords = { left: undefined, entered: undefined };
  for (const record of records) {
    if (record.type === "stable" && record.stable.seq > r.stable.seq) r.stable = record.stable;
    if (record.type === "view-left" && record.view > (views.left?.view ?? -1)) views.left = record;
    if (record.type === "new-view") {
      const held = views.entered;
      if (held === undefined || record.view > held.view || (record.view === held.view && record.signed !== undefined)) views.entered = record;
    }
  }
  r.stableKnown = r.stable;
  // The state on disk is older than the checkpoint this replica vouched for: it cannot be replayed, but it can be fetched.
  if (r.executed < r.stable.seq) r.transfer = r.stable;
  for (const record of records) restoreSlot(r, record);
  r.recoveredSeq = seqNum(Math.max(r.executed, r.stable.seq, ...r.slots.keys()));
  restoreView(r, views);
}

function restoreSlot(r: Replica, record: LogRecord): void {
  switch (record.type) {
    case "pre-prepared": {
      if (record.seq <= r.stable.seq) return;
      const slot = slotAt(r, record.seq);
      const held = slot.proposal;
      assert(held === undefined || held.view !== record.view || held.digest === record.digest,
        `log of replica ${r.self} holds two proposals for view ${record.view}, seq ${record.seq}`);
      slot.voted.add(record.digest);
      if (record.batch !== undefined) addPayload(slot, record.batch);
      if (held !== undefined && held.view > record.view) return;
      const signed = record.signed ?? (held?.view === record.view ? held.signed : undefined);
      slot.proposal = { view: record.view, digest: record.digest, signed, sinceTick: 0, prepareCast: true };
      return;
    }
    case "prepared": {
      const { body } = record.certificate.prePrepare;
      if (body.seq <= r.stable.seq) return;
      const slot = slotAt(r, body.seq);
      if (slot.prepared === undefined || slot.prepared.prePrepare.body.view < body.view) slot.prepared = record.certificate;
      return;
    }
    case "committed": {
      if (record.certificate.seq <= r.stable.seq) return;
      const slot = slotAt(r, record.certificate.seq);
      slot.committed = record.certificate;
      if (record.batch !== undefined) addPayload(slot, record.batch);
      return;
    }
    case "vouched":
      if (record.seq > r.stable.seq) r.vouched.set(record.seq, record.root);
      return;
    case "view-left":
    case "new-view":
    case "stable":
    case "amnesia":
      return;
  }
}

function restoreView(r: Replica, { left, entered }: ViewRecords): void {
  const leftView: View = left?.view ?? toView(0);
  if (entered !== undefined && entered.view >= leftView) {
    r.view = entered.view;
    const { stable, proposals } = selectProposals(entered.viewChanges.map((vc) => vc.body));
    r.settledSeq = proposals.at(-1)?.seq ?? stable.seq;
    if (entered.signed !== undefined) r.newView = entered.signed;
    else {
      // Own NEW-VIEW, perhaps never signed or sent: made again at start, installed when it comes back.
      r.active = false;
      r.newViewPending = r.view;
      r.unsignedNewView = entered.viewChanges;
    }
  } else if (left !== undefined) {
    r.view = left.view;
    r.active = false;
    r.leaving = { stable: left.stable, prepared: left.prepared };
  }
  let next: number = Math.max(r.executed, r.settledSeq, r.stable.seq);
  for (const slot of r.slots.values()) if (slot.proposal?.view === r.view && slot.seq > next) next = slot.seq;
  r.nextSeq = seqNum(next + 1);
  r.watch = freshWatch({ tick: 0, stable: r.stable.seq, settled: r.settledSeq, lenience: 0 });
}

/** The first input. */
export function onStart(r: Replica, wallMs: number): void {
  r.wallMs = wallMs;
  r.started = true;
  if (r.transfer !== undefined) emit(r, { type: "transfer", target: r.transfer, reason: "behind" });
  startMemory(r);
  if (r.silence === undefined) sayAgain(r);
}

/**
 * When a replica may speak after a restart. A fresh one has nothing to say; a recovered one repeats what it may have said
 * before the crash, and says what it could not while it was silent.
 */
export function sayAgain(r: Replica): void {
  r.behindTick = r.tick;
  const unsigned = r.unsignedNewView;
  r.unsignedNewView = undefined;
  if (unsigned !== undefined && r.newViewPending === r.view) resignNewView(r, unsigned);
  for (const [seq, root] of r.vouched) if (r.ownRoots.get(seq) === root) emit(r, { type: "checkpoint", seq, root });
  if (r.leaving !== undefined) emit(r, { type: "view-change", view: r.view, ...r.leaving });
  for (const slot of slotsAscending(r)) repeat(r, slot);
  // The crash may have come between NEW-VIEW and the pre-prepares it carries.
  if (r.active && r.newView !== undefined) {
    for (const prePrepare of r.newView.body.prePrepares) {
      if (r.slots.get(prePrepare.body.seq)?.proposal?.view !== r.view) installProposal(r, prePrepare);
    }
  }
  joinHigher(r);
  considerQuorum(r);
  proposeReady(r);
}

/** Re-casts the own votes of the current view: the log proves them, signatures are remade. Decided slots need none. */
function repeat(r: Replica, slot: Slot): void {
  const proposal = slot.proposal;
  const entering = r.newViewPending === r.view;
  if (slot.committed !== undefined || (!r.active && !entering) || proposal?.view !== r.view || !proposal.prepareCast) return;
  const { view, digest } = proposal;
  if (!isPrimary(r)) emit(r, { type: "vote", vote: { phase: "prepare", view, seq: slot.seq, digest } });
  else if (slot.seq > r.settledSeq) emit(r, { type: "pre-prepare", view, seq: slot.seq, digest, batch: slot.payloads.get(digest) });
  if (slot.prepared?.prePrepare.body.view === view) emit(r, { type: "vote", vote: { phase: "commit", view, seq: slot.seq, digest } });
}
