/** Opening LevelDB, and its errors as ours. */
import { NarsesError } from "@narses/core";
import { ClassicLevel, type OpenOptions } from "classic-level";
import { diskFailed, errnoOf } from "./files/file-system.ts";

export type Level = ClassicLevel<Uint8Array, Uint8Array>;

/** abstract-level wraps what LevelDB said: the innermost code counts. */
function levelCode(error: unknown): string | undefined {
  const cause = error instanceof Error ? error.cause : undefined;
  return (cause === undefined ? undefined : levelCode(cause)) ?? errnoOf(error);
}

/** DATA_DIR_LOCKED, DATA_CORRUPT or DISK_FAILED. */
export function levelFailed(operation: string, directory: string, error: unknown): NarsesError {
  if (error instanceof NarsesError) return error;
  const code = levelCode(error);
  const text = error instanceof Error ? String((error.cause instanceof Error ? error.cause : error).message) : String(error);
  if (code === "LEVEL_LOCKED") {
    return new NarsesError("DATA_DIR_LOCKED", `database ${directory} is open in another process or store: stop that one first`, { path: directory }, { cause: error });
  }
  if (code === "LEVEL_DATABASE_NOT_OPEN") return new NarsesError("CLOSED", `database ${directory} was closed`, { path: directory }, { cause: error });
  if (code === "LEVEL_CORRUPTION") {
    return new NarsesError("DATA_CORRUPT", `database ${directory} is damaged (${text}): remove the data directory's contents and let the replica fetch the state again`, { path: directory }, { cause: error });
  }
  return diskFailed(operation, directory, error);
}

/** @throws NarsesError as {@link levelFailed} says. */
export async function openLevel(directory: string, options: OpenOptions): Promise<Level> {
  const db: Level = new ClassicLevel<Uint8Array, Uint8Array>(directory, { keyEncoding: "view", valueEncoding: "view" });
  try {
    await db.open(options);
  } catch (error) {
    throw levelFailed("opening", directory, error);
  }
  return db;
}
