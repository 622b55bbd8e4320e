/**
 * Opening the vote log, and what is known about what it lacks. A log that is damaged or gone is set aside and the replica comes
 * back with amnesia: it follows and serves, and the engine keeps it from voting until nothing it says can contradict what
 * was lost. A whole data directory that is gone may be a volume that is not mounted, so that needs an operator's word.
 */
import { randomBytes } from "node:crypto";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { digest, NarsesError, toHex, type LogRecord, type Logger, type Memory, type VoteLog } from "@narses/core";
import type { DataDirectory, VoteLogOptions } from "@narses/storage";
import type { Mark } from "./voted-marker.ts";

export interface VoteMemoryOptions {
  readonly directory: Pick<DataDirectory, "path" | "votes" | "initialized" | "instance" | "votesLost" | "view" | "markVotesLost">;
  readonly openLog: (options: VoteLogOptions) => Promise<VoteLog>;
  readonly decode: (bytes: Uint8Array) => LogRecord;
  /** Of the cluster: alone a replica has nobody to ask. */
  readonly replicas: number;
  /** The operator says that the data directory is lost. */
  readonly rejoin: boolean;
  /** What the home knows, beside the data directory. */
  readonly mark: Mark | undefined;
  readonly logger: Logger;
}

export interface VoteMemory {
  readonly log: VoteLog;
  readonly memory: Memory;
}

/** @throws NarsesError DATA_CORRUPT when the log is lost and the cluster has no other replica; DATA_VERSION, DISK_FAILED. */
export async function openVoteMemory(options: VoteMemoryOptions): Promise<VoteMemory> {
  const { directory, decode, rejoin } = options;
  if (rejoin && !directory.initialized) directory.markVotesLost();
  const log = await openOrReplace(options);
  const records = log.recovered.map(decode);
  const told = records.findLast((record) => record.type === "amnesia");
  const nonce = digest(toHex(randomBytes(32)));
  const memory: Memory = { nonce, ...(options.mark?.view !== undefined && { viewAtLeast: options.mark.view }) };
  const lost = lostOf(options, { told, lastView: Math.max(0, ...records.map(viewOf)) });
  return { log, memory: lost === undefined ? memory : { ...memory, lost } };
}

interface Logged {
  /** What the log says last of an earlier loss. */
  readonly told: Extract<LogRecord, { type: "amnesia" }> | undefined;
  readonly lastView: number;
}

/**
 * Superblock and marker, in this order, take note of a view when its record is durable: a record that is not there any more was lost, and a
 * directory that is behind the marker is an earlier copy. (The marker may be one as well, so its view need not be the last.)
 */
function lostOf({ directory, mark, replicas, logger }: VoteMemoryOptions, { told, lastView }: Logged): Memory["lost"] {
  const { view, initialized, votesLost } = directory;
  const here = Math.max(lastView, view ?? 0);
  const copied = mark?.view !== undefined && mark.view > here;
  // The flag was there before the log was replaced, the record takes over from it: in between any crash leaves one of them.
  if (votesLost && told === undefined) return { view: initialized && !copied ? view : undefined };
  if (replicas === 1) return undefined;
  if (copied) {
    // A loss of which nothing is bounded yet knows no view by itself: that is no sign of a copy, and the record says enough.
    if (told !== undefined && told.view === undefined && told.floor === undefined) return undefined;
    const why = `its data directory is an old copy: it knows of view ${here}, and ${mark.path} of view ${mark.view}`;
    logger.error({ view: mark.view, lastView: here }, `${why}; this replica rejoins without memory`);
    return { view: undefined, why };
  }
  if (view === undefined || view <= lastView) return undefined;
  logger.error({ view, lastView }, `the vote log ends in view ${lastView}, but this replica was in view ${view}; it rejoins without memory`);
  return { view };
}

/** The view that this record says was left or entered, or known to be the last, or to be followed by what is not remembered. */
function viewOf(record: LogRecord): number {
  if (record.type === "amnesia") return Math.max(record.view ?? 0, record.floor?.view ?? 0);
  return record.type === "view-left" || record.type === "new-view" ? record.view : 0;
}

async function openOrReplace({ directory, openLog, replicas, logger }: VoteMemoryOptions): Promise<VoteLog> {
  // Set aside before a crash, and the new one was not made yet.
  const mustExist = directory.initialized && !directory.votesLost;
  try {
    return await openLog({ directory: directory.votes, mustExist });
  } catch (error) {
    if (!(error instanceof NarsesError) || error.code !== "DATA_CORRUPT" || replicas === 1) throw error;
    const aside = join(directory.path, `votes.damaged-${directory.instance}`);
    directory.markVotesLost();
    await rm(aside, { recursive: true, force: true });
    await rename(directory.votes, aside).catch((failure: unknown) => {
      if ((failure as { code?: unknown }).code === "ENOENT") return;
      throw new NarsesError("DISK_FAILED", `cannot set ${directory.votes} aside`, { path: directory.votes }, { cause: failure });
    });
    logger.error({ code: error.code, ...error.data, aside }, `the vote log cannot be trusted: ${error.message}. It was moved to ${aside}; this replica rejoins without its memory`);
    return openLog({ directory: directory.votes, mustExist: false });
  }
}
