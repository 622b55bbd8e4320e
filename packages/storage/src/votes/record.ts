/**
 * Layout of the vote log's records. A record is 8-aligned in its segment:
 *
 *     0  u32  CRC-32 over bytes 4 … 31, seeded with the segment and this offset
 *     4  u32  CRC-32 of the payload
 *     8  u64  LSN: 1, 2, 3, … over the life of the log
 *    16  u32  LSN − the highest LSN known durable when this record was written, at least 1
 *    20  u32  length of the payload
 *    24  u8   kind
 *    25  u56  slot (kind `slot`), else 0
 *    32       payload
 *
 * Segment and offset seed the checksum, so a record read anywhere but where it was written (misdirected write, old content
 * of a recycled segment) does not validate. The seed holds a random salt of the segment, so no client can submit bytes
 * that validate as a record. The header has a checksum of its own, so that scanning a tail hashes no payload in vain.
 * The durable LSN tells damage from a torn tail: what a later record calls durable was promised, so its loss is
 * corruption; what no record calls durable was never acknowledged, or only by the very last sync.
 */
import { crc32 } from "node:zlib";
import { getU32, getU64, putU32, putU64 } from "../bytes.ts";

export const RECORD_HEADER_BYTES = 32;

export const RECORD_KIND = {
  /** Belongs to a slot; obsolete once the log is truncated at or above it. */
  slot: 1,
  /** Belongs to no slot; obsolete once a cut's base replaces it. */
  pinned: 2,
  /** Replaces older pinned records, together with the others of its base, once their cut is in the log. */
  base: 3,
  /** Ends a base: from here on everything older is obsolete but slots above the truncation. Payload: {@link Cut}. */
  cut: 4,
  /** Written at a clean close: everything before it is durable. */
  seal: 5,
} as const;
export type RecordKind = (typeof RECORD_KIND)[keyof typeof RECORD_KIND];
/** Highest kind of a record; a higher one is damage. */
const KIND_MAX = 5;

export interface RecordHeader {
  readonly kind: RecordKind;
  readonly lsn: number;
  readonly durableLsn: number;
  readonly slot: number;
  readonly length: number;
}

/** LSN of the record whose payload begins at `offset` of a segment. */
export const lsnOf = (segment: Uint8Array, offset: number): number => getU64(segment, offset - RECORD_HEADER_BYTES + 8);

export const recordBytes = (payloadBytes: number): number => RECORD_HEADER_BYTES + align8(payloadBytes);
export const align8 = (bytes: number): number => (bytes + 7) & ~7;

/** Distinct per segment and salt: a record copied to another segment does not validate. */
export function segmentSeed(segment: number, salt: number): number {
  const id = new Uint8Array(8);
  putU64(id, 0, segment);
  return crc32(id, salt);
}

/** CRC-32 is injective in its seed, so equal content at two offsets never has the same checksum. */
const seedAt = (seed: number, offset: number): number => (seed ^ offset) >>> 0;

/** Where a record will lie. */
export interface Place {
  readonly seed: number;
  readonly offset: number;
}

/** Writes the header of `payload` at `target[at]`, for a record that will lie at `place`. */
export function putRecordHeader(target: Uint8Array, at: number, header: RecordHeader, payload: Uint8Array, place: Place): void {
  putU32(target, at + 4, crc32(payload));
  putU64(target, at + 8, header.lsn);
  putU32(target, at + 16, header.lsn - header.durableLsn);
  putU32(target, at + 20, header.length);
  putU64(target, at + 24, header.slot);
  target[at + 24] = header.kind;
  putU32(target, at, crc32(target.subarray(at + 4, at + RECORD_HEADER_BYTES), seedAt(place.seed, place.offset)));
}

/** The record at `offset` of a segment's bytes, or undefined when no valid one lies there. */
export function readRecord(bytes: Uint8Array, offset: number, seed: number): RecordHeader | undefined {
  const room = bytes.length - offset - RECORD_HEADER_BYTES;
  const kind = bytes[offset + 24] ?? 0;
  if (room < 0 || kind === 0 || kind > KIND_MAX) return undefined;
  const length = getU32(bytes, offset + 20);
  if (length > room) return undefined;
  const start = offset + RECORD_HEADER_BYTES;
  if (crc32(bytes.subarray(offset + 4, start), seedAt(seed, offset)) !== getU32(bytes, offset)) return undefined;
  if (crc32(bytes.subarray(start, start + length)) !== getU32(bytes, offset + 4)) return undefined;
  const lsn = getU64(bytes, offset + 8);
  const slot = (getU32(bytes, offset + 24) & 0xff_ffff) * 2 ** 32 + getU32(bytes, offset + 28);
  return { kind: kind as RecordKind, lsn, durableLsn: lsn - getU32(bytes, offset + 16), slot, length };
}

// ── cuts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What a `cut` record says: the log begins at `firstSegment`, its base at `baseLsn`, and slots ≤ `truncatedSlot` are obsolete. */
export interface Cut {
  readonly truncatedSlot: number;
  readonly baseLsn: number;
  readonly firstSegment: number;
}

const CUT_BYTES = 24;

export function encodeCut(cut: Cut): Uint8Array {
  const bytes = new Uint8Array(CUT_BYTES);
  putU64(bytes, 0, cut.truncatedSlot);
  putU64(bytes, 8, cut.baseLsn);
  putU64(bytes, 16, cut.firstSegment);
  return bytes;
}

export function decodeCut(bytes: Uint8Array): Cut | undefined {
  if (bytes.length !== CUT_BYTES) return undefined;
  const cut = { truncatedSlot: getU64(bytes, 0), baseLsn: getU64(bytes, 8), firstSegment: getU64(bytes, 16) };
  return Number.isNaN(cut.truncatedSlot + cut.baseLsn + cut.firstSegment) ? undefined : cut;
}
