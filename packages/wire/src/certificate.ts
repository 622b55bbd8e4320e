/**
 * Certificates. A certificate names each of its votes as (frame, index), and one frame of many votes usually serves many
 * certificates, so every message that holds certificates starts with a table of the distinct frames, in the order in
 * which the certificates first use them:
 *
 *   table:       count u32, the envelopes one after the other
 *   reference:   frame u32, index u8
 *
 * That order, and the rules that every frame is used and none is there twice, make the encoding canonical.
 */
import type { CommitCertificate, PreparedCertificate, Signed, StableCheckpoint, VoteRef, Votes } from "@narses/core";
import type { Context } from "./context.ts";
import { CHECKPOINT_BYTES, PRE_PREPARE_BYTES, REPLICA_HEADER_BYTES, VOTE_REF_BYTES, votesBytes } from "./limits.ts";
import { hexOf } from "./host.ts";
import type { Reader } from "./reader.ts";
import { readCheckpoint, readPrePrepare, readVotes } from "./votes.ts";
import type { Writer } from "./writer.ts";

// ── the frame table ──────────────────────────────────────────────────────────────────────────────────────────────

type FrameIndex = ReadonlyMap<Signed<Votes>, number>;

/** Numbers the distinct frames in order of first use; frames with the same bytes are one. */
function writeFrameTable(w: Writer, lists: readonly (readonly VoteRef[])[]): FrameIndex {
  const index = new Map<Signed<Votes>, number>();
  const byContent = new Map<string, number>();
  const distinct: Uint8Array[] = [];
  for (const refs of lists) {
    for (const { frame } of refs) {
      if (index.has(frame)) continue;
      const content = hexOf(frame.bytes)(0, frame.bytes.length);
      let at = byContent.get(content);
      if (at === undefined) {
        at = distinct.push(frame.bytes) - 1;
        byContent.set(content, at);
      }
      index.set(frame, at);
    }
  }
  w.u32(distinct.length);
  for (const bytes of distinct) w.raw(bytes);
  return index;
}

interface FrameTable {
  readonly frames: readonly Signed<Votes>[];
  /** Frames referred to so far: the next new one must be this one. */
  used: number;
}

function readFrame(r: Reader, c: Context): Signed<Votes> {
  // the vote count gives the length, so that a frame met before is found by its bytes alone
  const length = votesBytes(r.bytes[r.position + REPLICA_HEADER_BYTES] ?? 0);
  if (length > r.remaining) return readVotes(r, c);
  const content = r.hex(r.position, r.position + length);
  const known = r.frames.get(content);
  if (known !== undefined) {
    r.take("frame table", length);
    return known;
  }
  const frame = readVotes(r, c);
  r.frames.set(content, frame);
  return frame;
}

function readFrameTable(r: Reader, c: Context, certificatesMax: number): FrameTable {
  const count = r.count("frame table count", r.u32("frame table count"), certificatesMax * c.replicas, votesBytes(1));
  const frames: Signed<Votes>[] = [];
  const distinct = new Set<Signed<Votes>>();
  for (let i = 0; i < count; i++) {
    const frame = readFrame(r, c);
    if (distinct.has(frame)) r.fail("frame table", `frame ${i} is there twice`);
    distinct.add(frame);
    frames.push(frame);
  }
  return { frames, used: 0 };
}

function finishFrameTable(r: Reader, table: FrameTable): void {
  if (table.used !== table.frames.length) r.fail("frame table", `frame ${table.used} of ${table.frames.length} is used by no certificate`);
}

/** count u16, references. */
function writeRefs(w: Writer, refs: readonly VoteRef[], index: FrameIndex): void {
  w.u16(refs.length);
  for (const { frame, index: vote } of refs) {
    w.u32(index.get(frame) ?? -1);
    w.u8(vote);
  }
}

function readRefs(r: Reader, c: Context, table: FrameTable): VoteRef[] {
  const count = r.count("certificate votes count", r.u16("certificate votes count"), c.replicas, VOTE_REF_BYTES);
  const refs: VoteRef[] = [];
  for (let i = 0; i < count; i++) {
    const at = r.u32("vote reference frame");
    const frame = table.frames[at];
    if (frame === undefined) r.fail("vote reference frame", `${at}, the table has ${table.frames.length}`);
    if (at > table.used) r.fail("vote reference frame", `${at} before ${table.used}: frames are numbered in order of first use`);
    if (at === table.used) table.used += 1;
    const index = r.u8("vote reference index");
    if (index >= frame.body.votes.length) r.fail("vote reference index", `${index}, the frame has ${frame.body.votes.length} votes`);
    refs.push({ frame, index });
  }
  return refs;
}

// ── prepared and commit certificates ─────────────────────────────────────────────────────────────────────────────

/** frame table, count u32, then per certificate: PRE-PREPARE envelope, references. */
export function writePreparedList(w: Writer, list: readonly PreparedCertificate[]): void {
  const index = writeFrameTable(w, list.map((p) => p.prepares));
  w.u32(list.length);
  for (const certificate of list) {
    w.raw(certificate.prePrepare.bytes);
    writeRefs(w, certificate.prepares, index);
  }
}

/** At most L, strictly ascending by sequence number. Whether each proves anything is the engine's question. */
export function readPreparedList(r: Reader, c: Context): PreparedCertificate[] {
  const table = readFrameTable(r, c, c.parameters.logWindow);
  const count = r.count("prepared count", r.u32("prepared count"), c.parameters.logWindow, PRE_PREPARE_BYTES + 2);
  const list: PreparedCertificate[] = [];
  let last = 0;
  for (let i = 0; i < count; i++) {
    const prePrepare = readPrePrepare(r, c);
    const seq = prePrepare.body.seq;
    if (seq <= last) r.fail("prepared seq", `${seq} after ${last}, must ascend`);
    last = seq;
    list.push({ prePrepare, prepares: readRefs(r, c, table) });
  }
  finishFrameTable(r, table);
  return list;
}

/** frame table, PRE-PREPARE envelope, references. */
export function writePrepared(w: Writer, certificate: PreparedCertificate): void {
  const index = writeFrameTable(w, [certificate.prepares]);
  w.raw(certificate.prePrepare.bytes);
  writeRefs(w, certificate.prepares, index);
}

export function readPrepared(r: Reader, c: Context): PreparedCertificate {
  const table = readFrameTable(r, c, 1);
  const certificate = { prePrepare: readPrePrepare(r, c), prepares: readRefs(r, c, table) };
  finishFrameTable(r, table);
  return certificate;
}

/** view u64, seq u64, digest 32, frame table, references. */
export function writeCommitCertificate(w: Writer, certificate: CommitCertificate): void {
  w.u64(certificate.view);
  w.u64(certificate.seq);
  w.digest(certificate.digest);
  writeRefs(w, certificate.commits, writeFrameTable(w, [certificate.commits]));
}

export function readCommitCertificate(r: Reader, c: Context): CommitCertificate {
  const view = r.view64("commit certificate view", 0);
  const seq = r.seq64("commit certificate seq", 1);
  const digest = r.digest("commit certificate digest");
  const table = readFrameTable(r, c, 1);
  const commits = readRefs(r, c, table);
  finishFrameTable(r, table);
  return { view, seq, digest, commits };
}

// ── stable checkpoint ────────────────────────────────────────────────────────────────────────────────────────────

/** seq u64, root 32, count u16, CHECKPOINT envelopes. */
export function writeStable(w: Writer, stable: StableCheckpoint): void {
  w.u64(stable.seq);
  w.digest(stable.root);
  w.u16(stable.proof.length);
  for (const checkpoint of stable.proof) w.raw(checkpoint.bytes);
}

/** The proof is empty at genesis (seq 0), and only there. */
export function readStable(r: Reader, c: Context): StableCheckpoint {
  const seq = r.seq64("stable seq", 0);
  const root = r.digest("stable root");
  const count = r.count("stable proof count", r.u16("stable proof count"), c.replicas, CHECKPOINT_BYTES);
  if ((count === 0) !== (seq === 0)) r.fail("stable proof count", `${count} at seq ${seq}: empty at genesis (seq 0) only`);
  const proof = [];
  for (let i = 0; i < count; i++) proof.push(readCheckpoint(r, c));
  return { seq, root, proof };
}
