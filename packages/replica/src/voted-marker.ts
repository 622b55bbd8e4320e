/**
 * A marker beside the key, outside the data directory: this key has voted. A data directory that is lost (a volume not
 * mounted, a wrong path, an rm) must not make the replica start afresh under the same key: it could contradict its earlier
 * votes, which is what a Byzantine replica does.
 */
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { NarsesError, type Digest, type ReplicaId } from "@narses/core";

const MARKER = "replica.voted";

export interface Voter {
  readonly home: string;
  readonly self: ReplicaId;
  readonly clusterId: Digest;
}

const markOf = ({ self, clusterId }: Voter): string => `replica ${self} of cluster ${clusterId} has voted\n`;

export const hasVoted = async (voter: Voter): Promise<boolean> =>
  (await readFile(join(voter.home, MARKER), "utf8").catch(() => undefined)) === markOf(voter);

/** @throws NarsesError DATA_CORRUPT when the key has voted and the data directory knows nothing of it. */
export async function refuseLostData(voter: Voter, data: { readonly directory: string; readonly initialized: boolean }): Promise<void> {
  if (data.initialized || !(await hasVoted(voter))) return;
  const path = join(voter.home, MARKER);
  throw new NarsesError(
    "DATA_CORRUPT",
    `replica ${voter.self} has voted before (${path} says so), but its data directory ${data.directory} is empty; mount it. If it is lost, start once with ` +
      "--rejoin: the replica then fetches the state from the others, follows and serves them, and does not vote until nothing it says can contradict " +
      "what it said before and cannot remember. Do not restore an old copy: it would not know what was said since",
    { path, directory: data.directory },
  );
}

/** Durable when it resolves. @throws NarsesError DISK_FAILED when the home cannot be written. */
export async function markVoted(voter: Voter): Promise<void> {
  const path = join(voter.home, MARKER);
  try {
    const file = await open(path, "w", 0o600);
    try {
      await file.writeFile(markOf(voter));
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new NarsesError("DISK_FAILED", `cannot write ${path}: ${reason}; make the home of the replica writable`, { path }, { cause });
  }
}
