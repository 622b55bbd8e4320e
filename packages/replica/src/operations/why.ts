/**
 * `why`: what a replica waits for, and from whom, most important first. Pure: an explanation of a status and of what went
 * wrong lately. The sentences name replicas, numbers and reasons, so that a person who was just woken up can act on them.
 */
import { TICK_MS, type ReplicaId, type SlotStatus, type VoteStatus } from "@narses/core";
import { lackOf } from "../disk-space.ts";
import { PEER_SILENT_MS } from "../limits.ts";
import type { ProblemIncident, RejectionIncident } from "./incidents.ts";
import type { TransferStatus } from "../transfer/transfer.ts";
import type { PeerStatus, ReplicaStatus } from "./status.ts";
import { counted, listed, seconds } from "./words.ts";

/** A replica whose vote is missing, and why, as far as this replica can tell. */
export interface MissingVote {
  readonly replica: number;
  readonly reason: string;
}

export interface OpenSlot {
  readonly seq: number;
  /** What it lacks next. */
  readonly phase: string;
  readonly digest?: string;
  readonly have: readonly number[];
  readonly missing: readonly MissingVote[];
  readonly needed: number;
}

/** A {@link PeerStatus} as it travels. */
export interface ReportedPeer extends Omit<PeerStatus, "replica" | "executedSeq"> {
  readonly replica: number;
  readonly executedSeq: number | null;
}

export interface WaitingClient {
  readonly client: string;
  readonly bundles: number;
  readonly oldestMs: number;
}

export interface WhyReport {
  readonly replica: number;
  readonly cluster: string;
  /** "live": said by the running replica; "vote-log": what a stopped one would wait for if it were started. */
  readonly source: "live" | "vote-log";
  /** Why it executes nothing: its state diverged or is being replaced, or its log is damaged; null when it does. */
  readonly halted: string | null;
  /** The first thing to know, one sentence. */
  readonly headline: string;
  /** Everything that is waited for, most important first; the first one is in the headline. */
  readonly findings: readonly string[];
  readonly view: number;
  readonly active: boolean;
  readonly primary: number;
  readonly executedSeq: number;
  readonly stableSeq: number;
  readonly highWatermark: number;
  readonly behind: number;
  readonly openSlots: number;
  /** The lowest ones. */
  readonly slots: readonly OpenSlot[];
  /** Null: none runs. `inMs` is negative when it is due. */
  readonly timer: { readonly name: string; readonly view: number; readonly inMs: number } | null;
  readonly peers: readonly ReportedPeer[];
  readonly waiting: {
    readonly bundles: number;
    readonly bytes: number;
    readonly oldestMs: number | null;
    readonly clients: readonly WaitingClient[];
  };
  readonly rejections: readonly (Omit<RejectionIncident, "from"> & { readonly from?: number })[];
  readonly problems: readonly ProblemIncident[];
}

export interface WhySources {
  readonly status: ReplicaStatus;
  readonly source: WhyReport["source"];
  readonly clients: readonly WaitingClient[];
  readonly rejections: readonly RejectionIncident[];
  readonly problems: readonly ProblemIncident[];
}

/** A rejection explains a missing vote for this long. */
const REJECTION_EXPLAINS_MS = 60_000;
/** Rejections that say nothing about a missing vote: the same one came before, too late to matter, or unasked for. */
const HARMLESS: ReadonlySet<string> = new Set(["DUPLICATE", "SEQ_BELOW_WINDOW", "UNSOLICITED"]);

export function whyOf(sources: WhySources): WhyReport {
  const { status, source, clients, rejections, problems } = sources;
  const { replica, cluster, engine, halted, head, behind, peers } = status;
  const findings = findingsOf(sources);
  const { timer } = engine;
  return {
    replica, cluster, source, halted, headline: headlineOf(sources, findings), findings,
    view: engine.view, active: engine.active, primary: engine.primary,
    executedSeq: head.seq, stableSeq: engine.stableSeq, highWatermark: engine.highWatermark, behind,
    openSlots: engine.openSlots,
    slots: (engine.slots ?? []).map(({ seq, phase, digest, have, missing, needed }) => ({
      seq, phase, have, needed, ...(digest !== undefined && { digest }),
      missing: missing.map((id) => ({ replica: id, reason: reasonOf(sources, id) })),
    })),
    timer: timer === undefined || source !== "live" ? null : { name: timer.name, view: timer.view, inMs: timer.ticksLeft * TICK_MS },
    peers,
    waiting: { bundles: status.pendingBundles, bytes: status.pendingBytes, oldestMs: status.pendingOldestMs, clients },
    rejections, problems,
  };
}

function headlineOf({ status, source }: WhySources, [first]: readonly string[]): string {
  const { replica, halted, engine, head, peers } = status;
  if (halted !== null && source === "vote-log") return `Replica ${replica} is stopped, and cannot go on as it was: ${halted}.`;
  if (status.disk !== null && status.disk.frozenMs !== null) return `Replica ${replica} is frozen and waits for ${first ?? ""}.`;
  if (engine.silence?.cause === "amnesia") return `Replica ${replica} ${engine.silence.reason.replace(/^it /, "")}.`;
  if (halted !== null && status.transfer === null) return `Replica ${replica} has stopped executing and needs an operator: ${halted}.`;
  const verb = source === "live" ? "is" : "would be";
  const subject = source === "live" ? `Replica ${replica}` : `Replica ${replica} is stopped. Started now, it`;
  if (first !== undefined) return `${subject} ${verb} waiting for ${first}.`;
  const where = `view ${engine.view} is active, slot ${head.seq} is executed`;
  if (source === "vote-log") return `${subject} would be waiting for nothing but its peers: ${where}.`;
  const lost = peers.filter((peer) => !peer.connected).map((peer) => peer.replica);
  const all = peers.length === 1 ? "its peer is connected" : `all ${peers.length} peers are connected`;
  const absent = `${lost.length === 1 ? "replica" : "replicas"} ${listed(lost)}`;
  const reach = lost.length === 0 ? all : `connected to ${peers.length - lost.length} of ${peers.length} peers, not to ${absent}`;
  const silent = peers.filter(isSilent).map((peer) => `; replica ${peer.replica} is silent for ${seconds(peer.silentMs ?? 0)}: its process may hang`);
  return `${subject} is waiting for nothing: ${where}${peers.length === 0 ? "" : `, ${reach}`}${silent.join("")}.`;
}

function findingsOf(sources: WhySources): readonly string[] {
  const { status, source } = sources;
  const { engine, halted } = status;
  const found: string[] = [];
  // Frozen, it does nothing about the rest.
  if (status.disk !== null && status.disk.frozenMs !== null) found.push(`space on its disk: ${lackOf(status.disk)}`);
  if (status.transfer !== null) found.push(stateOf(status.transfer, halted));
  else if (halted !== null) found.push(`an operator: ${halted}`);
  if (engine.silence?.cause === "amnesia") found.push(engine.silence.reason, ...howToVote(status));
  const alone = source === "live" ? tooFewPeers(status) : [];
  found.push(...alone);
  if (engine.silence?.cause === "recalling" && alone.length === 0) found.push(engine.silence.reason);
  if (engine.viewChange !== undefined) found.push(viewChange(sources, engine.viewChange));
  // Once the state is here these are executed, or covered by it.
  const fetching = status.transfer !== null;
  if (status.behind > 0 && !fetching) {
    const { f, head, behind } = status;
    found.push(`decided slots from its peers: it has executed slot ${head.seq}, ${counted(f + 1, "peer")} or more say ${head.seq + behind}`);
  }
  const slots = engine.slots ?? [];
  const decided = slots.filter(({ phase }) => phase === "execute");
  const awaited = new Map(status.proposalsAwaited.map((one) => [one.seq, one]));
  found.push(...slots.flatMap((slot) => {
    if (slot.phase === "execute") return slot === decided[0] && !fetching ? execution(status, decided) : [];
    const named = slot.phase === "payload" ? awaited.get(slot.seq) : undefined;
    return named === undefined ? openSlot(sources, slot) : payloadOf(status, named);
  }));
  if (engine.openSlots > slots.length) found.push(`${engine.openSlots - slots.length} more open slots`);
  if (slots.length === 0 && engine.active && status.pendingBundles > 0) found.push(proposal(sources));
  if (found.length === 0 && engine.slots === undefined) return engine.waitingFor;
  return found;
}

/** What brings the view about in which an amnesiac may vote again: nothing does by itself while all goes well. */
function howToVote({ engine }: ReplicaStatus): readonly string[] {
  const floor = engine.silence?.floor;
  if (floor === undefined || engine.view >= floor.view) return [];
  const means = `views change when a primary fails, and by themselves where "rotationCheckpoints" is set in the cluster file`;
  const gesture = `to bring one about, stop the primary (now replica ${engine.primary}), wait until the others have left its view, and start it again: ` +
    "one replica at a time, since this one counts as faulty";
  return [`${counted(floor.view - engine.view, "more view")} before it may vote: ${means}; ${gesture}`];
}

/** A state on its way; nothing is executed meanwhile, and it ends without anybody's help. */
function stateOf({ seq, reason, phase, repairs, waitsMs, pagesHere, pagesTotal }: TransferStatus, halted: string | null): string {
  if (phase === "waiting") {
    const cure = "which none of them cures: look for what is not deterministic in the application, or for a faulty machine";
    const again = `its state went wrong again soon after ${counted(repairs - 1, "repair")}, ${cure}`;
    return `the time to fetch the state after slot ${seq} from its peers, in ${Math.ceil(waitsMs / 1_000)} s: ${again}${halted === null ? "" : ` (${halted})`}`;
  }
  const why = reason === "diverged" ? `its own differs${halted === null ? "" : `: ${halted}`}` : "it is too far behind to follow slot by slot";
  return `the state after slot ${seq} from its peers (${phase}, ${pagesHere} of ${pagesTotal} pages are here), because ${why}`;
}

function tooFewPeers({ peers, quorum }: ReplicaStatus): readonly string[] {
  const connected = peers.filter((peer) => peer.connected).length;
  if (connected + 1 >= quorum) return [];
  const lost = peers.filter((peer) => !peer.connected).map(({ replica, problem }) => `replica ${replica} (${problem ?? "not connected"})`);
  const reach = `it reaches ${connected} of ${peers.length} and needs ${quorum - 1}`;
  return [`${counted(quorum - 1 - connected, "more peer")}: ${reach}; not reached: ${lost.join(", ")}`];
}

function viewChange(sources: WhySources, { have, missing, needed }: VoteStatus): string {
  const { engine, replica } = sources.status;
  if (have.length < needed) {
    return `VIEW-CHANGE messages for view ${engine.view} or later: has ${have.length} of ${needed}${fromWhom(sources, have, missing)}`;
  }
  const primary = engine.primary === replica ? "itself, its primary" : `its primary ${named(sources, engine.primary)}`;
  return `the NEW-VIEW of view ${engine.view} from ${primary}`;
}

/** Slots that are decided here, the lowest first: they run in order. */
function execution({ head }: ReplicaStatus, [lowest, ...others]: readonly SlotStatus[]): readonly string[] {
  if (lowest === undefined) return [];
  const { seq } = lowest;
  const more = others.length;
  if (seq === head.seq + 1) return [`the execution of slot ${seq}, which is decided${more > 0 ? `, and of ${more} more` : ""}`];
  const before = seq === head.seq + 2 ? `slot ${seq - 1}` : `slots ${head.seq + 1} to ${seq - 1}`;
  const after = seq === head.seq + 2 ? "it" : "them";
  return [`${before}, because slot ${seq} ${more > 0 ? `and ${more} more are decided and run` : "is decided and runs"} after ${after}`];
}

function openSlot(sources: WhySources, { seq, phase, have, missing, needed }: SlotStatus): string {
  const { engine } = sources.status;
  switch (phase) {
    case "prepare":
    case "commit":
      return `${phase.toUpperCase()} votes for slot ${seq} in view ${engine.view}: has ${have.length} of ${needed}${fromWhom(sources, have, missing)}`;
    case "pre-prepare":
      return `the PRE-PREPARE of slot ${seq} in view ${engine.view} from the primary, ${named(sources, engine.primary)}`;
    case "payload":
      return `the payload of slot ${seq}, which it asks every peer for`;
    default:
      return `${phase} of slot ${seq}: has ${have.length} of ${needed}${fromWhom(sources, have, missing)}`;
  }
}

/** A proposal that names bundles which are not here. */
function payloadOf({ engine }: ReplicaStatus, { seq, missing, of }: ReplicaStatus["proposalsAwaited"][number]): string {
  const lack = `${missing} of ${of} large bundles that the proposal for slot ${seq} names`;
  return `${lack}, from their clients, from replica ${engine.primary}, which proposed it, or from another that has them`;
}

function proposal(sources: WhySources): string {
  const { status, source } = sources;
  const { engine, pendingBundles, pendingOldestMs, replica } = status;
  const who = engine.primary === replica ? "itself as the primary" : `the primary, ${named(sources, engine.primary)}`;
  const age = pendingOldestMs === null || source !== "live" ? "" : `, the oldest for ${seconds(pendingOldestMs)}`;
  return `a PRE-PREPARE from ${who}: ${counted(pendingBundles, "request bundle waits", "request bundles wait")}${age}`;
}

/** Who voted, and for everybody else why not. */
function fromWhom(sources: WhySources, have: readonly ReplicaId[], missing: readonly ReplicaId[]): string {
  const from = have.length === 0 ? "" : ` (from ${listed(have)})`;
  return missing.length === 0 ? from : `${from}; missing: ${missing.map((id) => named(sources, id)).join(", ")}`;
}

function named(sources: WhySources, id: ReplicaId): string {
  const reason = reasonOf(sources, id);
  return reason === "" ? `replica ${id}` : `replica ${id} (${reason})`;
}

/** Connected, and nothing comes: it says something every second even when idle. */
const isSilent = ({ connected, silentMs }: ReportedPeer): boolean => connected && silentMs !== null && silentMs > PEER_SILENT_MS;

/** Why nothing that counts came from a replica; empty when nothing can be said. */
function reasonOf({ status, source, rejections }: WhySources, id: ReplicaId): string {
  if (id === status.replica) return "this one";
  if (source !== "live") return "";
  const peer = status.peers.find(({ replica }) => replica === id);
  if (peer?.connected !== true) return `not connected${typeof peer?.problem === "string" ? `: ${peer.problem}` : ""}`;
  const said = rejections.find(({ from, code, ageMs }) => from === id && ageMs <= REJECTION_EXPLAINS_MS && !HARMLESS.has(code));
  if (said !== undefined) return `connected, but a ${said.message} message of it was rejected ${seconds(said.ageMs)} ago, ${said.code}: ${said.detail}`;
  if (isSilent(peer) && peer.silentMs !== null) return `connected, but silent for ${seconds(peer.silentMs)}`;
  if (peer.lag !== null && peer.lag > 0) return `connected, ${counted(peer.lag, "slot")} behind`;
  return "connected, nothing came yet";
}
