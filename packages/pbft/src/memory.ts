/**
 * Memory: a replica must never contradict what it said, and says nothing while it does not know what that was (protocol
 * page, "Memory"). After every restart it first asks the others what they heard from it. When their answers, signed by
 * itself, show more than its log holds, or when the log is known to be lost, it is amnesiac: it follows, executes and
 * serves, and signs nothing below a floor that bounds everything it can have said.
 */
import type { Digest, EngineSilence, LogRecord, Memory, PrePrepare, Recalled, ReplicaId, SeqNum, Signed, View, ViewChange, Votes } from "@narses/core";
import { assert, RECALL_FRAMES_MAX, seqNum, view as toView } from "@narses/core";
import { checkStable } from "./certificate.ts";
import { onStableProof } from "./checkpoint.ts";
import { selectProposals } from "./new-view.ts";
import { sayAgain } from "./recover.ts";
import { slotsAscending } from "./slots.ts";
import { emit, isPrimary, n, reject, type Replica, strong } from "./state.ts";
import { leaveView } from "./view-change.ts";

/** Where a replica stands, by its own account. */
export interface Claim {
  readonly view: View;
  readonly seq: SeqNum;
}

/** What a replica knows that it said: in this view, by phase and slot, and of the state; above the low watermark. */
interface Remembered {
  readonly view: View;
  readonly stableSeq: SeqNum;
  readonly said: ReadonlyMap<string, Digest>;
  readonly vouched: ReadonlyMap<SeqNum, Digest>;
}

/** The question, and what came of it. What is remembered is what the log gave back. */
export interface Recall extends Remembered {
  readonly nonce: Digest;
  /** The highest checkpoint that an answer proved: what peers heard from this replica at or below it, they have forgotten. */
  certifiedSeq: SeqNum;
  /** The highest view of a forgotten statement that an answer showed, and of what the shell knows from elsewhere. */
  provenView: View;
  /** By peer; undefined: it does not trust its own memory. */
  readonly answers: Map<ReplicaId, Claim | undefined>;
  askedTick: number;
}

export type Silence =
  | { readonly cause: "recalling" }
  /** `view`: nothing was said in a later one, if that is known. `floor`: undefined until enough peers have said where they stand. */
  | { readonly cause: "amnesia"; readonly why: string; readonly view: View | undefined; readonly floor: Claim | undefined };

/** RECALLs of one peer answered in a status interval, at most: it repeats itself, and may restart. */
const RECALLS_PER_INTERVAL_MAX = 4;
/** Q−1 answers will do; for those of the rest it waits this many status intervals. */
const GRACE_INTERVALS = 2;

/**
 * Peers that must say where they stand before a floor is known: any so many include a correct one of any Q (this replica is
 * not among them), since (n − Q + f + 1) + Q = n + f + 1.
 */
const witnesses = (r: Replica): number => n(r) - strong(r) + r.config.quorums.f + 1;

// ── start ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Called when view, watermark and slots are restored. */
export function restoreMemory(r: Replica, records: readonly LogRecord[], memory: Memory | undefined): void {
  const record = records.findLast((one) => one.type === "amnesia");
  if (memory?.lost !== undefined) r.silence = { cause: "amnesia", why: memory.lost.why ?? "its vote log was lost or damaged", view: memory.lost.view, floor: undefined };
  else if (record?.type === "amnesia" && !isPast(r, record.floor)) {
    r.silence = { cause: "amnesia", why: "before an earlier start its vote log was lost, damaged or old", view: record.view, floor: record.floor };
  } else if (memory !== undefined) r.silence = { cause: "recalling" };
  if (r.silence?.cause === "amnesia" && (r.silence.view ?? 0) > r.view) {
    // It was there, and perhaps left for it: no vote in a lower view.
    r.view = r.silence.view as View;
    r.active = false;
    r.newView = undefined;
    r.newViewPending = undefined;
    r.unsignedNewView = undefined;
    r.leaving = undefined;
  }
  if (memory !== undefined) {
    r.recall = { nonce: memory.nonce, ...remembered(r), certifiedSeq: seqNum(0), provenView: memory.viewAtLeast ?? toView(0), answers: new Map(), askedTick: 0 };
  }
}

const remembered = (r: Replica): Remembered => ({ view: r.view, stableSeq: r.stable.seq, said: saidInView(r), vouched: new Map(r.vouched) });

function saidInView(r: Replica): ReadonlyMap<string, Digest> {
  const said = new Map<string, Digest>();
  // An own NEW-VIEW may have been sent and the proposals it carries not been written down one by one.
  const entered = r.newView?.body.viewChanges ?? r.unsignedNewView;
  if (entered !== undefined && isPrimary(r)) {
    for (const { seq, digest } of selectProposals(entered.map(({ body }) => body)).proposals) said.set(`prepare ${seq}`, digest);
  }
  for (const slot of r.slots.values()) {
    if (slot.proposal?.view === r.view) said.set(`prepare ${slot.seq}`, slot.proposal.digest);
    const certified = slot.prepared?.prePrepare.body;
    if (certified?.view === r.view) said.set(`commit ${slot.seq}`, certified.digest);
  }
  return said;
}

/** At `start`: what was lost is written down, then the others are asked. */
export function startMemory(r: Replica): void {
  if (r.silence?.cause === "amnesia" && r.silence.floor === undefined) noteAmnesia(r, r.silence);
  if (asks(r)) ask(r);
}

function noteAmnesia(r: Replica, silence: Extract<Silence, { cause: "amnesia" }>): void {
  r.silence = silence;
  emit(r, { type: "persist", record: { type: "amnesia", view: silence.view, floor: silence.floor }, lazy: false });
  const { why, floor } = silence;
  if (floor === undefined) emit(r, { type: "memory", state: "lost", detail: why });
  else emit(r, { type: "memory", state: "bounded", detail: `it votes again once its stable checkpoint is at ${floor.seq} or above, in view ${floor.view} or later` });
}

// ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Whether answers are of use: those that come after a floor is known can lower it. */
const asks = (r: Replica): boolean => r.recall !== undefined && r.silence !== undefined && r.recall.answers.size < r.peers.size;

function ask(r: Replica): void {
  const { recall } = r;
  if (recall === undefined) return;
  recall.askedTick = r.tick;
  for (const replica of [...r.peers.keys()].sort((a, b) => a - b)) if (!recall.answers.has(replica)) askOne(r, replica);
}

function askOne(r: Replica, to: ReplicaId): void {
  if (r.recall !== undefined) emit(r, { type: "send", to, message: { type: "recall", nonce: r.recall.nonce, view: r.recall.view } });
}

/** A connection is there: the question may have been lost before. A late answer counts too, when this replica speaks already. */
export function recallFrom(r: Replica, peer: ReplicaId): void {
  if ((asks(r) || r.silence === undefined) && r.recall?.answers.has(peer) === false) askOne(r, peer);
}

export function memoryTick(r: Replica): void {
  if (asks(r) && r.tick - (r.recall?.askedTick ?? 0) >= r.config.parameters.statusIntervalTicks) ask(r);
}

// ── answering ────────────────────────────────────────────────────────────────────────────────────────────────────

/** RECALL: what was heard from the asker, as signed by it, and where this replica stands. */
export function onRecall(r: Replica, from: ReplicaId, nonce: Digest, view: View): void {
  const peer = r.peers.get(from);
  if (peer === undefined) return;
  const interval = Math.floor(r.tick / r.config.parameters.statusIntervalTicks);
  peer.recalls = peer.recalls?.interval === interval ? { interval, count: peer.recalls.count + 1 } : { interval, count: 1 };
  if (peer.recalls.count > RECALLS_PER_INTERVAL_MAX) return reject(r, from, "recall", "RATE_LIMITED", `more than ${RECALLS_PER_INTERVAL_MAX} in a status interval`);
  const recalled: Recalled = {
    nonce, sure: r.silence?.cause !== "amnesia", view: r.view, seq: seqNum(Math.max(r.executed, r.stableKnown.seq)),
    ...heardFrom(r, from, view), viewChange: viewChangeOf(r, from, view), stable: r.stableKnown,
  };
  emit(r, { type: "send", to: from, message: { type: "recalled", recalled } });
}

/** The highest slots first: a log that ends too early lacks what was said last. Certificates are what a restart leaves of the votes. */
function heardFrom(r: Replica, sender: ReplicaId, view: View): Pick<Recalled, "votes" | "prePrepares"> {
  const votes = new Set<Signed<Votes>>();
  const prePrepares = new Set<Signed<PrePrepare>>();
  for (const { prepares, commits, prepared, committed, proposal } of [...slotsAscending(r)].reverse()) {
    for (const cast of [prepares.get(sender), commits.get(sender)]) if (cast !== undefined && cast.view >= view) votes.add(cast.ref.frame);
    for (const { frame, index } of [...(prepared?.prepares ?? []), ...(committed?.commits ?? [])]) {
      if (frame.body.sender === sender && (frame.body.votes[index]?.view ?? -1) >= view) votes.add(frame);
    }
    for (const signed of [proposal?.signed, prepared?.prePrepare]) if (signed?.body.sender === sender && signed.body.view >= view) prePrepares.add(signed);
  }
  return { votes: [...votes].slice(0, RECALL_FRAMES_MAX), prePrepares: [...prePrepares].slice(0, RECALL_FRAMES_MAX) };
}

function viewChangeOf(r: Replica, sender: ReplicaId, view: View): Signed<ViewChange> | undefined {
  const held = [r.viewChanges.get(sender), r.newView?.body.viewChanges.find(({ body }) => body.sender === sender)];
  return held.find((signed) => signed !== undefined && signed.body.view > view);
}

// ── judging ──────────────────────────────────────────────────────────────────────────────────────────────────────

export function onRecalled(r: Replica, from: ReplicaId, recalled: Recalled): void {
  const { recall } = r;
  if (recall === undefined || recalled.nonce !== recall.nonce || recall.answers.has(from)) return reject(r, from, "recalled", "UNSOLICITED", "nothing was asked");
  const problem = checkStable(r.config, recalled.stable);
  if (problem !== undefined) return reject(r, from, "recalled", "CERTIFICATE_INVALID", problem);
  recall.answers.set(from, recalled.sure ? { view: recalled.view, seq: recalled.seq } : undefined);
  recall.certifiedSeq = seqNum(Math.max(recall.certifiedSeq, recalled.stable.seq));
  judge(r, recall, from, recalled);
  if (r.silence?.cause === "amnesia") findFloor(r, recall, r.silence);
  onStableProof(r, from, recalled.stable);
}

/** When this replica speaks already, what it knows now counts: what it said since is in that. */
function judge(r: Replica, recall: Recall, from: ReplicaId, recalled: Recalled): void {
  const { silence } = r;
  const forgotten = findForgotten(r.self, silence === undefined ? remembered(r) : recall, recalled);
  if (forgotten === undefined) return;
  recall.provenView = toView(Math.max(recall.provenView, forgotten.view));
  const why = `replica ${from} holds ${forgotten.what} signed by this replica, which its log lacks: an old copy of the data directory?`;
  // An amnesiac learns nothing new, unless the view that it took for its last was not.
  if (silence?.cause !== "amnesia") noteAmnesia(r, { cause: "amnesia", why, view: undefined, floor: undefined });
  else if (forgotten.view > Math.min(silence.view ?? Infinity, silence.floor?.view ?? Infinity)) noteAmnesia(r, { ...silence, view: undefined, floor: undefined });
}

interface Forgotten {
  readonly what: string;
  /** The highest view of all of them; 0 when they name none. */
  readonly view: View;
}

/** Statements with this replica's signature that its log lacks. Only such proof counts, so no liar can silence a replica. */
function findForgotten(self: ReplicaId, known: Remembered, { votes, prePrepares, viewChange, stable }: Recalled): Forgotten | undefined {
  const lacks = (phase: "prepare" | "commit", view: View, seq: SeqNum, digest: Digest): boolean => {
    // What was said in an earlier view was said before that view was left, which the log knows.
    if (view < known.view || seq <= known.stableSeq) return false;
    return view > known.view || known.said.get(`${phase} ${seq}`) !== digest;
  };
  const found: Forgotten[] = [];
  for (const { body } of votes) {
    if (body.sender !== self) continue;
    for (const { phase, view, seq, digest } of body.votes) if (lacks(phase, view, seq, digest)) found.push({ what: `a ${phase} for view ${view}, seq ${seq}`, view });
  }
  for (const { body: { sender, view, seq, digest } } of prePrepares) {
    if (sender === self && lacks("prepare", view, seq, digest)) found.push({ what: `a pre-prepare for view ${view}, seq ${seq}`, view });
  }
  if (viewChange?.body.sender === self && viewChange.body.view > known.view) found.push({ what: `a view-change to view ${viewChange.body.view}`, view: viewChange.body.view });
  for (const { body: { sender, seq, root } } of stable.proof) {
    if (sender === self && seq > known.stableSeq && known.vouched.get(seq) !== root) found.push({ what: `a checkpoint for seq ${seq}`, view: toView(0) });
  }
  return found[0] && { what: found[0].what, view: toView(Math.max(...found.map(({ view }) => view))) };
}

/** After every step of a silent replica: may it speak? */
export function considerSpeaking(r: Replica): void {
  const { silence, recall } = r;
  if (silence === undefined) return;
  if (silence.cause === "recalling") {
    assert(recall !== undefined, "a recalling replica asks");
    const { size } = recall.answers;
    // What it said at or below a checkpoint that the others have passed nobody can tell it: it must be past that too.
    if (r.stable.seq < recall.certifiedSeq) return;
    const all = size >= r.peers.size;
    const graceTicks = GRACE_INTERVALS * r.config.parameters.statusIntervalTicks;
    if (all || (size >= strong(r) - 1 && r.tick >= graceTicks)) speak(r, `${size} of ${r.peers.size} peers hold nothing that its log lacks`);
    return;
  }
  if (isPast(r, silence.floor)) speak(r, `its stable checkpoint is at ${r.stable.seq} in view ${r.view}`);
}

const isPast = (r: Replica, floor: Claim | undefined): boolean => floor !== undefined && r.stable.seq >= floor.seq && r.view >= floor.view;

/**
 * Everything this replica can have said is of a slot at or below floor.seq and of a view at or below floor.view; why, is on the
 * protocol page. Any set of `witnesses` peers will do, so the lowest claims count, and each answer that comes later can lower the floor: when
 * all correct peers have answered, no liar has raised it.
 */
function findFloor(r: Replica, recall: Recall, silence: Extract<Silence, { cause: "amnesia" }>): void {
  const claims = [...recall.answers.values()].filter((claim) => claim !== undefined);
  const lowest = (of: readonly number[]): number | undefined => [...of].sort((a, b) => a - b)[witnesses(r) - 1];
  const seq = lowest(claims.map((claim) => claim.seq));
  const reached = lowest(claims.map((claim) => claim.view));
  if (seq === undefined || reached === undefined) return;
  const held = silence.floor;
  const floor: Claim = {
    seq: seqNum(Math.min(held?.seq ?? Number.MAX_SAFE_INTEGER, seq + r.config.parameters.logWindow)),
    view: silence.view ?? toView(Math.min(held?.view ?? Number.MAX_SAFE_INTEGER, Math.max(reached + r.config.quorums.f + 1, recall.provenView))),
  };
  if (floor.seq !== held?.seq || floor.view !== held.view) noteAmnesia(r, { ...silence, floor });
}

function speak(r: Replica, detail: string): void {
  const remembered = r.silence?.cause === "recalling";
  r.silence = undefined;
  if (!remembered) emit(r, { type: "memory", state: "sound", detail });
  sayAgain(r);
  // It stands in a view that it never asked for, as far as it knows, and nobody may: only a view that it can ask for ends that.
  if (!r.active && r.leaving === undefined && r.newViewPending === undefined) leaveView(r, toView(r.view + 1), "what it said of its view is forgotten");
}

// ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────

export function describeSilence(r: Replica): EngineSilence | undefined {
  const { silence, recall } = r;
  if (silence === undefined) return undefined;
  const answered = recall === undefined ? "" : `${recall.answers.size} of ${r.peers.size} peers have answered`;
  if (silence.cause === "recalling") {
    if (recall !== undefined && r.stable.seq < recall.certifiedSeq) {
      return { cause: "recalling", reason: `it was left behind: it votes when its stable checkpoint, at ${r.stable.seq}, has reached ${recall.certifiedSeq} (${answered})` };
    }
    return { cause: "recalling", reason: `it asks its peers what it said before the restart (${answered}, ${strong(r) - 1} are needed), and votes after that` };
  }
  const { why, floor } = silence;
  const until = floor === undefined
    ? `it will know from when on it may vote when ${witnesses(r)} peers that remember have answered (${answered})`
    : `it votes again when its stable checkpoint is at ${floor.seq} or above (now ${r.stable.seq}) in view ${floor.view} or later (now ${r.view})`;
  return { cause: "amnesia", reason: `it does not vote, because ${why}; ${until}`, ...(floor !== undefined && { floor }) };
}
