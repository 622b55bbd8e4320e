/**
 * Segment files of the vote log: named, preallocated (written with zeros once, so that a later fdatasync has no metadata
 * to journal) and recycled. A segment's header is durable before the file gets its name, so a named segment without a
 * valid header is damage, never a crash.
 */
import { crc32 } from "node:zlib";
import { getU32, getU64, putU32, putU64 } from "../bytes.ts";
import { NO_VOTES, dataCorrupt, dataVersion } from "../errors.ts";
import { joinPath, type File, type FileSystem } from "../files/file-system.ts";
import { segmentSeed } from "./record.ts";

/** A sector of its own: appending never rewrites it. */
export const SEGMENT_HEADER_BYTES = 4_096;
/** The first segment of a log, if others are larger: a fresh replica does not wait for zeros that it will need much later. */
export const FIRST_SEGMENT_BYTES: number = 1 << 20;
/** Obsolete segments kept for reuse, at most; the rest are deleted. */
export const SPARE_SEGMENTS_MAX = 4;
export const VOTE_LOG_VERSION = 1;

const MAGIC = 0x4e56_4f54; // "NVOT"
const HEADER_FIELDS_BYTES = 48;
const ZEROS = new Uint8Array(1 << 20);

export interface Segment {
  /** 1, 2, 3, … over the life of the log; never reused, a recycled file gets a new one. */
  readonly id: number;
  readonly path: string;
  /** Bytes of the file, header included. */
  readonly capacity: number;
  /** LSN of its first record; everything below is durable. */
  readonly firstLsn: number;
  /** Seed of its records' checksums. */
  readonly seed: number;
  /** Highest slot of its records, −1 without any. */
  slotMax: number;
  /** LSN of its last pinned or base record, 0 without any. */
  pinnedLsnMax: number;
}

const SEGMENT_NAME = /^votes-(\d{12})\.wal$/;
const SPARE_NAME = /^spare-(\d+)\.wal$/;
const TEMPORARY = "new.tmp";

export const segmentPath = (directory: string, id: number): string => joinPath(directory, `votes-${String(id).padStart(12, "0")}.wal`);

export function listSegmentIds(names: readonly string[]): number[] {
  return names.flatMap((name) => {
    const id = SEGMENT_NAME.exec(name)?.[1];
    return id === undefined ? [] : [Number(id)];
  }).sort((a, b) => a - b);
}

const emptySegment = (id: number, path: string, fields: Pick<Segment, "capacity" | "firstLsn" | "seed">): Segment =>
  ({ id, path, ...fields, slotMax: -1, pinnedLsnMax: 0 });

function encodeHeader(segment: Segment, salt: number): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
  putU32(bytes, 0, MAGIC);
  putU32(bytes, 4, VOTE_LOG_VERSION);
  putU64(bytes, 8, segment.id);
  putU64(bytes, 16, segment.firstLsn);
  putU64(bytes, 24, segment.capacity);
  putU32(bytes, 32, salt);
  putU32(bytes, HEADER_FIELDS_BYTES - 4, crc32(bytes.subarray(0, HEADER_FIELDS_BYTES - 4)));
  return bytes;
}

/** @throws NarsesError DATA_CORRUPT when the header is not the one of segment `id`; DATA_VERSION when another version wrote it. */
export function decodeHeader(bytes: Uint8Array, id: number, path: string): Segment {
  const crc = crc32(bytes.subarray(0, HEADER_FIELDS_BYTES - 4));
  if (bytes.length < SEGMENT_HEADER_BYTES || getU32(bytes, 0) !== MAGIC || getU32(bytes, HEADER_FIELDS_BYTES - 4) !== crc) {
    throw dataCorrupt(`vote log segment ${path} has a damaged header`, NO_VOTES, { file: path, offset: 0 });
  }
  const version = getU32(bytes, 4);
  if (version !== VOTE_LOG_VERSION) throw dataVersion(path, version, VOTE_LOG_VERSION);
  if (getU64(bytes, 8) !== id) {
    throw dataCorrupt(`vote log segment ${path} says it is segment ${getU64(bytes, 8)}`, "files were swapped or renamed", { file: path, offset: 8 });
  }
  return emptySegment(id, path, { capacity: getU64(bytes, 24), firstLsn: getU64(bytes, 16), seed: segmentSeed(id, getU32(bytes, 32)) });
}

export interface PoolOptions {
  readonly segmentBytes: number;
  /** A u32 for the seed of a new segment's checksums. */
  readonly salt: () => number;
}

/** Makes, recycles and removes segment files. Throws what the file system throws. */
export class SegmentPool {
  readonly #files: FileSystem;
  readonly #directory: string;
  readonly #segmentBytes: number;
  readonly #salt: () => number;
  readonly #spares: string[] = [];
  #spareNext = 1;

  /** Takes over what is in `directory` besides live segments. */
  constructor(files: FileSystem, directory: string, { segmentBytes, salt }: PoolOptions) {
    this.#files = files;
    this.#directory = directory;
    this.#segmentBytes = segmentBytes;
    this.#salt = salt;
    for (const name of files.list(directory)) {
      const path = joinPath(directory, name);
      const spare = SPARE_NAME.exec(name)?.[1];
      if (spare !== undefined) this.#spareNext = Math.max(this.#spareNext, Number(spare) + 1);
      if (name === TEMPORARY || (spare !== undefined && !this.#fits(path))) files.unlink(path);
      else if (spare !== undefined) this.#spares.push(path);
    }
  }

  #fits(path: string): boolean {
    const file = this.#files.open(path, "existing");
    try {
      return file.size() === this.#segmentBytes && this.#spares.length < SPARE_SEGMENTS_MAX;
    } finally {
      file.close();
    }
  }

  /** Has a segment ready for the next rotation, so that it does not wait for zeros being written. */
  prepare(): void {
    if (this.#spares.length > 0) return;
    this.#create(this.#segmentBytes).close();
    this.#keep(joinPath(this.#directory, TEMPORARY));
    this.#files.syncDirectory(this.#directory);
  }

  /** An empty segment with room for `recordBytes`, durable under its name. */
  take(id: number, firstLsn: number, recordBytes: number, bytes: number = this.#segmentBytes): { readonly segment: Segment; readonly file: File } {
    const own = SEGMENT_HEADER_BYTES + recordBytes;
    const capacity = own > bytes ? own : bytes;
    const salt = this.#salt();
    const segment = emptySegment(id, segmentPath(this.#directory, id), { capacity, firstLsn, seed: segmentSeed(id, salt) });
    const spare = capacity === this.#segmentBytes ? this.#spares.pop() : undefined;
    const file = spare === undefined ? this.#create(capacity) : this.#files.open(spare, "existing");
    file.write([encodeHeader(segment, salt)], 0);
    file.sync();
    this.#files.rename(spare ?? joinPath(this.#directory, TEMPORARY), segment.path);
    this.#files.syncDirectory(this.#directory);
    return { segment, file };
  }

  /** Takes obsolete segments back, oldest first. */
  release(segments: readonly Segment[]): void {
    for (const segment of segments) {
      if (segment.capacity === this.#segmentBytes && this.#spares.length < SPARE_SEGMENTS_MAX) this.#keep(segment.path);
      else this.#files.unlink(segment.path);
    }
    if (segments.length > 0) this.#files.syncDirectory(this.#directory);
  }

  #keep(path: string): void {
    const spare = joinPath(this.#directory, `spare-${this.#spareNext++}.wal`);
    this.#files.rename(path, spare);
    this.#spares.push(spare);
  }

  #create(bytes: number): File {
    const file = this.#files.open(joinPath(this.#directory, TEMPORARY), "create");
    for (let at = 0; at < bytes; at += ZEROS.length) file.write([ZEROS.subarray(0, Math.min(ZEROS.length, bytes - at))], at);
    file.sync();
    return file;
  }
}
