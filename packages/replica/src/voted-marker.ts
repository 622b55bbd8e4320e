/**
 * A marker beside the key, outside the data directory: this key has voted, and the last view it left or entered. A data directory that
 * is lost (a volume not mounted, a wrong path, an rm) must not make the replica start afresh under the same key: it could contradict its
 * earlier votes, which is what a Byzantine replica does. The view is the second place that outlives a lost directory, and tells an old copy of it.
 */
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { NarsesError, view as toView, type Digest, type ReplicaId, type View } from "@narses/core";

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

/** Undefined when this key has not voted. */
export async function readMark(voter: Voter): Promise<Mark | undefined> {
  const path = pathOf(voter);
  const text = await readFile(path, "utf8").catch(() => "");
  const first = votedLine(voter);
  if (!text.startsWith(first)) return undefined;
  const last = VIEW_LINE.exec(text.slice(first.length))?.[1];
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

/** Before anything is said. `view`: the last one known. Durable when it resolves. @throws NarsesError DISK_FAILED when the home cannot be written. */
export async function markVoted(voter: Voter, view: View): Promise<void> {
  const held = await readMark(voter);
  if (held?.view !== undefined) return; // written over, it could be lost
  const path = pathOf(voter);
  try {
    const file = await open(path, "w", 0o600);
    try {
      await file.writeFile(votedLine(voter) + viewLine(view));
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw cannotWrite(path, cause);
  }
}

/** To be called before VIEW-CHANGE for a view is said, and before the first vote in it; the marker is there, with view `marked`. Durable when it returns; never goes back. */
export function viewMarker(voter: Voter, marked: View): (view: View) => void {
  const path = pathOf(voter);
  let last = marked;
  return (view) => {
    if (view <= last) return;
    try {
      const file = openSync(path, "r+");
      try {
        writeSync(file, viewLine(view), votedLine(voter).length);
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
    } catch (cause) {
      throw cannotWrite(path, cause);
    }
    last = view;
  };
}

function cannotWrite(path: string, cause: unknown): NarsesError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new NarsesError("DISK_FAILED", `cannot write ${path}: ${reason}; make the home of the replica writable`, { path }, { cause });
}
