/**
 * The port through which the vote log and the superblock reach a disk: {@link nodeFileSystem} in production,
 * {@link MemoryFileSystem} where a test or a simulator decides what a crash loses. Synchronous, because a vote must be
 * durable before the loop turns; every method throws an error with `code` (ENOSPC, EIO, …) when the disk refuses.
 */
import { NarsesError } from "@narses/core";

export interface File {
  /** Writes all of `buffers`, one after the other, from `position` on: one system call unless the kernel cuts it short. */
  write(buffers: readonly Uint8Array[], position: number): void;
  /** Bytes read: fewer than asked only at the end of the file. */
  read(target: Uint8Array, position: number): number;
  /** fdatasync: everything written so far, and the size, is on disk. */
  sync(): void;
  size(): number;
  close(): void;
}

export interface FileSystem {
  /** "create" fails with EEXIST when the file exists; "existing" with ENOENT when it does not. Read and write, mode 0600. */
  open(path: string, mode: "create" | "existing"): File;
  /** Replaces `to`. Durable after {@link syncDirectory} of the directory. */
  rename(from: string, to: string): void;
  unlink(path: string): void;
  exists(path: string): boolean;
  /** Names in a directory, in no particular order. */
  list(directory: string): readonly string[];
  /** With its parents, mode 0700; no error when it is there. */
  makeDirectory(path: string): void;
  /** fsync of the directory: its names are on disk. */
  syncDirectory(path: string): void;
}

/** `code` of a system error ("ENOSPC"), or undefined. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** DISK_FAILED with `errno`, `operation` and `path` in its data: never retried, whoever holds the file must stop. */
export function diskFailed(operation: string, path: string, error: unknown, errno: string | undefined = errnoOf(error)): NarsesError {
  const full = errno === "ENOSPC" || errno === "EDQUOT";
  const advice = full ? "free space on the disk, then start the replica again" : "check the disk; the replica stops and does not retry";
  const text = error instanceof Error ? error.message : String(error);
  const data = { errno, operation, path };
  return new NarsesError("DISK_FAILED", `${operation} of ${path} failed (${text}): ${advice}`, data, { cause: error });
}

export const joinPath = (directory: string, name: string): string => `${directory}/${name}`;

/** Names of `path` are durable once this returns: the directory that holds it is synced. */
export function syncParent(files: FileSystem, path: string): void {
  const cut = path.replace(/\/+$/, "").lastIndexOf("/");
  files.syncDirectory(cut < 0 ? "." : path.slice(0, cut) || "/");
}

/** Runs `body`; an error of the operating system becomes DISK_FAILED, any other passes through. */
export function attempt<T>(operation: string, path: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw error instanceof NarsesError || errnoOf(error) === undefined ? error : diskFailed(operation, path, error);
  }
}
