/** One line per message, effect, input and record: the same words in traces, golden files and failure reports. */
import type {
  Batch, CommitCertificate, Digest, Effect, Input, LogRecord, PeerMessage, PreparedCertificate, ReplicaId, Signed, SignedBody, StableCheckpoint,
  Status, Vote, VoteRef,
} from "@narses/core";
import { NULL_DIGEST } from "@narses/core";

/** What the words and marks of a trace mean. */
export const LEGEND: readonly string[] = [
  "time is virtual, in milliseconds; r2 is replica 2 (r2!: Byzantine; r2a!, r2b!: twins), c0 is client 0",
  "v view, n sequence number, then the digest (null: the null batch); h low watermark; [..] senders of a certificate",
  "<  a message or another input taken by the engine      !  a record made durable",
  ">  a message signed and sent                           =  a decided slot handed over for execution",
  "*  the view was left or entered                        ?  a message rejected, with its code",
  "@  a client sent a request or accepted an answer       #  a fault, a repair, or another act of the world",
];

/** How digests are written. */
export type NameDigest = (digest: Digest) => string;

/** The first six digits; `null` for the null digest. */
export const shortDigest: NameDigest = (digest) => (digest === NULL_DIGEST ? "null" : digest.slice(0, 6));

type Sent = { readonly body: { readonly sender: ReplicaId } };
const senders = (list: readonly Sent[]): string => list.map((s) => s.body.sender).join(",");
const refs = (list: readonly VoteRef[]): string => senders(list.map((ref) => ref.frame));
const bundles = (batch: Batch | undefined): string => (batch === undefined ? "" : ` (${batch.bundles.length} bundle${batch.bundles.length === 1 ? "" : "s"})`);

const voteText = (v: Vote, name: NameDigest): string => `${v.phase} v${v.view} n${v.seq} ${name(v.digest)}`;
const committedText = (c: CommitCertificate, name: NameDigest): string => `v${c.view} n${c.seq} ${name(c.digest)} [${refs(c.commits)}]`;
const stableText = (s: StableCheckpoint, name: NameDigest): string => (s.seq === 0 ? "h0 genesis" : `h${s.seq} ${name(s.root)} [${senders(s.proof)}]`);
const preparedText = ({ prePrepare, prepares }: PreparedCertificate, name: NameDigest): string => {
  const { view, seq, digest } = prePrepare.body;
  return `v${view} n${seq} ${name(digest)} [${senders([prePrepare])};${refs(prepares)}]`;
};
const preparedList = (list: readonly PreparedCertificate[], name: NameDigest): string => `P{${list.map((p) => preparedText(p, name)).join("; ")}}`;
const viewChanges = (list: readonly Signed<{ readonly sender: ReplicaId }>[]): string => `V{${senders(list)}}`;
const proposals = (list: readonly { readonly seq: number; readonly digest: Digest }[], name: NameDigest): string =>
  `O{${list.map((p) => `n${p.seq} ${name(p.digest)}`).join("; ")}}`;

export function formatBody(b: SignedBody, name: NameDigest = shortDigest): string {
  switch (b.type) {
    case "pre-prepare":
      return `pre-prepare v${b.view} n${b.seq} ${name(b.digest)}`;
    case "votes":
      return b.votes.map((vote) => voteText(vote, name)).join(", ");
    case "checkpoint":
      return `checkpoint n${b.seq} ${name(b.root)}`;
    case "view-change":
      return `view-change v${b.view} ${stableText(b.stable, name)} ${preparedList(b.prepared, name)}`;
    case "new-view":
      return `new-view v${b.view} ${viewChanges(b.viewChanges)} ${proposals(b.prePrepares.map((p) => p.body), name)}`;
    case "outcome":
      return `outcome n${b.seq} ${name(b.block)}`;
  }
}

function statusText(s: Status): string {
  const bits = (bytes: Uint8Array): string => [...bytes].map((b) => b.toString(16)).join("");
  const slots = s.slots.length > 0 ? ` slots ${bits(s.slots)}` : "";
  const held = s.active ? "" : ` holds view-changes ${bits(s.viewChanges)}`;
  return `status v${s.view}${s.active ? "" : " inactive"} h${s.stableSeq} executed n${s.executedSeq}${slots}${held}`;
}

export function formatMessage(m: PeerMessage, name: NameDigest = shortDigest): string {
  switch (m.type) {
    case "pre-prepare":
      return formatBody(m.signed.body, name) + bundles(m.batch);
    case "compact-pre-prepare":
      return `compact ${formatBody(m.signed.body, name)} [${m.bundles.map((b) => (typeof b === "string" ? `#${name(b)}` : name(b.digest))).join(" ")}]`;
    case "votes":
    case "checkpoint":
      return formatBody(m.signed.body, name);
    case "view-change":
    case "new-view":
      return `${formatBody(m.signed.body, name)} by r${m.signed.body.sender}`;
    case "status":
      return statusText(m.status);
    case "forward":
      return `forward ${name(m.bundle.digest)}`;
    case "fetch-batch":
      return `fetch-batch ${name(m.digest)}`;
    case "fetch-bundles":
      return `fetch-bundles of n${m.seq} ${name(m.digest)}: ${m.bundles.map((digest) => name(digest)).join(" ")}`;
    case "batch":
      return `batch ${name(m.batch.digest)}${bundles(m.batch)}`;
    case "decision":
      return `decision ${committedText(m.certificate, name)}`;
    case "stable":
      return `stable ${stableText(m.stable, name)}`;
    case "recall":
      return `recall v${m.view}`;
    case "recalled": {
      const { sure, view, seq, votes, prePrepares, viewChange, stable } = m.recalled;
      const held = [...votes, ...prePrepares, ...(viewChange === undefined ? [] : [viewChange])];
      return `recalled ${sure ? "" : "unsure "}v${view} n${seq} stable n${stable.seq}${held.map(({ body }) => `; ${formatBody(body, name)}`).join("")}`;
    }
  }
}

export function formatRecord(r: LogRecord, name: NameDigest = shortDigest): string {
  switch (r.type) {
    case "pre-prepared":
      return `pre-prepared v${r.view} n${r.seq} ${name(r.digest)}${r.signed === undefined ? " (own)" : ""}`;
    case "prepared":
      return `prepared ${preparedText(r.certificate, name)}`;
    case "committed":
      return `committed ${committedText(r.certificate, name)}`;
    case "view-left":
      return `view-left v${r.view} ${stableText(r.stable, name)} ${preparedList(r.prepared, name)}`;
    case "new-view":
      return `new-view v${r.view} ${viewChanges(r.viewChanges)}${r.signed === undefined ? " (own, unsigned)" : ""}`;
    case "stable":
      return `stable ${stableText(r.stable, name)}`;
    case "vouched":
      return `vouched n${r.seq} ${name(r.root)}`;
    case "amnesia":
      return `amnesia${r.view === undefined ? "" : `, up to v${r.view}`}${r.floor === undefined ? "" : `, silent below v${r.floor.view} h${r.floor.seq}`}`;
  }
}

export function formatInput(input: Input, name: NameDigest = shortDigest): string {
  switch (input.type) {
    case "start":
    case "tick":
      return input.type;
    case "request":
      return `request ${name(input.bundle.digest)}`;
    case "message":
      return `r${input.from}: ${formatMessage(input.message, name)}`;
    case "own":
      return `own ${formatBody(input.signed.body, name)}`;
    case "executed":
      return `executed n${input.seq}`;
    case "checkpointed":
      return `checkpointed n${input.seq} ${name(input.root)}`;
    case "transferred":
      return `transferred n${input.stable.seq} ${name(input.stable.root)}`;
    case "peer":
      return `r${input.replica} ${input.connected ? "connected" : "lost"}`;
    case "misbehaviour":
      return `misbehaviour of r${input.replica}: ${input.rejection.code} (${input.rejection.detail})`;
  }
}

/** The mark of the legend, then the words. */
export function formatEffect(e: Effect, name: NameDigest = shortDigest): string {
  switch (e.type) {
    case "persist":
      return `! ${formatRecord(e.record, name)}${e.lazy ? " (lazy)" : ""}`;
    case "pre-prepare":
      return `> all: pre-prepare v${e.view} n${e.seq} ${name(e.digest)}${bundles(e.batch)}`;
    case "vote":
      return `> all: ${voteText(e.vote, name)}`;
    case "checkpoint":
      return `> all: checkpoint n${e.seq} ${name(e.root)}`;
    case "view-change":
      return `> all: view-change v${e.view} ${stableText(e.stable, name)} ${preparedList(e.prepared, name)}`;
    case "new-view":
      return `> all: new-view v${e.view} ${viewChanges(e.viewChanges)} ${proposals(e.proposals, name)}`;
    case "send":
      return `> ${e.to === "all" ? "all" : `r${e.to}`}: ${formatMessage(e.message, name)}`;
    case "send-decisions":
      return `> r${e.to}: decisions n${e.first} … n${e.last} from the block store`;
    case "execute":
      return `= execute n${e.seq} ${name(e.certificate.digest)}${bundles(e.batch)}${e.checkpoint ? " and checkpoint" : ""}`;
    case "truncate":
      return `! truncate up to n${e.seq}`;
    case "diverged":
      return `# diverged at n${e.seq}: own ${name(e.own)}, stable ${name(e.stable)}`;
    case "transfer":
      return `! transfer n${e.target.seq} ${name(e.target.root)} (${e.reason})`;
    case "memory":
      return `# memory ${e.state}: ${e.detail}`;
    case "rejected":
      return `? r${e.from}: ${e.message} ${e.rejection.code} (${e.rejection.detail})`;
    case "view-entered":
      return `* entered v${e.view}, primary r${e.primary}`;
    case "clock-off":
      return `# clock is ${e.behindMs} ms behind the others, says n${e.seq}`;
    case "view-left":
      return `* left for v${e.view}: ${e.reason}`;
  }
}
