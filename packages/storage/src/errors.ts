/** The two errors that several files have in common. */
import { NarsesError } from "@narses/core";

/** `what` is damaged or lost; `remedy` says what to do. */
export const dataCorrupt = (what: string, remedy: string, data: Readonly<Record<string, unknown>>, cause?: unknown): NarsesError =>
  new NarsesError("DATA_CORRUPT", `${what}: ${remedy}`, data, { cause });

export const dataVersion = (file: string, found: number | undefined, ours: number): NarsesError =>
  new NarsesError("DATA_VERSION", `${file} has format ${found}, this program writes ${ours}: use the program that wrote it`, { file, version: found });

/** The way out of a damaged state or block store; the votes must stay, so that nothing that was said is forgotten. */
export const FETCH_STATE = "remove state and blocks (not votes) from the data directory and start once with --rejoin: they are fetched from the others";
export const NO_VOTES = "votes may be lost, so this replica must not vote from this log";
