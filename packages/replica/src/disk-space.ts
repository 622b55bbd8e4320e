/**
 * Stops a replica before its disk is full, and lets it go on when there is space again. Between two turns it is frozen: nothing is
 * read, stepped, written, signed or sent, and its ticks never happen. To the others it is a replica that is slow; what they decided
 * meanwhile it learns as every replica does that was away. Half a turn is never said: a turn that began ends, out of the reserve.
 */
import type { Logger } from "@narses/core";
import type { Counters } from "./counters.ts";
import { DISK_LOOK_MS, DISK_RESERVE_BYTES_DEFAULT, DISK_RESUME_FACTOR } from "./limits.ts";
import { bytesText, seconds } from "./operations/words.ts";

/** The disk that votes, state and blocks are written to. */
export interface Disk {
  /** As an operator knows it. */
  readonly directory: string;
  /** Below it the replica freezes; 0: never. DISK_RESERVE_BYTES_DEFAULT by default. */
  readonly reserveBytes?: number;
  /** Bytes this process may still write; undefined: nobody knows. */
  freeBytes(): number | undefined;
}

export interface DiskStatus {
  readonly directory: string;
  /** When it was last looked, less than DISK_LOOK_MS ago. */
  readonly freeBytes: number;
  readonly reserveBytes: number;
  /** A frozen replica goes on when so many are free. */
  readonly resumeBytes: number;
  /** How long it has been frozen; null when it is not. */
  readonly frozenMs: number | null;
}

export interface DiskSpace {
  readonly frozen: boolean;
  /** Null: unknown. */
  readonly status: DiskStatus | null;
  /** Asks for the free bytes, at most once in DISK_LOOK_MS. Between two turns only. */
  look(): void;
}

export interface DiskSpaceOptions {
  readonly disk: Disk | undefined;
  readonly counters: Counters;
  readonly logger: Logger;
  readonly nowMs: () => number;
}

/** What a frozen replica waits for. */
export const lackOf = ({ directory, freeBytes, resumeBytes }: DiskStatus): string =>
  `${bytesText(freeBytes)} are free on the file system of ${directory}, and it goes on when ${bytesText(resumeBytes)} are: free some space, no restart is needed`;

export function createDiskSpace({ disk, counters, logger, nowMs }: DiskSpaceOptions): DiskSpace {
  const reserveBytes = disk?.reserveBytes ?? DISK_RESERVE_BYTES_DEFAULT;
  const resumeBytes = reserveBytes * DISK_RESUME_FACTOR;
  let lookedMs: number | undefined;
  let freeBytes: number | undefined;
  let frozenSinceMs: number | undefined;

  const space: DiskSpace = {
    get frozen() {
      return frozenSinceMs !== undefined;
    },
    get status() {
      if (disk === undefined || freeBytes === undefined) return null;
      const frozenMs = frozenSinceMs === undefined ? null : Math.round(nowMs() - frozenSinceMs);
      return { directory: disk.directory, freeBytes, reserveBytes, resumeBytes, frozenMs };
    },
    look() {
      const now = nowMs();
      if (disk === undefined || (lookedMs !== undefined && now - lookedMs < DISK_LOOK_MS)) return;
      lookedMs = now;
      const free = disk.freeBytes();
      if (free === undefined) return; // as it was
      freeBytes = free;
      if (frozenSinceMs === undefined ? free < reserveBytes : free >= resumeBytes) change(now);
    },
  };

  function change(now: number): void {
    const since = frozenSinceMs;
    frozenSinceMs = since === undefined ? now : undefined;
    const { status } = space;
    if (status === null) return;
    const fields = { directory: status.directory, freeBytes: status.freeBytes, reserveBytes, resumeBytes };
    if (since !== undefined) {
      logger.info(fields, `space on the disk again: ${bytesText(status.freeBytes)} are free; this replica goes on after ${seconds(now - since)}, without a restart`);
      return;
    }
    counters.diskFreezes++;
    logger.warn(fields, `DISK FULL: below the reserve of ${bytesText(reserveBytes)} this replica neither votes nor executes nor answers; ${lackOf(status)}`);
  }

  return space;
}
