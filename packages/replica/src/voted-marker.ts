/**
 * A marker beside the key, outside the data directory: this key has voted, and the last view it left or entered. A data directory that
 * is lost (a volume not mounted, a wrong path, an rm) must not make the replica start afresh under the same key: it could contradict its
 * earlier votes, which is what a Byzantine replica does. The view is the second place that outlives a lost directory, and tells an old copy of it.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { NarsesError, view as toView, type Digest, type ReplicaId, type View } from "@narses/core";
import { nodeFileSystem as files, type File } from "@narses/storage";

const MARKER = "replica.voted";

export interface Voter {
  readonly home: string;
  readonly self: ReplicaId;
  readonly clusterId: Digest;
}

export interface Mark {
  readonly path: string;
  /** The last view that was left or entered, or a later one than that of an old copy of this file; undefined: it is not known. */
  readonly view: View | undefined;
}

const pathOf = ({ home }: Voter): string => join(home, MARKER);
const votedLine = ({ self, clusterId }: Voter): string => `replica ${self} of cluster ${clusterId} has voted\n`;
/** Of one length, so that it can be written over in place: a torn write of one sector leaves the old one or the new one. */
const viewLine = (view: View): string => `last view ${String(view).padStart(16, "0")}\n`;
const VIEW_LINE = /^last view (\d{16})\n$/;
/** Of this key or another one, of this cluster or another one. */
const VOTED_LINE = /^replica \d+ of cluster [0-9a-f]{64} has voted\n/;

/**
 * Undefined when this key has not voted. Only a marker that is not there says so, or one of another key or cluster: a damaged one may have
 * said anything. @throws NarsesError DISK_FAILED when it is there and cannot be read.
 */
export async function readMark(voter: Voter): Promise<Mark | undefined> {
  const path = pathOf(voter);
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    if ((cause as { code?: unknown }).code === "ENOENT") return undefined;
    throw failed("read", path, cause, "it may say that this key has voted, so the replica does not start without it: make it readable");
  });
  const first = votedLine(voter);
  if (text === undefined || (!text.startsWith(first) && VOTED_LINE.test(text))) return undefined;
  const last = text.startsWith(first) ? VIEW_LINE.exec(text.slice(first.length))?.[1] : undefined;
  return { path, view: last === undefined ? undefined : toView(Number(last)) };
}

/** @throws NarsesError DATA_CORRUPT when the key has voted and the data directory knows nothing of it. */
export function refuseLostData(voter: Voter, mark: Mark | undefined, data: { readonly directory: string; readonly initialized: boolean }): void {
  if (data.initialized || mark === undefined) return;
  const { path } = mark;
  throw new NarsesError(
    "DATA_CORRUPT",
    `replica ${voter.self} has voted before (${path} says so), but its data directory ${data.directory} is empty; mount it. If it is lost, start once with ` +
      "--rejoin: the replica then fetches the state from the others, follows and serves them, and does not vote until nothing it says can contradict " +
      "what it said before and cannot remember. Do not restore an old copy: it would not know what was said since",
    { path, directory: data.directory },
  );
}

/**
 * Before anything is said. `view`: the last one known. Durable when it resolves; until then what was there before is, whatever fails or crashes.
 * @throws NarsesError DISK_FAILED when the home cannot be read or written.
 */
export async function markVoted(voter: Voter, view: View): Promise<void> {
  const held = await readMark(voter);
  if (held?.view !== undefined) return;
  const path = pathOf(voter);
  const temporary = `${path}.tmp`;
  written(path, () => {
    if (files.exists(temporary)) files.unlink(temporary);
    writeDurably(files.open(temporary, "create"), votedLine(voter) + viewLine(view), 0);
    files.rename(temporary, path);
    files.syncDirectory(voter.home);
  });
}

/** To be called before VIEW-CHANGE for a view is said, and before the first vote in it; the marker is there, with view `marked`. Durable when it returns; never goes back. */
export function viewMarker(voter: Voter, marked: View): (view: View) => void {
  const path = pathOf(voter);
  let last = marked;
  return (view) => {
    if (view <= last) return;
    written(path, () => writeDurably(files.open(path, "existing"), viewLine(view), votedLine(voter).length));
    last = view;
  };
}

function writeDurably(file: File, text: string, position: number): void {
  try {
    file.write([Buffer.from(text)], position);
    file.sync();
  } finally {
    file.close();
  }
}

function written(path: string, write: () => void): void {
  try {
    write();
  } catch (cause) {
    throw failed("write", path, cause, "make the home of the replica writable");
  }
}

function failed(what: string, path: string, cause: unknown, remedy: string): NarsesError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new NarsesError("DISK_FAILED", `cannot ${what} ${path}: ${reason}; ${remedy}`, { path }, { cause });
}
