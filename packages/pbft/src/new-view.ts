/** New view: choosing what the new view must carry over, and installing it (PBFT §4.4, with signed certificates). */
import type { Digest, NewView, PrePrepare, ReplicaId, SeqNum, Signed, StableCheckpoint, View, ViewChange } from "@narses/core";
import { assert, NULL_DIGEST, primaryOf, seqNum, view as toView } from "@narses/core";
import { onStableProof } from "./checkpoint.ts";
import { accept } from "./pre-prepare.ts";
import { proposeReady, restartWaiting } from "./request.ts";
import { hasPayload, slotAt } from "./slots.ts";
import { emit, highWatermark, lowWatermark, n, primary, reject, type Replica, storeLimit, strong } from "./state.ts";
import { askForPayload } from "./status.ts";
import { freshWatch } from "./suspicion.ts";
import { begin } from "./synchroniser.ts";
import { checkViewChange, leaveView } from "./view-change.ts";

export interface Selection {
  /** The highest stable checkpoint in V: min-s. */
  readonly stable: StableCheckpoint;
  /** O: for every seq in (min-s, max-s] the digest prepared in the highest view, or the null digest. */
  readonly proposals: readonly { readonly seq: SeqNum; readonly digest: Digest }[];
}

/**
 * Computes O from V. Pure and the same at every replica.
 *
 * Why it is safe: a batch committed at n was prepared by at least Q−f correct replicas; V has Q senders; Q+(Q−f)−n ≥ 1, so its
 * certificate is in V unless n ≤ min-s, and no certificate of a higher view can carry another digest (induction over views).
 * @throws InvariantViolation on two digests certified in one view: more than f replicas are faulty.
 */
export function selectProposals(viewChanges: readonly ViewChange[]): Selection {
  let stable = viewChanges[0]?.stable;
  assert(stable !== undefined, "V is never empty");
  for (const vc of viewChanges) if (vc.stable.seq > stable.seq) stable = vc.stable;
  const best = new Map<SeqNum, { readonly view: View; readonly digest: Digest }>();
  let maxSeq: SeqNum = stable.seq;
  for (const { prepared } of viewChanges) {
    for (const { prePrepare: { body } } of prepared) {
      if (body.seq <= stable.seq) continue;
      if (body.seq > maxSeq) maxSeq = body.seq;
      const held = best.get(body.seq);
      assert(held === undefined || held.view !== body.view || held.digest === body.digest,
        `two digests are prepared at view ${body.view}, seq ${body.seq}: more than f replicas are faulty`);
      if (held === undefined || body.view > held.view) best.set(body.seq, body);
    }
  }
  const proposals: { seq: SeqNum; digest: Digest }[] = [];
  for (let seq = stable.seq + 1; seq <= maxSeq; seq++) {
    proposals.push({ seq: seqNum(seq), digest: best.get(seqNum(seq))?.digest ?? NULL_DIGEST });
  }
  return { stable, proposals };
}

/** Whether two digests claim to be prepared in one view. For certificates nobody has verified yet: verified ones cannot, with ≤ f faults. */
export function hasConflict(viewChanges: readonly ViewChange[]): boolean {
  const seen = new Map<string, Digest>();
  for (const { prepared } of viewChanges) {
    for (const { prePrepare: { body } } of prepared) {
      const place = `${body.view}/${body.seq}`;
      if ((seen.get(place) ?? body.digest) !== body.digest) return true;
      seen.set(place, body.digest);
    }
  }
  return false;
}

/** Primary of the view being entered: with Q VIEW-CHANGEs, own included, NEW-VIEW can be made. */
export function buildNewView(r: Replica): void {
  const own = r.viewChanges.get(r.self);
  if (own === undefined || own.body.view !== r.view) return;
  const others = [...r.viewChanges.values()].filter((vc) => vc.body.view === r.view && vc.body.sender !== r.self);
  if (others.length + 1 < strong(r)) return;
  others.sort((a, b) => a.body.sender - b.body.sender);
  const chosen = [own, ...others.slice(0, strong(r) - 1)].sort((a, b) => a.body.sender - b.body.sender);
  emitNewView(r, chosen);
}

function emitNewView(r: Replica, viewChanges: readonly Signed<ViewChange>[]): void {
  r.newViewPending = r.view;
  emit(r, { type: "persist", record: { type: "new-view", view: r.view, viewChanges }, lazy: false });
  resignNewView(r, viewChanges);
}

/** Also after a restart: O follows from V, and signatures are deterministic, so the same bytes are made again. */
export function resignNewView(r: Replica, viewChanges: readonly Signed<ViewChange>[]): void {
  const { proposals } = selectProposals(viewChanges.map((vc) => vc.body));
  emit(r, { type: "new-view", view: r.view, viewChanges, proposals });
}

/** NEW-VIEW from its primary, relayed by anyone, or own once signed. */
export function onNewView(r: Replica, from: ReplicaId, signed: Signed<NewView>): void {
  const { body } = signed;
  if (body.epoch !== r.config.epoch) return reject(r, from, "new-view", "EPOCH_FOREIGN", `epoch ${body.epoch}, this is ${r.config.epoch}`);
  if (body.view < r.view || (body.view === r.view && r.active)) return; // installed already
  if (body.sender !== primaryOf(body.view, n(r))) {
    return reject(r, from, "new-view", "NOT_PRIMARY", `replica ${body.sender} is not the primary of view ${body.view}`);
  }
  const problem = checkNewView(r, body);
  if (problem !== undefined) {
    reject(r, from, "new-view", "NEW_VIEW_INVALID", problem);
    // Only its primary can have signed it: that view will not work. But only one who waits for it moves on: a liar may name any view.
    if (body.view > r.view) return;
    return leaveView(r, toView(body.view + 1), `new-view of ${body.view} is invalid: ${problem}`);
  }
  installNewView(r, from, signed);
}

/** Pure: recomputes O from V and compares. */
export function checkNewView(r: Replica, body: NewView): string | undefined {
  const senders = new Set(body.viewChanges.map((vc) => vc.body.sender));
  if (senders.size !== body.viewChanges.length) return "counts a sender's view-change twice";
  if (senders.size < strong(r)) return `has ${senders.size} view-changes of the ${strong(r)} it needs`;
  for (const { body: vc } of body.viewChanges) {
    if (vc.view !== body.view) return `holds a view-change to view ${vc.view}`;
    const problem = checkViewChange(r, vc);
    if (problem !== undefined) return `holds an invalid view-change of replica ${vc.sender}: ${problem}`;
  }
  const { proposals } = selectProposals(body.viewChanges.map((vc) => vc.body));
  if (proposals.length !== body.prePrepares.length) return `re-proposes ${body.prePrepares.length} slots, its view-changes call for ${proposals.length}`;
  for (const [i, expected] of proposals.entries()) {
    const pp = (body.prePrepares[i] as Signed<PrePrepare>).body;
    if (pp.view !== body.view || pp.sender !== body.sender || pp.epoch !== body.epoch) return `holds a pre-prepare of view ${pp.view} by replica ${pp.sender}`;
    if (pp.seq !== expected.seq || pp.digest !== expected.digest) return `re-proposes seq ${pp.seq} otherwise than its view-changes call for`;
  }
  return undefined;
}

function installNewView(r: Replica, from: ReplicaId, signed: Signed<NewView>): void {
  const { body } = signed;
  const { stable } = selectProposals(body.viewChanges.map((vc) => vc.body));
  emit(r, { type: "persist", record: { type: "new-view", view: body.view, viewChanges: body.viewChanges, signed }, lazy: false });
  begin(r, body.view);
  r.newView = signed;
  r.newViewPending = undefined;
  r.leaving = undefined;
  const settled = body.prePrepares.at(-1)?.body.seq ?? stable.seq;
  r.settledSeq = settled;
  r.watch = freshWatch({ tick: r.tick, stable: seqNum(Math.max(stable.seq, r.stable.seq)), settled, lenience: r.watch.lenience });
  for (const [sender, vc] of r.viewChanges) if (vc.body.view <= r.view) r.viewChanges.delete(sender);
  emit(r, { type: "view-entered", view: r.view, primary: primary(r) });
  onStableProof(r, from, stable);
  dropStaleProposals(r);
  for (const prePrepare of body.prePrepares) installProposal(r, prePrepare);
  r.nextSeq = seqNum(Math.max(settled, r.handed, ...[...r.slots.values()].map((s) => (s.proposal?.view === r.view ? s.seq : 0))) + 1);
  restartWaiting(r);
  proposeReady(r);
}

/** Proposals of older views above max-s never come back; votes, certificates and decisions stay. */
function dropStaleProposals(r: Replica): void {
  for (const slot of r.slots.values()) {
    if (slot.seq > r.settledSeq && slot.proposal?.view !== r.view) slot.proposal = undefined;
  }
}

/** One entry of O, handled as a pre-prepare of the new view: prepared and committed again, executed only if it was not. */
export function installProposal(r: Replica, signed: Signed<PrePrepare>): void {
  const { seq, digest, view } = signed.body;
  if (seq <= lowWatermark(r) || seq > storeLimit(r)) return; // certified state covers it, or this replica is too far behind to vote
  const slot = slotAt(r, seq);
  const decided = slot.committed;
  if (decided !== undefined && decided.digest !== digest) {
    // A later view, which this replica has not seen begin, may have decided a slot otherwise that this one left open: nothing to vote for.
    assert(decided.view > view,
      `new-view ${view} re-proposes seq ${seq} with ${digest}, but ${decided.digest} is decided: more than f = ${r.config.quorums.f} replicas are faulty`);
    return;
  }
  if (seq > highWatermark(r)) {
    slot.early = { signed, batch: undefined };
    return;
  }
  if (slot.proposal?.view === view) {
    // After a restart of this view's primary: the log already holds the proposal.
    assert(slot.proposal.digest === digest, `own log holds another proposal for view ${view}, seq ${seq} than the new-view`);
    slot.proposal.signed = signed;
    return;
  }
  accept(r, slot, signed, undefined);
  if (!hasPayload(slot, digest)) askForPayload(r, digest);
}
