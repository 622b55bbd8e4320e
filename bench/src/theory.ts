/**
 * Closed forms: what a decision must cost, derived from the protocol and the byte layouts of `wire`, from nothing measured.
 * All counts are cluster-wide; a message to k receivers counts k times; messages to oneself do not exist.
 */
import { logWindowMax, PAGES_PER_FETCH_MAX, quorums, REPLICAS_MAX, STATE_CHUNK_BYTES_MAX, VOTES_PER_FRAME_MAX } from "@narses/core";

// ── sizes on the wire (the layouts are in packages/wire/README.md) ───────────────────────────────────────────────

const HEADER = 6;
const REPLICA_HEADER = 8;
const SIGNATURE = 64;
const DIGEST = 32;

/** view u64, seq u64, digest, in a signed envelope. */
export const PRE_PREPARE_BYTES: number = REPLICA_HEADER + 16 + DIGEST + SIGNATURE;
export const CHECKPOINT_BYTES: number = REPLICA_HEADER + 8 + DIGEST + SIGNATURE;
export const VOTE_BYTES = 49;
export const VOTE_FRAME_OVERHEAD_BYTES: number = REPLICA_HEADER + 1 + SIGNATURE;
const OUTCOME_BYTES = CHECKPOINT_BYTES;
const BLOCK_HEADER_BYTES = 16 + 5 * DIGEST;

/** A vote frame with `votes` votes under one signature. */
export const voteFrameBytes = (votes: number): number => VOTE_FRAME_OVERHEAD_BYTES + votes * VOTE_BYTES;

/** A client's bundle of `operations` operations of `payloadBytes` each. */
export const bundleBytes = (operations: number, payloadBytes: number): number =>
  HEADER + 32 + 24 + 2 + operations * (5 + payloadBytes) + SIGNATURE;

/** What a batch holds. */
export interface BatchShape {
  /** Operations of each bundle. */
  readonly bundles: readonly number[];
  /** Encoded operation, in bytes. */
  readonly payloadBytes: number;
  /** Encoded result of an operation, in bytes. */
  readonly resultBytes: number;
}

/** `operations` operations in bundles of `bundle`, the last one smaller. */
export function shapeOf(operations: number, bundle: number, { payloadBytes, resultBytes }: Pick<BatchShape, "payloadBytes" | "resultBytes">): BatchShape {
  const full = Math.floor(operations / bundle);
  const rest = operations % bundle;
  return { bundles: [...Array.from({ length: full }, () => bundle), ...(rest > 0 ? [rest] : [])], payloadBytes, resultBytes };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, value) => total + value, 0);

export const batchBytes = ({ bundles, payloadBytes }: BatchShape): number =>
  HEADER + 10 + sum(bundles.map((operations) => 4 + bundleBytes(operations, payloadBytes)));

/** Audit paths of all leaves of an RFC 6962 tree together, in hashes. */
export function pathHashes(leaves: number): number {
  if (leaves <= 1) return 0;
  const left = 2 ** Math.ceil(Math.log2(leaves) - 1);
  return pathHashes(left) + pathHashes(leaves - left) + leaves;
}

/** Replies of one replica to all bundles of a batch. */
export const replyBytes = ({ bundles, resultBytes }: BatchShape): number =>
  bundles.length * (HEADER + 2 * DIGEST + 8 + BLOCK_HEADER_BYTES + OUTCOME_BYTES + 9 + 2) + pathHashes(bundles.length) * DIGEST + sum(bundles) * (4 + resultBytes);

// ── PBFT with signatures ─────────────────────────────────────────────────────────────────────────────────────────

export interface Cost {
  readonly messages: number;
  readonly bytes: number;
  /** Signatures made. */
  readonly made: number;
  /** Signatures checked when every received message is checked. */
  readonly checked: number;
}

/** Per decided batch, by phase. `depth` slots travel together and their votes share frames (1: every vote alone). */
export interface NormalCase {
  readonly prePrepare: Cost;
  readonly prepare: Cost;
  readonly commit: Cost;
  /** The three together. */
  readonly replicas: Cost;
  /** Checks a replica can stop at: its quorums, its own vote free. For n ≥ 4. */
  readonly checkedMin: number;
  /** Waits for the disk: before PRE-PREPARE or PREPARE, and before COMMIT. */
  readonly fsyncs: number;
  readonly requests: Cost;
  readonly replies: Cost;
  /** Message delays from request to the W-th reply. */
  readonly delays: number;
}

const add = (...costs: readonly Cost[]): Cost => ({
  messages: sum(costs.map((c) => c.messages)), bytes: sum(costs.map((c) => c.bytes)),
  made: sum(costs.map((c) => c.made)), checked: sum(costs.map((c) => c.checked)),
});

export function normalCase(n: number, shape: BatchShape, depth = 1): NormalCase {
  const { strong } = quorums(n);
  const votes = (made: number, messages: number): Cost => ({
    messages: messages / depth, bytes: (messages * voteFrameBytes(depth)) / depth, made: made / depth, checked: messages / depth,
  });
  const prePrepare = { messages: n - 1, bytes: (n - 1) * (HEADER + PRE_PREPARE_BYTES + batchBytes(shape)), made: 1, checked: n - 1 };
  const prepare = votes(n - 1, (n - 1) ** 2);
  const commit = votes(n, n * (n - 1));
  const bundles = shape.bundles.length;
  return {
    prePrepare, prepare, commit, replicas: add(prePrepare, prepare, commit),
    checkedMin: n * (2 * strong - 2),
    fsyncs: (2 * n) / depth,
    requests: { messages: bundles, bytes: sum(shape.bundles.map((k) => bundleBytes(k, shape.payloadBytes))), made: bundles, checked: n * bundles },
    replies: { messages: n * bundles, bytes: n * replyBytes(shape), made: n, checked: 0 },
    // A single replica only executes; with Q = 2 a backup's own PREPARE is quorum enough, which saves a delay.
    delays: n === 1 ? 2 : strong === 2 ? 4 : 5,
  };
}

/** Per checkpoint, that is per K batches: CHECKPOINT from all to all; three waits for the disk (what is vouched for, proof, truncation). */
export const checkpointCost = (n: number): Cost & { readonly checkedMin: number; readonly fsyncs: number; readonly delays: number } => ({
  delays: n === 1 ? 0 : 1,

  messages: n * (n - 1), bytes: n * (n - 1) * CHECKPOINT_BYTES, made: n, checked: n * (n - 1), checkedMin: n * (quorums(n).strong - 1), fsyncs: 3 * n,
});

export interface ViewChangeCase {
  readonly viewChange: Cost;
  readonly newView: Cost;
  /** PREPAREs and COMMITs for the slots carried over. */
  readonly votes: Cost;
  readonly total: Cost;
  /** From the suspicion until every replica is in the new view, and until the slots carried over are decided. */
  readonly delays: number;
  readonly delaysDecided: number;
  readonly fsyncs: number;
}

/** VIEW-CHANGE that reports `open` prepared slots, each with Q−1 PREPAREs in `frames` distinct frames, above genesis. */
export function viewChangeBytes(n: number, open: number, frames: { readonly count: number; readonly bytes: number }): number {
  const { strong } = quorums(n);
  const genesis = 8 + DIGEST + 2;
  return REPLICA_HEADER + 8 + genesis + 4 + frames.count * frames.bytes + 4 + open * (PRE_PREPARE_BYTES + 2 + 5 * (strong - 1)) + SIGNATURE;
}

export const newViewBytes = (n: number, open: number, viewChange: number): number =>
  REPLICA_HEADER + 8 + 2 + quorums(n).strong * viewChange + 4 + open * PRE_PREPARE_BYTES + SIGNATURE;

/** A view change in which all n replicas take part and agree on `open` prepared slots. `merged`: votes share frames. */
export function viewChangeCase(n: number, open: number, merged: boolean): ViewChangeCase {
  const { strong } = quorums(n);
  const vc = viewChangeBytes(n, open, { count: open * (strong - 1), bytes: voteFrameBytes(1) });
  const viewChange = { messages: n * (n - 1), bytes: n * (n - 1) * vc, made: n, checked: n * (n - 1) };
  const newView = { messages: n - 1, bytes: (n - 1) * newViewBytes(n, open, vc), made: 1 + open, checked: (n - 1) * (1 + open) };
  const frames = merged ? Math.ceil(open / VOTES_PER_FRAME_MAX) : open;
  const pairs = (n - 1) * (2 * n - 1);
  const votes = {
    messages: pairs * frames, bytes: pairs * (frames * VOTE_FRAME_OVERHEAD_BYTES + open * VOTE_BYTES), made: (2 * n - 1) * frames, checked: pairs * frames,
  };
  return {
    viewChange, newView, votes, total: add(viewChange, newView, votes),
    // VIEW-CHANGE and NEW-VIEW; then PREPARE and COMMIT.
    delays: 2, delaysDecided: open === 0 ? 2 : 4,
    // Before VIEW-CHANGE; the primary's choice before NEW-VIEW; on entering with what it brings, PREPAREs included; before COMMIT.
    fsyncs: n + 1 + n + (open === 0 ? 0 : n),
  };
}

// ── state transfer ───────────────────────────────────────────────────────────────────────────────────────────────

/** Of the shell (`packages/replica`): requests one donor is asked at once, and pages asked for before their size is known. */
const FETCH_WINDOW = 2;
const FETCH_PAGES_FIRST = 64;
const FAN_OUT = 16;

export interface StateShape {
  /** log2 of the number of pages. */
  readonly bits: number;
  /** Nodes that differ from those of the replica that fetches, by level from the pages (0) to the top. */
  readonly differing: readonly number[];
  /** Of the pages that differ, together. */
  readonly pageBytes: number;
}

export interface TransferCase {
  readonly header: Pick<Cost, "messages" | "bytes">;
  readonly nodes: Pick<Cost, "messages" | "bytes">;
  readonly pages: Pick<Cost, "messages" | "bytes">;
  readonly total: Pick<Cost, "messages" | "bytes">;
  /** From the first request to the installed state. */
  readonly delays: number;
  /** Answers that are staged on disk, one by one. */
  readonly staged: number;
}

/**
 * From certified checkpoint to installed state, n−1 donors, while at most NODES_PER_FETCH_MAX nodes of a level differ and all pages that are left
 * after the first round of requests go into one more: the header is asked of everybody, then one request a level, then the pages, 64 a
 * request in the first round and as many as fit a chunk after it. A request and its answer are two messages.
 */
export function transferCase(n: number, { bits, differing, pageBytes }: StateShape): TransferCase {
  const donors = n - 1;
  const header = { messages: 2 * donors, bytes: donors * (HEADER + 9 + HEADER + BLOCK_HEADER_BYTES + 1 + DIGEST) };
  const levels = differing.slice(1).map((count, i) => {
    const children = Math.min(FAN_OUT, 2 ** (bits - 4 * i));
    return { messages: 2, bytes: HEADER + 12 + 4 * count + HEADER + 11 + count * (5 + children * DIGEST) };
  });
  const pages = differing[0] ?? 0;
  const first = Math.min(Math.ceil(pages / FETCH_PAGES_FIRST), FETCH_WINDOW * donors);
  const left = Math.max(0, pages - first * FETCH_PAGES_FIRST);
  const chunk = Math.min(PAGES_PER_FETCH_MAX, Math.floor((STATE_CHUNK_BYTES_MAX * pages) / Math.max(1, pageBytes)));
  const staged = first + Math.ceil(left / chunk);
  const ofPages = { messages: 2 * staged, bytes: staged * (HEADER + 15 + HEADER + 10) + pages * (4 + 16) + pageBytes };
  const sumOf = (costs: readonly Pick<Cost, "messages" | "bytes">[]): Pick<Cost, "messages" | "bytes"> => ({ messages: sum(costs.map((c) => c.messages)), bytes: sum(costs.map((c) => c.bytes)) });
  return {
    header, nodes: sumOf(levels), pages: ofPages, total: sumOf([header, ...levels, ofPages]), delays: 2 * (1 + levels.length + (left > 0 ? 2 : 1)), staged,
  };
}

/** Largest n that may use a log window of `window` slots (the cluster file of a larger one is refused). */
export function replicasForWindow(window: number): number {
  let n = 1;
  while (n < REPLICAS_MAX && logWindowMax(quorums(n + 1)) >= window) n++;
  return n;
}

// ── the other engines ────────────────────────────────────────────────────────────────────────────────────────────

export interface EngineForm {
  readonly name: string;
  readonly formula: string;
  readonly messages: (n: number) => number;
  /** Signatures made per batch. */
  readonly signatures: string;
  readonly delays: string;
  readonly faults: "Byzantine" | "crash";
}

/** Point-to-point messages between replicas per decided batch, one leader, no faults. Closed forms, not measured. */
export const ENGINES: readonly EngineForm[] = [
  { name: "PBFT", formula: "2n(n−1)", messages: (n) => 2 * n * (n - 1), signatures: "2n", delays: "5", faults: "Byzantine" },
  { name: "Tendermint", formula: "(n−1)(2n+1)", messages: (n) => (n - 1) * (2 * n + 1), signatures: "2n+1", delays: "5", faults: "Byzantine" },
  { name: "Linear PBFT", formula: "5(n−1)", messages: (n) => 5 * (n - 1), signatures: "1 + 2n BLS", delays: "7", faults: "Byzantine" },
  { name: "SBFT fast path", formula: "3(n−1), +2(n−1) with execution proofs", messages: (n) => 3 * (n - 1), signatures: "n BLS (+n, +n)", delays: "5 (6)", faults: "Byzantine" },
  { name: "HotStuff basic", formula: "8(n−1)", messages: (n) => 8 * (n - 1), signatures: "3n+1", delays: "9", faults: "Byzantine" },
  { name: "HotStuff chained", formula: "2(n−1)", messages: (n) => 2 * (n - 1), signatures: "n+1", delays: "9", faults: "Byzantine" },
  { name: "ZAB", formula: "3(n−1)", messages: (n) => 3 * (n - 1), signatures: "0", delays: "4", faults: "crash" },
  { name: "Raft", formula: "2(n−1)", messages: (n) => 2 * (n - 1), signatures: "0", delays: "4", faults: "crash" },
  { name: "Multi-Paxos", formula: "3(n−1) with learn", messages: (n) => 3 * (n - 1), signatures: "0", delays: "4", faults: "crash" },
];
