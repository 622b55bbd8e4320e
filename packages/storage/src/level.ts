/** Opening LevelDB, and its errors as ours. */
import { NarsesError } from "@narses/core";
import { ClassicLevel, type OpenOptions } from "classic-level";
import { dataCorrupt, FETCH_STATE } from "./errors.ts";
import { attempt, diskFailed, errnoOf, joinPath, syncParent } from "./files/file-system.ts";
import { nodeFileSystem } from "./files/node-file-system.ts";

export type Level = ClassicLevel<Uint8Array, Uint8Array>;

/** LevelDB gives Buffers, whose `slice` aliases; what leaves this package is plain. */
export function plain(bytes: Uint8Array | undefined): Uint8Array | undefined {
  return bytes === undefined ? undefined : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** abstract-level wraps what LevelDB said. */
const innermost = (error: unknown): unknown => (error instanceof Error && error.cause !== undefined ? innermost(error.cause) : error);

/** LevelDB gives the text of strerror and no number. */
const ERRNO_TEXTS: readonly (readonly [string, string])[] = [
  ["No space left on device", "ENOSPC"],
  ["Disk quota exceeded", "EDQUOT"],
  ["Input/output error", "EIO"],
  ["Read-only file system", "EROFS"],
  ["Permission denied", "EACCES"],
];

/** DATA_DIR_LOCKED, DATA_CORRUPT, CLOSED or DISK_FAILED. */
export function levelFailed(operation: string, directory: string, error: unknown): NarsesError {
  if (error instanceof NarsesError) return error;
  const inner = innermost(error);
  const code = errnoOf(inner);
  const text = inner instanceof Error ? inner.message : String(inner);
  const data = { path: directory };
  if (code === "LEVEL_LOCKED") {
    const message = `database ${directory} is open in another process or store: stop that one first`;
    return new NarsesError("DATA_DIR_LOCKED", message, data, { cause: error });
  }
  if (code === "LEVEL_DATABASE_NOT_OPEN") return new NarsesError("CLOSED", `database ${directory} was closed`, data, { cause: error });
  // A file that its manifest names and that is gone is damage, not a failing disk.
  if (code === "LEVEL_CORRUPTION" || text.includes("No such file or directory")) {
    return dataCorrupt(`database ${directory} is damaged (${text})`, FETCH_STATE, data, error);
  }
  return diskFailed(operation, directory, inner, ERRNO_TEXTS.find(([sign]) => text.includes(sign))?.[1]);
}

/**
 * Opens or makes the database in `directory`. With `mustExist`, one that is not there is a lost one.
 * @throws NarsesError as {@link levelFailed} says; DATA_CORRUPT when it must exist and does not.
 */
export async function openLevel(directory: string, options: OpenOptions, mustExist = false): Promise<Level> {
  if (mustExist && !nodeFileSystem.exists(joinPath(directory, "CURRENT"))) {
    throw dataCorrupt(`there is no database in ${directory}, but there was one`, `is it mounted? If it is lost, ${FETCH_STATE}`, { path: directory });
  }
  attempt("creation", directory, () => {
    nodeFileSystem.makeDirectory(directory);
    syncParent(nodeFileSystem, directory);
  });
  const db: Level = new ClassicLevel<Uint8Array, Uint8Array>(directory, { keyEncoding: "view", valueEncoding: "view" });
  try {
    await db.open(options);
  } catch (error) {
    throw levelFailed("opening", directory, error);
  }
  return db;
}
