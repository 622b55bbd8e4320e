/** One line per message, effect, input and record: the same words in traces, golden files and failure reports. */
import type {
  Batch, CommitCertificate, Digest, Effect, Input, LogRecord, PeerMessage, PreparedCertificate, Signed, SignedBody, StableCheckpoint, Status, Vote, VoteRef,
} from "@narses/core";
import { NULL_DIGEST } from "@narses/core";

/** What the words and marks of a trace mean. */
export const LEGEND: readonly string[] = [
  "time is virtual, in milliseconds; r2 is replica 2 (r2a, r2b: the twins of one key), c0 is client 0",
  "v view, n sequence number, D digest (first digits; null for the null batch), h low watermark (stable checkpoint)",
  "<  a message or another input taken by the engine      !  a record made durable",
  ">  a message signed and sent                           =  a slot executed",
  "*  the view was left or entered                        ?  a message rejected, with its code",
  "@  a client sent a request or accepted an answer       #  a fault, a repair, or another act of the scheduler",
];

export type NameDigest = (digest: Digest) => string;

/** The first six digits; `null` for the null digest. */
export const shortDigest: NameDigest = (digest) => (digest === NULL_DIGEST ? "null" : digest.slice(0, 6));

export interface Formatter {
  message(message: PeerMessage): string;
  body(body: SignedBody): string;
  input(input: Input): string;
  /** Mark and words; undefined for effects that show as something else (own messages show when sent). */
  effect(effect: Effect): string;
  record(record: LogRecord): string;
}

export function createFormatter(name: NameDigest = shortDigest): Formatter {
  const senders = (list: readonly { readonly body: { readonly sender: number } }[]): string => list.map((s) => s.body.sender).join(",");
  const refs = (list: readonly VoteRef[]): string => senders(list.map((ref) => ref.frame));
  const vote = (v: Vote): string => `${v.phase} v${v.view} n${v.seq} ${name(v.digest)}`;
  const prepared = (p: PreparedCertificate): string => {
    const { view, seq, digest } = p.prePrepare.body;
    return `v${view} n${seq} ${name(digest)} [${senders([p.prePrepare])};${refs(p.prepares)}]`;
  };
  const committed = (c: CommitCertificate): string => `v${c.view} n${c.seq} ${name(c.digest)} [${refs(c.commits)}]`;
  const stable = (s: StableCheckpoint): string => (s.seq === 0 ? "h0 genesis" : `h${s.seq} ${name(s.root)} [${senders(s.proof)}]`);
  const preparedList = (list: readonly PreparedCertificate[]): string => `P{${list.map(prepared).join("; ")}}`;
  const viewChanges = (list: readonly Signed<{ readonly sender: number }>[]): string => `V{${senders(list)}}`;
  const proposals = (list: readonly { readonly seq: number; readonly digest: Digest }[]): string => `O{${list.map((p) => `n${p.seq} ${name(p.digest)}`).join("; ")}}`;
  const batch = (b: Batch | undefined): string => (b === undefined ? "" : ` (${b.bundles.length} bundle${b.bundles.length === 1 ? "" : "s"})`);

  const body = (b: SignedBody): string => {
    switch (b.type) {
      case "pre-prepare":
        return `pre-prepare v${b.view} n${b.seq} ${name(b.digest)}`;
      case "votes":
        return b.votes.map(vote).join(", ");
      case "checkpoint":
        return `checkpoint n${b.seq} ${name(b.root)}`;
      case "view-change":
        return `view-change v${b.view} ${stable(b.stable)} ${preparedList(b.prepared)}`;
      case "new-view":
        return `new-view v${b.view} ${viewChanges(b.viewChanges)} ${proposals(b.prePrepares.map((p) => p.body))}`;
      case "outcome":
        return `outcome n${b.seq} ${name(b.block)}`;
    }
  };
  const message = (m: PeerMessage): string => {
    switch (m.type) {
      case "pre-prepare":
        return body(m.signed.body) + batch(m.batch);
      case "votes":
      case "checkpoint":
        return body(m.signed.body);
      case "view-change":
      case "new-view":
        return `${body(m.signed.body)} by r${m.signed.body.sender}`;
      case "status":
        return `status ${statusText(m.status)}`;
      case "forward":
        return `forward ${name(m.bundle.digest)}`;
      case "fetch-batch":
        return `fetch-batch ${name(m.digest)}`;
      case "batch":
        return `batch ${name(m.batch.digest)}${batch(m.batch)}`;
      case "decision":
        return `decision ${committed(m.certificate)}`;
      case "stable":
        return `stable ${stable(m.stable)}`;
    }
  };
  const record = (r: LogRecord): string => {
    switch (r.type) {
      case "pre-prepared":
        return `pre-prepared v${r.view} n${r.seq} ${name(r.digest)}${r.signed === undefined ? " (own)" : ""}`;
      case "prepared":
        return `prepared ${prepared(r.certificate)}`;
      case "committed":
        return `committed ${committed(r.certificate)}`;
      case "view-left":
        return `view-left v${r.view} ${stable(r.stable)} ${preparedList(r.prepared)}`;
      case "new-view":
        return `new-view v${r.view} ${viewChanges(r.viewChanges)}${r.signed === undefined ? " (own, unsigned)" : ""}`;
      case "stable":
        return `stable ${stable(r.stable)}`;
    }
  };
  return { message, body, record, input: (i) => inputText(i, name, message, body), effect: (e) => effectText(e, { name, message, record, vote, stable, preparedList, viewChanges, proposals }) };
}

function statusText(s: Status): string {
  const bits = (bytes: Uint8Array): string => [...bytes].map((b) => b.toString(16)).join("");
  const slots = s.slots.length > 0 ? ` slots ${bits(s.slots)}` : "";
  const held = s.active ? "" : ` holds view-changes ${bits(s.viewChanges)}`;
  return `v${s.view}${s.active ? "" : " inactive"} h${s.stableSeq} executed n${s.executedSeq}${slots}${held}`;
}

function inputText(input: Input, name: NameDigest, message: (m: PeerMessage) => string, body: (b: SignedBody) => string): string {
  switch (input.type) {
    case "start":
      return "start";
    case "tick":
      return "tick";
    case "request":
      return `request ${name(input.bundle.digest)}`;
    case "message":
      return `r${input.from}: ${message(input.message)}`;
    case "own":
      return `own ${body(input.signed.body)}`;
    case "executed":
      return `executed n${input.seq}`;
    case "checkpointed":
      return `checkpointed n${input.seq} ${name(input.root)}`;
    case "transferred":
      return `transferred n${input.stable.seq} ${name(input.stable.root)}`;
    case "peer":
      return `r${input.replica} ${input.connected ? "connected" : "lost"}`;
    case "misbehaviour":
      return `misbehaviour of r${input.replica}: ${input.rejection.code} ${input.rejection.detail}`;
  }
}

interface Words {
  readonly name: NameDigest;
  readonly message: (m: PeerMessage) => string;
  readonly record: (r: LogRecord) => string;
  readonly vote: (v: Vote) => string;
  readonly stable: (s: StableCheckpoint) => string;
  readonly preparedList: (list: readonly PreparedCertificate[]) => string;
  readonly viewChanges: (list: readonly Signed<{ readonly sender: number }>[]) => string;
  readonly proposals: (list: readonly { readonly seq: number; readonly digest: Digest }[]) => string;
}

function effectText(e: Effect, w: Words): string {
  switch (e.type) {
    case "persist":
      return `! ${w.record(e.record)}${e.lazy ? " (lazy)" : ""}`;
    case "pre-prepare":
      return `> all: pre-prepare v${e.view} n${e.seq} ${w.name(e.digest)}`;
    case "vote":
      return `> all: ${w.vote(e.vote)}`;
    case "checkpoint":
      return `> all: checkpoint n${e.seq} ${w.name(e.root)}`;
    case "view-change":
      return `> all: view-change v${e.view} ${w.stable(e.stable)} ${w.preparedList(e.prepared)}`;
    case "new-view":
      return `> all: new-view v${e.view} ${w.viewChanges(e.viewChanges)} ${w.proposals(e.proposals)}`;
    case "send":
      return `> ${e.to === "all" ? "all" : `r${e.to}`}: ${w.message(e.message)}`;
    case "send-decisions":
      return `> r${e.to}: decisions n${e.first} … n${e.last} from the block store`;
    case "execute":
      return `= execute n${e.seq} ${w.name(e.certificate.digest)}${e.batch === undefined ? "" : ` (${e.batch.bundles.length} bundle${e.batch.bundles.length === 1 ? "" : "s"})`}${e.checkpoint ? " and checkpoint" : ""}`;
    case "truncate":
      return `! truncate up to n${e.seq}`;
    case "diverged":
      return `# diverged at n${e.seq}: own ${w.name(e.own)}, stable ${w.name(e.stable)}`;
    case "transfer":
      return `! transfer n${e.target.seq} ${w.name(e.target.root)} (${e.reason})`;
    case "rejected":
      return `? r${e.from}: ${e.message} ${e.rejection.code} (${e.rejection.detail})`;
    case "view-entered":
      return `* entered v${e.view}, primary r${e.primary}`;
    case "view-left":
      return `* left for v${e.view}: ${e.reason}`;
  }
}
