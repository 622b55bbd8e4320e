/**
 * Frames between replicas. Signed messages, bundles and batches are frames as they are; the others wrap them:
 *
 *   PROPOSAL     header, PRE-PREPARE envelope, batch        (batch digest = signed digest)
 *   STATUS       header, view u64, active u8, stableSeq u64, executedSeq u64, count u16, slots, count u8, view changes
 *   FETCH_BATCH  header, digest 32
 *   DECISION     header, commit certificate, batch          (batch digest = certified digest; none for NULL_DIGEST)
 *   STABLE       header, stable checkpoint
 *
 * Those with bundles apart from their batch are in `compact.ts`, those of state transfer in `state.ts`, RECALL and RECALLED in `memory.ts`.
 */
import {
  assertNever, isStateMessage, NULL_DIGEST, STATUS_SLOTS_MAX, type PeerMessage, type PrePrepare, type Signed, type StateMessage, type Status,
} from "@narses/core";
import { readBatch, readBatchOf } from "./batch.ts";
import { readBundle } from "./bundle.ts";
import { readCommitCertificate, readStable, writeCommitCertificate, writeStable } from "./certificate.ts";
import { encodeCompact, readCompact, readFetchBundles, writeFetchBundles } from "./compact.ts";
import { checkSize, concat, readHeader, writeHeader, type Context } from "./context.ts";
import { PRE_PREPARE_BYTES } from "./limits.ts";
import { decoding, type Decoded } from "./malformed.ts";
import { readRecall, readRecalled, writeRecall, writeRecalled } from "./memory.ts";
import { Reader } from "./reader.ts";
import { readBlockPart, readFetchBlock, readFetchState, readStateGone, readStateHeader, readStateNodes, readStatePages, writeState } from "./state.ts";
import { TAG } from "./tags.ts";
import { readNewView, readViewChange } from "./view-change.ts";
import { readCheckpoint, readPrePrepare, readVotes } from "./votes.ts";
import type { Writer } from "./writer.ts";

// ── the unsigned frames ──────────────────────────────────────────────────────────────────────────────────────────

function writeStatus(w: Writer, status: Status): void {
  w.u64(status.view);
  w.flag(status.active);
  w.u64(status.stableSeq);
  w.u64(status.executedSeq);
  w.u16(status.slots.length);
  w.raw(status.slots);
  w.u8(status.viewChanges.length);
  w.raw(status.viewChanges);
}

/** The view-change bitmap is empty or covers all n replicas, with no bit beyond the last. */
function readViewChangeBits(r: Reader, c: Context): Uint8Array {
  const length = r.u8("status view changes count");
  const full = Math.ceil(c.replicas / 8);
  if (length !== 0 && length !== full) r.fail("status view changes count", `${length} bytes, must be 0 or ${full}`);
  const bits = r.take("status view changes", length);
  const last = bits[full - 1] ?? 0;
  if (last >>> (c.replicas - 8 * (full - 1)) !== 0) r.fail("status view changes", `has a bit above replica ${c.replicas - 1}`);
  return bits;
}

function readStatus(r: Reader, c: Context): Status {
  const view = r.view64("status view", 0);
  const active = r.flag("status active");
  const stableSeq = r.seq64("status stableSeq", 0);
  const executedSeq = r.seq64("status executedSeq", 0);
  const count = r.count("status slots count", r.u16("status slots count"), STATUS_SLOTS_MAX, 1);
  const slots = r.take("status slots", count);
  for (const bits of slots) if (bits > 7) r.fail("status slots", `${bits}, at most 7`);
  return { view, active, stableSeq, executedSeq, slots, viewChanges: readViewChangeBits(r, c) };
}

const readFetchBatch = (r: Reader): PeerMessage => ({ type: "fetch-batch", digest: r.digest("fetch-batch digest") });

function readProposal(r: Reader, c: Context): PeerMessage {
  const { body, bytes } = readPrePrepare(r, c);
  // a copy: certificates keep the envelope long after the batch around it is gone
  const signed: Signed<PrePrepare> = { body, bytes: bytes.slice() };
  return { type: "pre-prepare", signed, batch: readBatchOf(r, c, body.digest) };
}

function readDecision(r: Reader, c: Context): PeerMessage {
  const certificate = readCommitCertificate(r, c);
  const { digest } = certificate;
  return { type: "decision", certificate, batch: digest === NULL_DIGEST ? undefined : readBatchOf(r, c, digest) };
}

// ── encoding ─────────────────────────────────────────────────────────────────────────────────────────────────────

type WrappedMessage = Extract<PeerMessage, { type: "pre-prepare" | "status" | "fetch-batch" | "fetch-bundles" | "decision" | "stable" | "recall" | "recalled" }>;

/** Everything but the batch at the end. */
function writeWrapped(w: Writer, c: Context, m: WrappedMessage): void {
  switch (m.type) {
    case "pre-prepare":
      writeHeader(w, TAG.PROPOSAL, c.epoch);
      return w.fixed("a pre-prepare", m.signed.bytes, PRE_PREPARE_BYTES);
    case "status":
      writeHeader(w, TAG.STATUS, c.epoch);
      return writeStatus(w, m.status);
    case "fetch-batch":
      writeHeader(w, TAG.FETCH_BATCH, c.epoch);
      return w.digest(m.digest);
    case "fetch-bundles":
      writeHeader(w, TAG.FETCH_BUNDLES, c.epoch);
      return writeFetchBundles(w, m);
    case "decision":
      writeHeader(w, TAG.DECISION, c.epoch);
      return writeCommitCertificate(w, m.certificate);
    case "stable":
      writeHeader(w, TAG.STABLE, c.epoch);
      return writeStable(w, m.stable);
    case "recall":
      writeHeader(w, TAG.RECALL, c.epoch);
      return writeRecall(w, m);
    case "recalled":
      writeHeader(w, TAG.RECALLED, c.epoch);
      return writeRecalled(w, m.recalled);
    default:
      return assertNever(m);
  }
}

/** The frame of a message. For what is a frame already this is the message's own `bytes`, not a copy: do not change it. */
export function encodePeer(c: Context, m: PeerMessage | StateMessage): Uint8Array {
  if (isStateMessage(m)) {
    const w = c.writer.begin();
    writeState(w, c, m);
    return w.finish();
  }
  switch (m.type) {
    case "votes":
    case "checkpoint":
    case "view-change":
    case "new-view":
      return m.signed.bytes;
    case "forward":
      return m.bundle.bytes;
    case "batch":
      return m.batch.bytes;
    case "compact-pre-prepare":
      return encodeCompact(c, m);
    default: {
      const w = c.writer.begin();
      writeWrapped(w, c, m);
      const head = w.finish();
      return "batch" in m && m.batch !== undefined ? concat([head, m.batch.bytes]) : head;
    }
  }
}

// ── decoding ─────────────────────────────────────────────────────────────────────────────────────────────────────

interface FrameKind {
  readonly what: string;
  readonly bytesMax: number;
  readonly read: (r: Reader, c: Context) => PeerMessage | StateMessage;
}

/** A frame kind that starts with a header of its own tag. */
const wrapped =
  (tag: number, what: string, read: FrameKind["read"]): FrameKind["read"] =>
  (r, c) => {
    readHeader(r, c, tag, what);
    return read(r, c);
  };

export type PeerFrames = ReadonlyMap<number, FrameKind>;

/** One row per frame a replica accepts from another. */
export function peerFrames({ limits }: Context): PeerFrames {
  const kinds: readonly (readonly [tag: number, what: string, bytesMax: number, read: FrameKind["read"]])[] = [
    [TAG.PROPOSAL, "pre-prepare", limits.prePrepare, wrapped(TAG.PROPOSAL, "pre-prepare", readProposal)],
    [TAG.COMPACT_PROPOSAL, "compact pre-prepare", limits.prePrepare, wrapped(TAG.COMPACT_PROPOSAL, "compact pre-prepare", readCompact)],
    [TAG.VOTES, "votes", limits.votes, (r, c) => ({ type: "votes", signed: readVotes(r, c) })],
    [TAG.CHECKPOINT, "checkpoint", limits.checkpoint, (r, c) => ({ type: "checkpoint", signed: readCheckpoint(r, c) })],
    [TAG.VIEW_CHANGE, "view-change", limits.viewChange, (r, c) => ({ type: "view-change", signed: readViewChange(r, c) })],
    [TAG.NEW_VIEW, "new-view", limits.newView, (r, c) => ({ type: "new-view", signed: readNewView(r, c) })],
    [TAG.STATUS, "status", limits.status, wrapped(TAG.STATUS, "status", (r, c) => ({ type: "status", status: readStatus(r, c) }))],
    [TAG.BUNDLE, "forward", limits.bundle, (r, c) => ({ type: "forward", bundle: readBundle(r, c) })],
    [TAG.FETCH_BATCH, "fetch-batch", limits.fetchBatch, wrapped(TAG.FETCH_BATCH, "fetch-batch", readFetchBatch)],
    [TAG.FETCH_BUNDLES, "fetch-bundles", limits.fetchBundles, wrapped(TAG.FETCH_BUNDLES, "fetch-bundles", readFetchBundles)],
    [TAG.BATCH, "batch", limits.batch, (r, c) => ({ type: "batch", batch: readBatch(r, c) })],
    [TAG.DECISION, "decision", limits.decision, wrapped(TAG.DECISION, "decision", readDecision)],
    [TAG.STABLE, "stable", limits.stable, wrapped(TAG.STABLE, "stable", (r, c) => ({ type: "stable", stable: readStable(r, c) }))],
    [TAG.RECALL, "recall", limits.recall, wrapped(TAG.RECALL, "recall", readRecall)],
    [TAG.RECALLED, "recalled", limits.recalled, wrapped(TAG.RECALLED, "recalled", readRecalled)],
    [TAG.FETCH_STATE, "fetch-state", limits.fetchState, wrapped(TAG.FETCH_STATE, "fetch-state", readFetchState)],
    [TAG.STATE_HEADER, "state-header", limits.stateHeader, wrapped(TAG.STATE_HEADER, "state-header", readStateHeader)],
    [TAG.STATE_NODES, "state-nodes", limits.stateNodes, wrapped(TAG.STATE_NODES, "state-nodes", readStateNodes)],
    [TAG.STATE_PAGES, "state-pages", limits.statePages, wrapped(TAG.STATE_PAGES, "state-pages", readStatePages)],
    [TAG.STATE_GONE, "state-gone", limits.stateGone, wrapped(TAG.STATE_GONE, "state-gone", readStateGone)],
    [TAG.FETCH_BLOCK, "fetch-block", limits.fetchBlock, wrapped(TAG.FETCH_BLOCK, "fetch-block", readFetchBlock)],
    [TAG.BLOCK_PART, "block-part", limits.blockPart, wrapped(TAG.BLOCK_PART, "block-part", readBlockPart)],
  ];
  return new Map(kinds.map(([tag, what, bytesMax, read]) => [tag, { what, bytesMax, read }]));
}

const frameCode = { [TAG.BUNDLE]: "REQUEST_INVALID", [TAG.BATCH]: "BATCH_INVALID" } as const;

/** Structure, ranges, canonical form and digests; no signature and no protocol rule is judged here. */
export function decodePeer(c: Context, frames: PeerFrames, frame: Uint8Array): Decoded<PeerMessage | StateMessage> {
  return decoding(() => {
    const tag = frame[1] ?? 0;
    const r: Reader = new Reader(frame, frameCode[tag as keyof typeof frameCode]);
    const kind = frames.get(tag);
    if (kind === undefined) r.fail("peer frame", `type tag ${tag} of ${frame.length} bytes is not one between replicas`);
    checkSize(r, kind.what, kind.bytesMax, "FRAME_TOO_LARGE");
    const message = kind.read(r, c);
    r.finish(kind.what);
    return message;
  });
}
