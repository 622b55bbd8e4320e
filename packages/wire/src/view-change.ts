/**
 * VIEW-CHANGE and NEW-VIEW. A NEW-VIEW holds the view changes and pre-prepares as the signed envelopes they are, so that
 * whoever reads it can check every signature on the bytes that were signed.
 */
import type { NewView, PrePrepare, ReplicaId, Signed, ViewChange } from "@narses/core";
import { readPreparedList, readStable, writePreparedList, writeStable } from "./certificate.ts";
import type { Context } from "./context.ts";
import { readEnvelope, writeReplicaHeader } from "./envelope.ts";
import { PRE_PREPARE_BYTES, REPLICA_HEADER_BYTES, SIGNATURE_BYTES } from "./limits.ts";
import type { Reader } from "./reader.ts";
import { TAG } from "./tags.ts";
import { readPrePrepare } from "./votes.ts";
import type { Writer } from "./writer.ts";

/** Header, view, genesis checkpoint, empty table, no certificate, signature. */
const VIEW_CHANGE_BYTES_MIN: number = REPLICA_HEADER_BYTES + 8 + 42 + 4 + 4 + SIGNATURE_BYTES;

/** view u64, stable checkpoint, prepared certificates with their frame table. */
export function writeViewChange(w: Writer, m: ViewChange): void {
  writeReplicaHeader(w, TAG.VIEW_CHANGE, m);
  w.u64(m.view);
  writeStable(w, m.stable);
  writePreparedList(w, m.prepared);
}

function viewChangeBody(r: Reader, c: Context, sender: ReplicaId): ViewChange {
  const view = r.view64("view-change view", 1);
  const stable = readStable(r, c);
  return { type: "view-change", epoch: c.epoch, sender, view, stable, prepared: readPreparedList(r, c) };
}

export const readViewChange = (r: Reader, c: Context): Signed<ViewChange> => readEnvelope(r, c, TAG.VIEW_CHANGE, "view-change", viewChangeBody);

/** count u16, VIEW-CHANGE envelopes. */
export function writeViewChangeList(w: Writer, list: readonly Signed<ViewChange>[]): void {
  w.u16(list.length);
  for (const signed of list) w.raw(signed.bytes);
}

/** At most n, strictly ascending by sender. */
export function readViewChangeList(r: Reader, c: Context): Signed<ViewChange>[] {
  const count = r.count("view changes count", r.u16("view changes count"), c.replicas, VIEW_CHANGE_BYTES_MIN);
  const list: Signed<ViewChange>[] = [];
  let last = -1;
  for (let i = 0; i < count; i++) {
    const signed = readViewChange(r, c);
    if (signed.body.sender <= last) r.fail("view changes", `sender ${signed.body.sender} after ${last}, must ascend`);
    last = signed.body.sender;
    list.push(signed);
  }
  return list;
}

/** view u64, view changes, count u32, PRE-PREPARE envelopes. */
export function writeNewView(w: Writer, m: NewView): void {
  writeReplicaHeader(w, TAG.NEW_VIEW, m);
  w.u64(m.view);
  writeViewChangeList(w, m.viewChanges);
  w.u32(m.prePrepares.length);
  for (const signed of m.prePrepares) w.raw(signed.bytes);
}

function newViewBody(r: Reader, c: Context, sender: ReplicaId): NewView {
  const view = r.view64("new-view view", 1);
  const viewChanges = readViewChangeList(r, c);
  const count = r.count("new-view pre-prepares count", r.u32("new-view pre-prepares count"), c.parameters.logWindow, PRE_PREPARE_BYTES);
  const prePrepares: Signed<PrePrepare>[] = [];
  let last = 0;
  for (let i = 0; i < count; i++) {
    const signed = readPrePrepare(r, c);
    const seq = signed.body.seq;
    if (seq <= last) r.fail("new-view pre-prepares", `seq ${seq} after ${last}, must ascend`);
    last = seq;
    prePrepares.push(signed);
  }
  return { type: "new-view", epoch: c.epoch, sender, view, viewChanges, prePrepares };
}

export const readNewView = (r: Reader, c: Context): Signed<NewView> => readEnvelope(r, c, TAG.NEW_VIEW, "new-view", newViewBody);
