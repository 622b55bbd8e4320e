/**
 * Reading the vote log back. Three endings are told apart:
 *
 * 1. Torn tail: from some record on nothing validates, or only records of the same unsynced stretch (a power cut may keep
 *    the second page of a write and lose the first). None of it was ever reported durable by a later record: dropped.
 * 2. Damage: a record does not validate although a later record, or the header of a later segment, says it was durable.
 *    Votes may be lost: DATA_CORRUPT.
 * 3. A segment is missing although the last cut does not make it obsolete: DATA_CORRUPT.
 */
import type { NarsesError } from "@narses/core";
import { isZero } from "../bytes.ts";
import { NO_VOTES, dataCorrupt } from "../errors.ts";
import type { FileSystem } from "../files/file-system.ts";
import { RECORD_HEADER_BYTES, RECORD_KIND, decodeCut, readRecord, recordBytes, type Cut, type RecordHeader } from "./record.ts";
import { SEGMENT_HEADER_BYTES, decodeHeader, listSegmentIds, segmentPath, type Segment } from "./segment.ts";

export interface RecoveredLog {
  /** Live segments, ascending; the last one is appended to. Empty for a new log. */
  readonly segments: readonly Segment[];
  /** Obsolete ones that a crash left behind. */
  readonly stale: readonly Segment[];
  /** Where the last segment goes on. */
  readonly offset: number;
  readonly nextLsn: number;
  /** Payloads: the base of the last cut, then every other live record in order of LSN. */
  readonly records: readonly Uint8Array[];
  /** The log was closed, not killed. */
  readonly clean: boolean;
}

interface Entry {
  readonly kind: RecordHeader["kind"];
  readonly lsn: number;
  readonly slot: number;
  readonly payload: Uint8Array;
}

interface Walk {
  nextLsn: number;
  /** Offset behind the last valid record of the segment read last. */
  stop: number;
  /** Highest LSN that some valid record or header calls durable. */
  durableLsn: number;
  clean: boolean;
  cut: Cut & { readonly lsn: number };
  entries: Entry[];
  /** Damage found so far; it counts unless a later cut makes its segment obsolete. */
  readonly damage: { readonly segment: number; readonly error: NarsesError }[];
}

const NO_CUT = { truncatedSlot: -1, baseLsn: 0, firstSegment: 1, lsn: 0 };

function noteDamage(walk: Walk, segment: Segment, offset: number, why: string): void {
  const lsn = walk.nextLsn;
  const what = `vote log ${segment.path} is damaged at byte ${offset}, from record ${lsn} on (${why})`;
  walk.damage.push({ segment: segment.id, error: dataCorrupt(what, NO_VOTES, { file: segment.path, offset, lsn }) });
}

/** @throws NarsesError DATA_CORRUPT naming file and offset, DATA_VERSION. */
export function recoverLog(files: FileSystem, directory: string): RecoveredLog {
  const ids = listSegmentIds(files.list(directory));
  const walk: Walk = { nextLsn: 1, stop: SEGMENT_HEADER_BYTES, durableLsn: 0, clean: false, cut: NO_CUT, entries: [], damage: [] };
  const segments: Segment[] = [];
  let tail: Tail | undefined;
  for (const id of ids) {
    const before = segments.at(-1);
    if (before !== undefined && before.id !== id - 1) noteMissing(walk, directory, id - 1);
    tail = readSegment(files, segmentPath(directory, id), id, walk, segments);
  }
  const first = ids[0] ?? 1;
  if (first > walk.cut.firstSegment) noteMissing(walk, directory, walk.cut.firstSegment);
  if (tail !== undefined) checkTail(walk, tail);
  const fatal = walk.damage.find(({ segment }) => segment >= walk.cut.firstSegment);
  if (fatal !== undefined) throw fatal.error;
  if (tail !== undefined) settleTail(files, walk, tail);

  const live = walk.entries.filter(({ kind, lsn }) => kind !== RECORD_KIND.base || lsn < walk.cut.lsn);
  const isBase = ({ kind }: Entry): boolean => kind === RECORD_KIND.base;
  return {
    segments: segments.filter(({ id }) => id >= walk.cut.firstSegment),
    stale: segments.filter(({ id }) => id < walk.cut.firstSegment),
    offset: walk.stop,
    nextLsn: walk.nextLsn,
    records: [...live.filter(isBase), ...live.filter((entry) => !isBase(entry))].map(({ payload }) => payload),
    clean: walk.clean || ids.length === 0,
  };
}

function noteMissing(walk: Walk, directory: string, segment: number): void {
  const file = segmentPath(directory, segment);
  walk.damage.push({ segment, error: dataCorrupt(`vote log segment ${file} is missing`, NO_VOTES, { file, offset: 0 }) });
}

/** What lies behind the records of the last segment is judged once every cut is known. */
interface Tail {
  readonly segment: Segment;
  readonly bytes: Uint8Array;
  readonly offsets: ReadonlyMap<number, number>;
}

function readSegment(files: FileSystem, path: string, id: number, walk: Walk, segments: Segment[]): Tail {
  const file = files.open(path, "existing");
  try {
    const bytes = new Uint8Array(file.size());
    file.read(bytes, 0);
    const segment = decodeHeader(bytes, id, path);
    const before = segments.at(-1);
    if (before !== undefined && walk.nextLsn !== segment.firstLsn) {
      noteDamage(walk, before, walk.stop, `it does not validate, but segment ${id} begins with record ${segment.firstLsn}`);
    }
    segments.push(segment);
    walk.nextLsn = segment.firstLsn;
    if (bytes.length !== segment.capacity) {
      noteDamage(walk, segment, bytes.length, `the file has ${bytes.length} bytes, but was made with ${segment.capacity}`);
    }
    walk.durableLsn = Math.max(walk.durableLsn, segment.firstLsn - 1);
    return { segment, bytes, offsets: readRecords(walk, segment, bytes) };
  } finally {
    file.close();
  }
}

/** Takes in the records of a segment up to the first that does not validate; returns where each LSN lies. */
function readRecords(walk: Walk, segment: Segment, bytes: Uint8Array): ReadonlyMap<number, number> {
  const offsets = new Map<number, number>();
  walk.stop = SEGMENT_HEADER_BYTES;
  for (;;) {
    const header = readRecord(bytes, walk.stop, segment.seed);
    if (header === undefined || header.lsn !== walk.nextLsn) return offsets;
    const start = walk.stop + RECORD_HEADER_BYTES;
    takeIn(walk, segment, header, bytes.slice(start, start + header.length));
    offsets.set(header.lsn, walk.stop);
    walk.stop += recordBytes(header.length);
    walk.nextLsn++;
  }
}

function takeIn(walk: Walk, segment: Segment, header: RecordHeader, payload: Uint8Array): void {
  const { kind, lsn, slot } = header;
  walk.durableLsn = Math.max(walk.durableLsn, header.durableLsn);
  walk.clean = kind === RECORD_KIND.seal;
  switch (kind) {
    case RECORD_KIND.slot:
      segment.slotMax = Math.max(segment.slotMax, slot);
      walk.entries.push({ kind, lsn, slot, payload });
      break;
    case RECORD_KIND.pinned:
    case RECORD_KIND.base:
      segment.pinnedLsnMax = lsn;
      walk.entries.push({ kind, lsn, slot, payload });
      break;
    case RECORD_KIND.cut: {
      const cut = decodeCut(payload);
      if (cut === undefined) {
        noteDamage(walk, segment, walk.stop, "its checksum is right but its content is not a cut");
        break;
      }
      walk.cut = { ...cut, lsn };
      const needed = (e: Entry): boolean => (e.kind === RECORD_KIND.slot ? e.slot > cut.truncatedSlot : e.lsn >= cut.baseLsn);
      walk.entries = walk.entries.filter(needed);
      break;
    }
    case RECORD_KIND.seal:
      break;
  }
}

/** Behind the last valid record: is it only a torn tail, or does a later record promise what does not validate? */
function checkTail(walk: Walk, { segment, bytes }: Tail): void {
  for (let at = walk.stop + 8; at + RECORD_HEADER_BYTES <= bytes.length; at += 8) {
    const later = readRecord(bytes, at, segment.seed);
    if (later === undefined || later.durableLsn < walk.nextLsn) continue;
    noteDamage(walk, segment, walk.stop, `it does not validate, but record ${later.lsn} at byte ${at} was written after it was durable`);
    return;
  }
}

/**
 * Writes again what no record calls durable, and zeros behind it. After an fsync error a page may be readable and yet
 * not on disk, so what recovery accepts must be made durable before anything builds on it; and nothing that recovery
 * dropped may ever validate again.
 */
function settleTail(files: FileSystem, walk: Walk, { segment, bytes, offsets }: Tail): void {
  const from = offsets.get(walk.durableLsn + 1) ?? walk.stop;
  const rest = bytes.subarray(walk.stop);
  const dirty = !isZero(rest);
  if (from === walk.stop && !dirty) return;
  if (dirty) rest.fill(0);
  const file = files.open(segment.path, "existing");
  try {
    file.write([bytes.subarray(from, dirty ? bytes.length : walk.stop)], from);
    file.sync();
  } finally {
    file.close();
  }
}
