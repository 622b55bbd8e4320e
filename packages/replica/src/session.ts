/**
 * One client's session: which request ids are executed, and which bundles' results are still kept. Part of the replicated
 * state, so exactly-once survives restart, view change and state transfer.
 *
 * Invariants: every id ≤ low is done (executed, or given up by the client); ids in (low, low + window] may be executed,
 * in any order; ackLow ≤ low; low ≤ highest ≤ low + window; `kept` ascends by ridFirst.
 */
import { NarsesError } from "@narses/core";
import { SESSION_REPLY_BYTES_MAX } from "./limits.ts";
import { putVarint, varints } from "./varint.ts";

/** A bundle whose results are in the state, under its own key. */
export interface KeptReply {
  readonly ridFirst: number;
  /** Operations of the bundle. */
  readonly count: number;
  /** Encoded results, together. */
  readonly bytes: number;
}

export interface Session {
  readonly window: number;
  low: number;
  highest: number;
  ackLow: number;
  /** Bit `rid mod (8·length)` for rid in (low, low + window]. Undefined: none is set. */
  executed: Uint8Array | undefined;
  kept: KeptReply[];
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
export function acknowledge(session: Session, ackLow: number): readonly KeptReply[] {
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

/**
 * Adds a bundle to those kept, in place of an earlier one with the same first id. Returns the bundles that fall out: older
 * than a window below the highest id, or, oldest first, above the byte budget.
 */
export function keepReply(session: Session, reply: KeptReply): readonly KeptReply[] {
  const last = session.kept.at(-1);
  if (last === undefined || last.ridFirst < reply.ridFirst) session.kept.push(reply);
  else {
    const at = session.kept.findIndex((other) => other.ridFirst >= reply.ridFirst);
    session.kept.splice(at, session.kept[at]?.ridFirst === reply.ridFirst ? 1 : 0, reply);
  }
  let excess = -SESSION_REPLY_BYTES_MAX;
  for (const other of session.kept) excess += other.bytes;
  return dropKept(session, (other) => {
    if (other.ridFirst === reply.ridFirst) return false;
    const old = other.ridFirst + other.count - 1 <= session.highest - session.window;
    const drop = old || excess > 0;
    if (drop) excess -= other.bytes;
    return drop;
  });
}

const NONE: readonly KeptReply[] = [];

/** Makes new lists only from the first reply on that is dropped: mostly there is none, or it is the first. */
function dropKept(session: Session, drops: (reply: KeptReply) => boolean): readonly KeptReply[] {
  const all = session.kept;
  let dropped: KeptReply[] | undefined;
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

const VERSION = 2;

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
  const kept: KeptReply[] = [];
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
