/**
 * One client's session: which request ids are executed, and which bundles' results are still kept. Part of the replicated
 * state, so exactly-once survives restart, view change and state transfer.
 *
 * Invariants: every id ≤ low is done (executed, or given up by the client); ids in (low, low + window] may be executed,
 * in any order; ackLow ≤ low; low ≤ highest ≤ low + window; `kept` ascends by ridFirst.
 */
import { NarsesError } from "@narses/core";
import { REPLY_RECORD_BYTES_MAX, SESSION_REPLY_BYTES_MAX } from "./limits.ts";
import { putVarint, varints } from "./varint.ts";

/** Bundles that follow one another, whose results are in the state as one record, under the id of the first. */
export interface KeptReplies {
  readonly ridFirst: number;
  /** Operations of these bundles. */
  readonly count: number;
  /** Of the record. */
  readonly bytes: number;
}

export interface Session {
  readonly window: number;
  low: number;
  highest: number;
  ackLow: number;
  /** Bit `rid mod (8·length)` for rid in (low, low + window]. Undefined: none is set. */
  executed: Uint8Array | undefined;
  kept: KeptReplies[];
  /** Its place in the table of sessions. */
  position: number;
  /** The slot that changed it last, and which bundle of the batch. No two sessions have the same pair: the least is the one unused for longest. */
  active: { readonly seq: number; readonly place: number };
}

export const newSession = (window: number): Session =>
  ({ window, low: 0, highest: 0, ackLow: 0, executed: undefined, kept: [], position: 0, active: { seq: 0, place: 0 } });

const ringBytes = (window: number): number => Math.ceil(window / 8);

function bit(session: Session, rid: number): boolean {
  const ring = session.executed;
  if (ring === undefined) return false;
  const at = rid % (8 * ring.length);
  return ((ring[at >> 3] ?? 0) & (1 << (at & 7))) !== 0;
}

function setBit(session: Session, rid: number, value: boolean): void {
  const ring = (session.executed ??= new Uint8Array(ringBytes(session.window)));
  const at = rid % (8 * ring.length);
  const mask = 1 << (at & 7);
  ring[at >> 3] = value ? (ring[at >> 3] ?? 0) | mask : (ring[at >> 3] ?? 0) & ~mask;
}

export type RidState = "new" | "executed" | "out-of-window";

export function ridState(session: Session, rid: number): RidState {
  if (rid <= session.low) return "executed";
  if (rid > session.low + session.window || rid > Number.MAX_SAFE_INTEGER) return "out-of-window";
  return bit(session, rid) ? "executed" : "new";
}

/** Whether all ids of a bundle are done. */
export function allExecuted(session: Session, ridFirst: number, count: number): boolean {
  for (let i = 0; i < count; i++) if (ridState(session, ridFirst + i) !== "executed") return false;
  return true;
}

/** Marks a new id as executed and moves `low` over what is contiguous. */
export function markExecuted(session: Session, rid: number): void {
  session.highest = Math.max(session.highest, rid);
  if (rid !== session.low + 1) return setBit(session, rid, true);
  session.low = rid;
  closeGap(session);
}

function closeGap(session: Session): void {
  while (bit(session, session.low + 1)) {
    setBit(session, session.low + 1, false);
    session.low++;
  }
}

/**
 * The client waits for no reply up to and including `ackLow`, and will never use such an id again: a gap below it (ids of
 * an earlier process of the same key) is closed. Returns the bundles whose results can go.
 */
export function acknowledge(session: Session, ackLow: number): readonly KeptReplies[] {
  if (ackLow > session.low) {
    const cleared = Math.min(ackLow, session.low + session.window);
    if (session.executed !== undefined) for (let rid = session.low + 1; rid <= cleared; rid++) setBit(session, rid, false);
    session.low = ackLow;
    session.highest = Math.max(session.highest, ackLow);
    closeGap(session);
  }
  session.ackLow = Math.max(session.ackLow, ackLow);
  return dropKept(session, (reply) => reply.ridFirst + reply.count - 1 <= session.ackLow);
}

export interface Keeping {
  /** Under which the record of the bundle's results is: its own first id, or that of the record it was added to. */
  readonly ridFirst: number;
  /** Records that fall out: older than a window below the highest id, or, oldest first, above the byte budget. */
  readonly dropped: readonly KeptReplies[];
}

/**
 * Adds a bundle to those kept. One that follows the newest is added to its record while that is small: a client that pipelines then has
 * a record or two written in a slot, not one a bundle, and as many pages hashed. Else it has a record of its own, in place of an earlier
 * one with the same first id.
 */
export function keepReply(session: Session, reply: KeptReplies): Keeping {
  const ridFirst = place(session.kept, reply);
  let excess = -SESSION_REPLY_BYTES_MAX;
  for (const other of session.kept) excess += other.bytes;
  const dropped = dropKept(session, (other) => {
    if (other.ridFirst === ridFirst) return false;
    const old = other.ridFirst + other.count - 1 <= session.highest - session.window;
    const drop = old || excess > 0;
    if (drop) excess -= other.bytes;
    return drop;
  });
  return { ridFirst, dropped };
}

function place(kept: KeptReplies[], reply: KeptReplies): number {
  const last = kept.at(-1);
  if (last === undefined || last.ridFirst < reply.ridFirst) {
    const follows = last !== undefined && last.ridFirst + last.count === reply.ridFirst && last.bytes + reply.bytes <= REPLY_RECORD_BYTES_MAX;
    if (!follows) return kept.push(reply), reply.ridFirst;
    kept[kept.length - 1] = { ridFirst: last.ridFirst, count: last.count + reply.count, bytes: last.bytes + reply.bytes };
    return last.ridFirst;
  }
  const at = kept.findIndex((other) => other.ridFirst >= reply.ridFirst);
  kept.splice(at, kept[at]?.ridFirst === reply.ridFirst ? 1 : 0, reply);
  return reply.ridFirst;
}

/** The record that has the results of a bundle with this first id has `bytes` more. */
export function growRecord({ kept }: Session, ridFirst: number, bytes: number): void {
  const at = kept.findLastIndex((other) => other.ridFirst <= ridFirst);
  const record = kept[at];
  if (record !== undefined) kept[at] = { ...record, bytes: record.bytes + bytes };
}

/** The record that can hold the results of a bundle with this first id. */
export function keptRecord({ kept }: Session, ridFirst: number): KeptReplies | undefined {
  const record = kept.findLast((other) => other.ridFirst <= ridFirst);
  return record !== undefined && ridFirst < record.ridFirst + record.count ? record : undefined;
}

const NONE: readonly KeptReplies[] = [];

/** Makes new lists only from the first reply on that is dropped: mostly there is none, or it is the first. */
function dropKept(session: Session, drops: (reply: KeptReplies) => boolean): readonly KeptReplies[] {
  const all = session.kept;
  let dropped: KeptReplies[] | undefined;
  let kept = all;
  for (let i = 0; i < all.length; i++) {
    const reply = all[i];
    if (reply === undefined) break;
    if (drops(reply)) {
      if (dropped === undefined) {
        dropped = [];
        kept = all.slice(0, i);
      }
      dropped.push(reply);
    } else if (dropped !== undefined) kept.push(reply);
  }
  session.kept = kept;
  return dropped ?? NONE;
}

// ── bytes in the state: version, then unsigned LEB128 integers, then the ring ────────────────────────────────────

const VERSION = 3;

/** Bytes of an integer, at most. */
const VARINT_BYTES_MAX = 8;
let scratch = new Uint8Array(1 << 10);

/** Canonical: equal sessions give equal bytes. */
export function encodeSession(session: Session): Uint8Array {
  const { low, highest, ackLow, position, active, kept } = session;
  const ring = session.executed?.some((byte) => byte !== 0) === true ? session.executed : NO_RING;
  const bytesMax = 1 + (7 + 3 * kept.length) * VARINT_BYTES_MAX + ring.length;
  if (scratch.length < bytesMax) scratch = new Uint8Array(2 * bytesMax);
  scratch[0] = VERSION;
  let at = putVarint(scratch, 1, low);
  at = putVarint(scratch, at, highest - low);
  at = putVarint(scratch, at, low - ackLow);
  at = putVarint(scratch, at, position);
  at = putVarint(scratch, at, active.seq);
  at = putVarint(scratch, at, active.place);
  at = putVarint(scratch, at, kept.length);
  let previous = 0;
  for (const { ridFirst, count, bytes } of kept) {
    at = putVarint(scratch, at, ridFirst - previous);
    at = putVarint(scratch, at, count);
    at = putVarint(scratch, at, bytes);
    previous = ridFirst;
  }
  scratch.set(ring, at);
  return scratch.slice(0, at + ring.length);
}

const NO_RING = new Uint8Array(0);

/** @throws NarsesError DATA_CORRUPT: the bytes come from the own state, which only {@link encodeSession} fills. */
export function decodeSession(bytes: Uint8Array, window: number): Session {
  if (bytes[0] !== VERSION) throw corrupt();
  const { next, at } = varints(bytes, 1, corrupt);
  const low = next();
  const highest = low + next();
  const ackLow = low - next();
  const position = next();
  const active = { seq: next(), place: next() };
  const kept: KeptReplies[] = [];
  let previous = 0;
  for (let left = next(); left > 0; left--) {
    const ridFirst = previous + next();
    kept.push({ ridFirst, count: next(), bytes: next() });
    previous = ridFirst;
  }
  const ring = bytes.slice(at());
  if (ring.length !== 0 && ring.length !== ringBytes(window)) throw corrupt();
  return { window, low, highest, ackLow, executed: ring.length === 0 ? undefined : ring, kept, position, active };
}

const corrupt = (): NarsesError =>
  new NarsesError("DATA_CORRUPT", "a session record of the replicated state cannot be decoded; restore the data directory from another replica");
