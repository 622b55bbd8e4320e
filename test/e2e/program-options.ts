/** Where a replica kills itself: a row of "what to persist before what" (protocol notes 1.6) and a moment within it. */

export const MOMENTS = ["before the record is written", "written, not synced", "synced, nothing sent", "sent to one peer", "sent to all"] as const;
/** Of truncation, which sends nothing. */
export const TRUNCATION_MOMENTS = ["before the record is written", "written, not synced", "synced, nothing sent", "cut written, not synced", "cut synced", "truncated"] as const;
/** Of CHECKPOINT, whose record is the state itself. */
export const CHECKPOINT_MOMENTS = ["before the record is written", "written, not synced", "synced, nothing sent", "sent to one peer", "sent to all"] as const;

export type Moment = (typeof MOMENTS)[number] | (typeof TRUNCATION_MOMENTS)[number];

export const ROWS = ["PRE-PREPARE", "PREPARE", "COMMIT", "VIEW-CHANGE by the primary", "VIEW-CHANGE by a backup", "NEW-VIEW, its sender", "NEW-VIEW, a receiver", "CHECKPOINT", "truncation"] as const;
export type Row = (typeof ROWS)[number];

export interface CrashSpec {
  readonly row: Row;
  readonly moment: Moment;
}

/** Second argument of the program, as JSON. */
export interface ProgramOptions {
  readonly crash?: CrashSpec;
  /** Ports where it dials the others, by replica, in place of those in the cluster file. */
  readonly dial?: readonly number[];
}
