/**
 * Vote log records: [version u8][tag u8][epoch u32], then
 *
 *   PRE_PREPARED  view u64, seq u64, digest 32, signed? u8, batch? u8, (PRE-PREPARE envelope), (batch)
 *   PREPARED      prepared certificate
 *   COMMITTED     commit certificate, batch? u8, (batch)
 *   VIEW_LEFT     view u64, stable checkpoint, prepared certificates
 *   NEW_VIEW      view u64, contents u8, (view changes), (NEW-VIEW envelope)
 *   STABLE        stable checkpoint
 *   VOUCHED       seq u64, root 32
 *   AMNESIA       view? u8, (view u64), floor? u8, (view u64, seq u64)
 *
 * A batch has the digest it is filed under. Certificates carry their frames, so that a record is read without others.
 */
import { assertNever, bytesEqual, type Batch, type Digest, type LogRecord, type Signed, type ViewChange } from "@narses/core";
import { readBatchOf } from "./batch.ts";
import {
  readCommitCertificate,
  readPrepared,
  readPreparedList,
  readStable,
  writeCommitCertificate,
  writePrepared,
  writePreparedList,
  writeStable,
} from "./certificate.ts";
import { writeHeader, type Context } from "./context.ts";
import type { Reader } from "./reader.ts";
import { readStored } from "./stored.ts";
import { RECORD_VERSION, TAG } from "./tags.ts";
import { readNewView, readViewChangeList, writeViewChangeList } from "./view-change.ts";
import { readPrePrepare } from "./votes.ts";
import type { Writer } from "./writer.ts";

type RecordOf<T extends LogRecord["type"]> = Extract<LogRecord, { type: T }>;

/** What a NEW_VIEW record holds. A signed NEW-VIEW contains its view changes, which are then not written twice. */
const NEW_VIEW_CHANGES = 0;
const NEW_VIEW_SIGNED = 1;
const NEW_VIEW_BOTH = 2;

const sameList = (a: readonly Signed<ViewChange>[], b: readonly Signed<ViewChange>[]): boolean =>
  a.length === b.length && a.every((signed, i) => bytesEqual(signed.bytes, b[i]?.bytes ?? new Uint8Array()));

// ── encoding ─────────────────────────────────────────────────────────────────────────────────────────────────────

function writePrePrepared(w: Writer, record: RecordOf<"pre-prepared">): void {
  w.u64(record.view);
  w.u64(record.seq);
  w.digest(record.digest);
  w.flag(record.signed !== undefined);
  w.flag(record.batch !== undefined);
  if (record.signed !== undefined) w.raw(record.signed.bytes);
  if (record.batch !== undefined) w.raw(record.batch.bytes);
}

function writeNewViewRecord(w: Writer, record: RecordOf<"new-view">): void {
  const { signed, viewChanges } = record;
  w.u64(record.view);
  if (signed === undefined) {
    w.u8(NEW_VIEW_CHANGES);
    return writeViewChangeList(w, viewChanges);
  }
  const same = sameList(viewChanges, signed.body.viewChanges);
  w.u8(same ? NEW_VIEW_SIGNED : NEW_VIEW_BOTH);
  if (!same) writeViewChangeList(w, viewChanges);
  w.raw(signed.bytes);
}

function writeAmnesia(w: Writer, { view, floor }: RecordOf<"amnesia">): void {
  w.flag(view !== undefined);
  if (view !== undefined) w.u64(view);
  w.flag(floor !== undefined);
  if (floor === undefined) return;
  w.u64(floor.view);
  w.u64(floor.seq);
}

export function encodeRecord(c: Context, record: LogRecord): Uint8Array {
  const w = c.writer.begin();
  const header = (tag: number): void => writeHeader(w, tag, c.epoch, RECORD_VERSION);
  switch (record.type) {
    case "pre-prepared":
      header(TAG.RECORD_PRE_PREPARED);
      writePrePrepared(w, record);
      break;
    case "prepared":
      header(TAG.RECORD_PREPARED);
      writePrepared(w, record.certificate);
      break;
    case "committed":
      header(TAG.RECORD_COMMITTED);
      writeCommitCertificate(w, record.certificate);
      w.flag(record.batch !== undefined);
      if (record.batch !== undefined) w.raw(record.batch.bytes);
      break;
    case "view-left":
      header(TAG.RECORD_VIEW_LEFT);
      w.u64(record.view);
      writeStable(w, record.stable);
      writePreparedList(w, record.prepared);
      break;
    case "new-view":
      header(TAG.RECORD_NEW_VIEW);
      writeNewViewRecord(w, record);
      break;
    case "stable":
      header(TAG.RECORD_STABLE);
      writeStable(w, record.stable);
      break;
    case "vouched":
      header(TAG.RECORD_VOUCHED);
      w.u64(record.seq);
      w.digest(record.root);
      break;
    case "amnesia":
      header(TAG.RECORD_AMNESIA);
      writeAmnesia(w, record);
      break;
    default:
      assertNever(record);
  }
  return w.finish();
}

// ── decoding ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** `{ batch }` when the flag says so: the property is absent otherwise. */
function readOptionalBatch(r: Reader, c: Context, present: boolean, digest: Digest): { batch?: Batch } {
  return present ? { batch: readBatchOf(r, c, digest) } : {};
}

function readPrePrepared(r: Reader, c: Context): LogRecord {
  const view = r.view64("record view", 0);
  const seq = r.seq64("record seq", 1);
  const digest = r.digest("record digest");
  const hasSigned = r.flag("record signed");
  const hasBatch = r.flag("record batch");
  const signed = hasSigned ? { signed: readPrePrepare(r, c) } : {};
  return { type: "pre-prepared", view, seq, digest, ...signed, ...readOptionalBatch(r, c, hasBatch, digest) };
}

function readCommitted(r: Reader, c: Context): LogRecord {
  const certificate = readCommitCertificate(r, c);
  return { type: "committed", certificate, ...readOptionalBatch(r, c, r.flag("record batch"), certificate.digest) };
}

function readNewViewRecord(r: Reader, c: Context): LogRecord {
  const view = r.view64("record view", 1);
  const contents = r.u8("record contents");
  switch (contents) {
    case NEW_VIEW_CHANGES:
      return { type: "new-view", view, viewChanges: readViewChangeList(r, c) };
    case NEW_VIEW_SIGNED: {
      const signed = readNewView(r, c);
      return { type: "new-view", view, viewChanges: signed.body.viewChanges, signed };
    }
    case NEW_VIEW_BOTH: {
      const viewChanges = readViewChangeList(r, c);
      const signed = readNewView(r, c);
      if (sameList(viewChanges, signed.body.viewChanges)) r.fail("record contents", "the view changes are written twice");
      return { type: "new-view", view, viewChanges, signed };
    }
    default:
      return r.fail("record contents", `${contents}, at most ${NEW_VIEW_BOTH}`);
  }
}

function readRecord(r: Reader, c: Context, tag: number): LogRecord {
  switch (tag) {
    case TAG.RECORD_PRE_PREPARED:
      return readPrePrepared(r, c);
    case TAG.RECORD_PREPARED:
      return { type: "prepared", certificate: readPrepared(r, c) };
    case TAG.RECORD_COMMITTED:
      return readCommitted(r, c);
    case TAG.RECORD_VIEW_LEFT: {
      const view = r.view64("record view", 1);
      const stable = readStable(r, c);
      return { type: "view-left", view, stable, prepared: readPreparedList(r, c) };
    }
    case TAG.RECORD_NEW_VIEW:
      return readNewViewRecord(r, c);
    case TAG.RECORD_STABLE:
      return { type: "stable", stable: readStable(r, c) };
    case TAG.RECORD_VOUCHED:
      return { type: "vouched", seq: r.seq64("record seq", 1), root: r.digest("record root") };
    case TAG.RECORD_AMNESIA: {
      const view = r.flag("record view known") ? r.view64("record view", 0) : undefined;
      const floor = r.flag("record floor known") ? { view: r.view64("record floor view", 0), seq: r.seq64("record floor seq", 1) } : undefined;
      return { type: "amnesia", view, floor };
    }
    default:
      return r.fail("record", `type tag ${tag} is not one of a record`);
  }
}

/** @throws NarsesError DATA_CORRUPT with `what` and `offset`; DATA_VERSION for another format version. */
export const decodeRecord = (c: Context, bytes: Uint8Array): LogRecord =>
  readStored(c, "vote log record", RECORD_VERSION, bytes, (r, tag) => readRecord(r, c, tag));
