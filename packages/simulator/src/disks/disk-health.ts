/**
 * What is wrong with the disk of one machine, as its vote log meets it. Mishaps a correct replica must get over: slow syncs, no space,
 * an error of the device, a power cut that tears what was not synced. Damage that none can get over, only notice (rot, writes and
 * reads that go astray), or not even that (a disk that lies about syncing): a replica that has it counts against f.
 */
import type { DiskOperation } from "@narses/storage/portable";
import type { Random } from "../random.ts";

const SECTOR_BYTES = 512;

/** What `operation` meets: an errno it fails with, a place it goes to instead, or nothing. */
export class DiskHealth {
  /** A sync takes at least this long. */
  syncFloorUs = 0;
  /** Nothing new can be written. */
  full = false;
  /** This many operations until one fails with EIO; it is the device that fails, so a sync that fails loses what it should have kept. */
  failsAfter: number | undefined;
  /** Syncs are acknowledged and not done, with this probability. */
  lies = 0;
  /** The next write to a log segment lands so many sectors away. */
  misdirects: number | undefined;
  /** Counts, for reports. */
  readonly met: { slow: number; full: number; failed: number; storeFailed: number; lied: number; misdirected: number; astray: number } =
    { slow: 0, full: 0, failed: 0, storeFailed: 0, lied: 0, misdirected: 0, astray: 0 };
  private readonly random: Random;

  constructor(random: Random) {
    this.random = random;
  }

  /** Everything works from now on; what is damaged stays damaged. */
  heal(): void {
    this.syncFloorUs = 0;
    this.full = false;
    this.failsAfter = undefined;
    this.misdirects = undefined;
  }

  /** The errno that the operation fails with, if it does. */
  errnoOf(operation: DiskOperation): string | undefined {
    if (this.failsAfter !== undefined && operation !== "open" && --this.failsAfter <= 0) {
      this.failsAfter = undefined;
      this.met.failed++;
      return "EIO";
    }
    if (this.full && operation === "write") {
      this.met.full++;
      return "ENOSPC";
    }
    return undefined;
  }

  syncUs(usualUs: number): number {
    if (this.syncFloorUs > usualUs) this.met.slow++;
    return Math.max(usualUs, this.syncFloorUs);
  }

  /** Whether this sync is only said to be done. */
  liesNow(): boolean {
    if (this.lies === 0 || !this.random.chance(this.lies)) return false;
    this.met.lied++;
    return true;
  }

  /** Where a write goes that was meant for `position` of a file of `size` bytes. */
  placeOf(position: number, bytes: number, size: number): number {
    const { misdirects } = this;
    if (misdirects === undefined) return position;
    this.misdirects = undefined;
    const place = position + misdirects * SECTOR_BYTES;
    if (place < 0 || place + bytes > size) return position;
    this.met.misdirected++;
    return place;
  }
}

/** Flips a bit, or zeroes a sector, of contents that are on disk. Returns where. */
export function rot(bytes: Uint8Array, random: Random): number {
  const at = random.int(0, Math.max(0, bytes.length - 1));
  if (random.chance(0.5)) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.int(0, 7));
  else bytes.fill(0, at - (at % SECTOR_BYTES), Math.min(bytes.length, at - (at % SECTOR_BYTES) + SECTOR_BYTES));
  return at;
}
