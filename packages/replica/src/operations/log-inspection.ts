/**
 * Reading the vote log of a stopped replica. Nothing on disk is touched: its files are read into memory, and recovered there
 * as a start would recover them, so the log can be looked at on a read-only copy, and as often as one likes.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { NarsesError, recordSeq, type Batch, type LogRecord, type ReplicaId, type Signed, type VoteRef } from "@narses/core";
import { lsnOf, MemoryFileSystem, openVoteLog, SEGMENT_BYTES_MIN } from "@narses/storage";
import type { Codec } from "@narses/wire";
import { LOG_INSPECTION_BYTES_MAX } from "../limits.ts";
import { assertStopped } from "./holder.ts";
import { counted } from "./words.ts";

/** A record that a start would bring back. */
export interface InspectedRecord {
  readonly type: LogRecord["type"];
  /** View it speaks of; undefined for a checkpoint. */
  readonly view: number | undefined;
  /** Slot it is about; of a checkpoint, the slot it covers. */
  readonly seq: number | undefined;
  /** Batch or checkpoint root, hex. */
  readonly digest: string | undefined;
  /** What else it holds, in a few words. */
  readonly holds: string;
  readonly bytes: number;
  /** Number of the record over the life of the log. */
  readonly lsn: number;
  /** Segment file, and the offset of the record's content in it. */
  readonly segment: string;
  readonly offset: number;
  readonly record: LogRecord;
}

export interface LogDamage {
  readonly file: string;
  readonly offset: number;
  readonly message: string;
}

export interface LogInspection {
  readonly directory: string;
  readonly segments: readonly { readonly file: string; readonly bytes: number }[];
  /** The replica closed the log; otherwise it was killed, and an unsynced tail, if any, does not count. */
  readonly closedCleanly: boolean;
  /** In the order in which a start would read them; of a damaged log, those before the damage. */
  readonly records: readonly InspectedRecord[];
  /** Why a start would refuse this log. */
  readonly damage: LogDamage | undefined;
}

export interface InspectionOptions {
  readonly dataDirectory: string;
  readonly codec: Pick<Codec, "decodeRecord">;
}

/**
 * @throws NarsesError DATA_DIR_LOCKED while a replica runs on the directory, CONFIG_INVALID when there is no vote log in it,
 * REQUEST_TOO_LARGE above LOG_INSPECTION_BYTES_MAX, DATA_VERSION.
 */
export async function inspectVoteLog({ dataDirectory, codec }: InspectionOptions): Promise<LogInspection> {
  assertStopped(dataDirectory);
  const directory = join(dataDirectory, "votes");
  const files = readSegments(directory);
  const { recovered, closedCleanly, damage } = await recover(directory, files);
  // It may have been started meanwhile: then what was read is half of this and half of that.
  assertStopped(dataDirectory);
  const locate = locator(files);
  const records: InspectedRecord[] = [];
  let undecodable: LogDamage | undefined;
  for (const bytes of recovered) {
    const place = locate(bytes);
    try {
      records.push({ ...summaryOf(codec.decodeRecord(bytes)), bytes: bytes.length, ...place });
    } catch (error) {
      if (!(error instanceof NarsesError) || error.code !== "DATA_CORRUPT") throw error;
      const file = join(directory, place.segment);
      undecodable = { file, offset: place.offset, message: `vote log ${file}, the record at byte ${place.offset}: ${error.message}` };
      break;
    }
  }
  return {
    directory, closedCleanly, records, damage: damage ?? undecodable,
    segments: [...files].map(([path, bytes]) => ({ file: path.slice(directory.length + 1), bytes: bytes.length })),
  };
}

// ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────

type Files = ReadonlyMap<string, Uint8Array>;

/** Segment files by path, ascending. */
function readSegments(directory: string): Files {
  if (!existsSync(directory)) {
    const message = `there is no vote log in ${directory}: name the home directory of a replica that has run`;
    throw new NarsesError("CONFIG_INVALID", message, { path: directory });
  }
  const names = readdirSync(directory).filter((name) => /^votes-\d+\.wal$/.test(name)).sort();
  const size = names.reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
  if (size > LOG_INSPECTION_BYTES_MAX) {
    const message = `vote log ${directory} has ${size} bytes, at most ${LOG_INSPECTION_BYTES_MAX} are read for inspection`;
    throw new NarsesError("REQUEST_TOO_LARGE", message, { path: directory, size });
  }
  return new Map(names.map((name) => [join(directory, name), readFileSync(join(directory, name))]));
}

interface Outcome {
  readonly recovered: readonly Uint8Array[];
  readonly closedCleanly: boolean;
  readonly damage: LogDamage | undefined;
}

/** Recovers what there is. A damaged log is cut off where the damage begins, until the rest reads: that is what precedes it. */
async function recover(directory: string, files: Files): Promise<Outcome> {
  let left = files;
  let damage: LogDamage | undefined;
  for (;;) {
    try {
      const log = await openVoteLog({ directory, files: new MemoryFileSystem({}, left), segmentBytes: SEGMENT_BYTES_MIN });
      return { recovered: left.size === 0 ? [] : log.recovered, closedCleanly: damage === undefined && left.size > 0 && log.closedCleanly, damage };
    } catch (error) {
      if (!(error instanceof NarsesError) || error.code !== "DATA_CORRUPT" || left.size === 0) throw error;
      const file = String(error.data["file"]);
      const offset = Number(error.data["offset"]);
      damage ??= { file, offset, message: error.message };
      left = cutOff(left, file, offset);
    }
  }
}

/** The files before `file`, and `file` itself with nothing from `offset` on. Always less than before. */
function cutOff(files: Files, file: string, offset: number): Files {
  const before = [...files].filter(([path]) => path < file);
  const bytes = files.get(file);
  const kept = bytes === undefined ? undefined : Uint8Array.from(bytes).fill(0, offset);
  const changed = bytes !== undefined && kept !== undefined && Buffer.compare(bytes, kept) !== 0;
  if (changed && offset > 0) return new Map([...before, [file, kept]]);
  return new Map(before.length < files.size ? before : before.slice(0, -1));
}

/** Where the content of each record lies. Asked in the order of the log, so that equal contents are told apart. */
function locator(files: Files): (content: Uint8Array) => Pick<InspectedRecord, "segment" | "offset" | "lsn"> {
  const segments = [...files].map(([path, bytes]) => ({
    name: path.slice(path.lastIndexOf("/") + 1), bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length),
  }));
  let at = { segment: 0, offset: 0 };
  const find = (content: Uint8Array, from: typeof at): typeof at | undefined => {
    for (let i = from.segment; i < segments.length; i++) {
      const offset = segments[i]?.bytes.indexOf(content, i === from.segment ? from.offset : 0) ?? -1;
      if (offset >= 0) return { segment: i, offset };
    }
    return undefined;
  };
  return (content) => {
    // The base of a truncation comes first and was written last.
    const found = find(content, at) ?? find(content, { segment: 0, offset: 0 });
    const segment = found && segments[found.segment];
    if (found === undefined || segment === undefined) return { segment: "", offset: 0, lsn: 0 };
    at = { segment: found.segment, offset: found.offset + content.length };
    return { segment: segment.name, offset: found.offset, lsn: lsnOf(segment.bytes, found.offset) };
  };
}

// ── records ──────────────────────────────────────────────────────────────────────────────────────────────────────

function summaryOf(record: LogRecord): Pick<InspectedRecord, "type" | "view" | "seq" | "digest" | "holds" | "record"> {
  const { type } = record;
  const seq = recordSeq(record);
  switch (record.type) {
    case "pre-prepared": {
      const own = record.signed === undefined ? "own proposal" : `signed by replica ${record.signed.body.sender}`;
      return { type, view: record.view, seq, digest: record.digest, holds: `${own}, ${batchText(record.batch)}`, record };
    }
    case "prepared": {
      const { prePrepare, prepares } = record.certificate;
      return { type, view: prePrepare.body.view, seq, digest: prePrepare.body.digest, holds: `prepares of ${senders(prepares)}`, record };
    }
    case "committed": {
      const { view, digest, commits } = record.certificate;
      const batch = record.batch === undefined ? "" : `, ${batchText(record.batch)}`;
      return { type, view, seq, digest, holds: `commits of ${senders(commits)}${batch}`, record };
    }
    case "view-left":
      return { type, view: record.view, seq, digest: undefined, holds: `stable ${record.stable.seq}, ${record.prepared.length} prepared`, record };
    case "new-view": {
      const own = record.signed === undefined ? ", own and unsigned" : "";
      return { type, view: record.view, seq, digest: undefined, holds: `view-changes of ${signers(record.viewChanges)}${own}`, record };
    }
    case "stable": {
      const { seq: covered, root, proof } = record.stable;
      return { type, view: undefined, seq: covered, digest: root, holds: proof.length === 0 ? "genesis" : `checkpoints of ${signers(proof)}`, record };
    }
    case "vouched":
      return { type, view: undefined, seq, digest: record.root, holds: "own checkpoint", record };
    case "amnesia": {
      const { view, floor } = record;
      const until = floor === undefined ? "silent until its peers have said where they stand" : `silent below checkpoint ${floor.seq} and view ${floor.view}`;
      return { type, view, seq: floor?.seq, digest: undefined, holds: `votes before this were lost; ${until}`, record };
    }
  }
}

const signers = (messages: readonly Signed<{ readonly sender: ReplicaId }>[]): string => messages.map(({ body }) => body.sender).join(", ");
const senders = (refs: readonly VoteRef[]): string => signers(refs.map(({ frame }) => frame));

function batchText(batch: Batch | undefined): string {
  if (batch === undefined) return "without its batch";
  const operations = batch.bundles.reduce((sum, bundle) => sum + bundle.operationCount, 0);
  return `${counted(operations, "operation")} in ${counted(batch.bundles.length, "bundle")}, ${batch.bytes.length} bytes`;
}
