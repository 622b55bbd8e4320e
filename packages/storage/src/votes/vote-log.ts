/**
 * The vote log: what a replica must remember having said. Records are buffered by `append`, written by one positional
 * write, and made durable by one fdatasync. Any error of the disk is final: the log refuses everything from then on,
 * because after a failed fsync nobody knows what is on disk.
 */
import { randomInt } from "node:crypto";
import { FRAME_BYTES_MAX, NarsesError, type SeqNum, type VoteLog } from "@narses/core";
import { dataCorrupt } from "../errors.ts";
import { attempt, diskFailed, syncParent, type File, type FileSystem } from "../files/file-system.ts";
import { nodeFileSystem } from "../files/node-file-system.ts";
import { RECORD_KIND, encodeCut, putRecordHeader, recordBytes, type RecordKind } from "./record.ts";
import { recoverLog, type RecoveredLog } from "./recover.ts";
import { FIRST_SEGMENT_BYTES, SEGMENT_HEADER_BYTES, SegmentPool, type Segment } from "./segment.ts";
import { WriteBuffers } from "./write-buffers.ts";

/** Preallocated file of a vote log; a full one is followed by the next. */
export const SEGMENT_BYTES_DEFAULT: number = 16 << 20;
export const SEGMENT_BYTES_MIN: number = 16 << 10;
/** Live bytes of a log, at most: beyond it the log fails as a full disk does (errno ELOGFULL). */
export const LOG_BYTES_MAX_DEFAULT: number = 16 * 2 ** 30;
/** Appended and not yet written, at most; `append` writes by itself beyond it. */
export const APPEND_BYTES_MAX: number = 64 << 20;

export interface VoteLogOptions {
  /** Made when missing. Nothing but this log may be in it. */
  readonly directory: string;
  /** Size of a segment file, at least SEGMENT_BYTES_MIN; a larger record gets a segment of its own size. */
  readonly segmentBytes?: number;
  readonly logBytesMax?: number;
  /** The replica has run before: an empty directory means that its votes were lost (DATA_CORRUPT). */
  readonly mustExist?: boolean;
  readonly files?: FileSystem;
  /** A u32 that nobody outside can guess, for each new segment; a simulator draws it from its seed. */
  readonly salt?: () => number;
}

export interface SegmentedVoteLog extends VoteLog {
  /** False when the last process did not close the log; an unsynced tail, if any, was dropped. */
  readonly closedCleanly: boolean;
  /** For metrics: segment files that hold live records, and their bytes. */
  usage(): { readonly segments: number; readonly bytes: number };
}

interface Pending {
  readonly kind: RecordKind;
  readonly slot: number;
  readonly payload: Uint8Array;
}

interface Active {
  readonly segment: Segment;
  readonly file: File;
  /** Where the next record goes; 8-aligned. */
  offset: number;
}

class Log implements SegmentedVoteLog {
  readonly recovered: readonly Uint8Array[];
  readonly closedCleanly: boolean;
  readonly #directory: string;
  readonly #pool: SegmentPool;
  readonly #logBytesMax: number;
  /** Live segments, ascending and without gaps; the last one is active. */
  readonly #segments: Segment[];
  #active: Active;
  #nextLsn: number;
  /** Every record up to here is on disk. < #nextLsn. */
  #durableLsn: number;
  #pending: Pending[] = [];
  #pendingBytes = 0;
  /** Something was written since the last fdatasync. */
  #unsynced = false;
  readonly #buffers: WriteBuffers = new WriteBuffers();
  #failed: NarsesError | undefined;
  #closed = false;

  constructor(pool: SegmentPool, recovered: RecoveredLog, active: Active, options: { directory: string; logBytesMax: number }) {
    this.#pool = pool;
    this.#directory = options.directory;
    this.#logBytesMax = options.logBytesMax;
    this.#segments = recovered.segments.includes(active.segment) ? [...recovered.segments] : [...recovered.segments, active.segment];
    this.#active = active;
    this.#nextLsn = recovered.nextLsn;
    this.#durableLsn = recovered.nextLsn - 1;
    this.recovered = recovered.records;
    this.closedCleanly = recovered.clean;
  }

  append(record: Uint8Array, seq: SeqNum | undefined): void {
    this.#check();
    if (record.length > FRAME_BYTES_MAX) throw new RangeError(`a vote record has at most ${FRAME_BYTES_MAX} bytes, got ${record.length}`);
    this.#push({ kind: seq === undefined ? RECORD_KIND.pinned : RECORD_KIND.slot, slot: seq ?? 0, payload: record });
    if (this.#pendingBytes > APPEND_BYTES_MAX) this.#guarded("write", () => this.#write());
  }

  flush(): void {
    this.#check();
    this.#guarded("write", () => this.#write());
  }

  sync(): void {
    this.#check();
    this.#guarded("write", () => this.#write());
    this.#guarded("fdatasync", () => this.#sync());
  }

  truncate(seq: SeqNum, base: readonly Uint8Array[]): void {
    this.#check();
    this.#guarded("truncation", () => {
      this.#write();
      const baseLsn = this.#nextLsn;
      const obsolete = this.#obsoletePrefix(seq, baseLsn);
      const firstSegment = (this.#segments[obsolete] ?? this.#active.segment).id;
      for (const payload of base) this.#push({ kind: RECORD_KIND.base, slot: 0, payload });
      this.#push({ kind: RECORD_KIND.cut, slot: 0, payload: encodeCut({ truncatedSlot: seq, baseLsn, firstSegment }) });
      this.#write();
      this.#sync();
      this.#pool.release(this.#segments.splice(0, obsolete));
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      if (this.#failed === undefined) this.#guarded("close", () => this.#seal());
    } finally {
      this.#active.file.close();
    }
  }

  usage(): { readonly segments: number; readonly bytes: number } {
    return { segments: this.#segments.length, bytes: this.#segments.reduce((sum, { capacity }) => sum + capacity, 0) };
  }

  #check(): void {
    if (this.#failed !== undefined) throw this.#failed;
    if (this.#closed) throw new NarsesError("CLOSED", `vote log ${this.#directory} was closed`);
  }

  /** The first failure is the last: it is kept, and thrown at every later use. */
  #guarded(operation: string, body: () => void): void {
    try {
      body();
    } catch (error) {
      this.#failed = error instanceof NarsesError ? error : diskFailed(operation, this.#active.segment.path, error);
      throw this.#failed;
    }
  }

  #push(pending: Pending): void {
    this.#pending.push(pending);
    this.#pendingBytes += recordBytes(pending.payload.length);
  }

  /** Writes everything pending, with one system call per segment it touches. */
  #write(): void {
    const pending = this.#pending;
    if (pending.length === 0) return;
    let start = this.#active.offset;
    for (const record of pending) {
      const bytes = recordBytes(record.payload.length);
      if (this.#active.offset + bytes > this.#active.segment.capacity) {
        this.#put(start);
        this.#rotate(bytes);
        start = this.#active.offset;
      }
      this.#place(record);
    }
    this.#put(start);
    this.#pending = [];
    this.#pendingBytes = 0;
    // Long before it is needed, and only the first time: later on segments are recycled.
    if (this.#active.offset > this.#active.segment.capacity / 2) this.#pool.prepare();
  }

  #place({ kind, slot, payload }: Pending): void {
    const { segment, offset } = this.#active;
    const lsn = this.#nextLsn++;
    const header = { kind, lsn, durableLsn: this.#durableLsn, slot, length: payload.length };
    this.#buffers.header((stage, at) => putRecordHeader(stage, at, header, payload, { seed: segment.seed, offset }));
    this.#buffers.payload(payload);
    this.#active.offset = offset + recordBytes(payload.length);
    if (kind === RECORD_KIND.slot) segment.slotMax = Math.max(segment.slotMax, slot);
    else if (kind === RECORD_KIND.pinned || kind === RECORD_KIND.base) segment.pinnedLsnMax = lsn;
  }

  #put(position: number): void {
    const list = this.#buffers.take();
    if (list.length === 0) return;
    this.#unsynced = true;
    this.#active.file.write(list, position);
  }

  #sync(): void {
    if (!this.#unsynced) return;
    this.#active.file.sync();
    this.#unsynced = false;
    this.#durableLsn = this.#nextLsn - 1;
  }

  /** The seal calls everything before it durable: after a clean close, damage anywhere is told from a torn tail. */
  #seal(): void {
    this.#write();
    this.#sync();
    this.#push({ kind: RECORD_KIND.seal, slot: 0, payload: new Uint8Array(0) });
    this.#write();
    this.#sync();
  }

  /** The old segment is durable before the new one is made: its header says so. */
  #rotate(recordBytesNeeded: number): void {
    this.#sync();
    const bytes = this.usage().bytes;
    if (bytes > this.#logBytesMax) {
      throw new NarsesError(
        "DISK_FAILED",
        `vote log ${this.#directory} has grown to ${bytes} bytes, its limit is ${this.#logBytesMax}: find out why no checkpoint becomes stable`,
        { errno: "ELOGFULL", operation: "rotation", path: this.#directory },
      );
    }
    const { segment, file } = this.#pool.take(this.#active.segment.id + 1, this.#nextLsn, recordBytesNeeded);
    this.#active.file.close();
    this.#active = { segment, file, offset: SEGMENT_HEADER_BYTES };
    this.#segments.push(segment);
  }

  /** How many of the oldest segments hold only slots ≤ `seq` and pinned records older than `baseLsn`. */
  #obsoletePrefix(seq: SeqNum, baseLsn: number): number {
    let count = 0;
    for (const { slotMax, pinnedLsnMax } of this.#segments.slice(0, -1)) {
      if (slotMax > seq || pinnedLsnMax >= baseLsn) break;
      count++;
    }
    return count;
  }
}

/**
 * Opens or makes a vote log and reads what survived. `recovered` is the base of the last `truncate`, then, in the order
 * they were appended, all pinned records since and all slot records that were above the truncation.
 *
 * Payloads given to `append` and `truncate` are not copied: they must not change until `flush`, `sync` or `truncate` returns.
 * @throws NarsesError DATA_CORRUPT (file and offset in its data) when a record that was durable is lost; DATA_VERSION;
 * DISK_FAILED. RangeError for options out of range.
 */
export async function openVoteLog(options: VoteLogOptions): Promise<SegmentedVoteLog> {
  const { directory, mustExist = false, files = nodeFileSystem } = options;
  const { segmentBytes = SEGMENT_BYTES_DEFAULT, logBytesMax = LOG_BYTES_MAX_DEFAULT, salt = () => randomInt(2 ** 32) } = options;
  if (!Number.isSafeInteger(segmentBytes) || segmentBytes < SEGMENT_BYTES_MIN || segmentBytes % 8 !== 0) {
    throw new RangeError(`segmentBytes must be a multiple of 8, at least ${SEGMENT_BYTES_MIN}, got ${segmentBytes}`);
  }
  return attempt("opening", directory, () => {
    files.makeDirectory(directory);
    syncParent(files, directory);
    const recovered = recoverLog(files, directory);
    const last = recovered.segments.at(-1);
    if (last === undefined && mustExist) {
      const remedy = "its votes are lost, it must not vote again under this key";
      throw dataCorrupt(`vote log ${directory} is empty, but this replica has run before`, remedy, { file: directory, offset: 0 });
    }
    const pool = new SegmentPool(files, directory, { segmentBytes, salt });
    pool.release(recovered.stale);
    const active: Active = last === undefined
      ? { ...pool.take(1, 1, 0, Math.min(segmentBytes, FIRST_SEGMENT_BYTES)), offset: SEGMENT_HEADER_BYTES }
      : { segment: last, file: files.open(last.path, "existing"), offset: recovered.offset };
    return new Log(pool, recovered, active, { directory, logBytesMax });
  });
}
