/**
 * The disk of one replica. Records are appended, then written (they survive a killed process), then synced (they survive
 * a power cut). A crash keeps a prefix: everything that was safe for its kind, and by chance some of the rest.
 */
import type { LogRecord, SeqNum } from "@narses/core";
import { recordSeq } from "@narses/core";
import { GENESIS, GENESIS_STATE, type SimBlock, type State } from "./app.ts";
import type { Random } from "./random.ts";

/** `kill`: the process dies, the machine lives. `power`: unsynced writes are lost. */
export type CrashKind = "kill" | "power";

export class Disk {
  /** State as of the last durable checkpoint. */
  snapshot: State = GENESIS_STATE;
  /** Blocks 0 … snapshot.seq are durable; the rest is made again by execution. */
  readonly blocks: SimBlock[] = [GENESIS];
  private log: LogRecord[] = [];
  private written = 0;
  private synced = 0;

  get records(): readonly LogRecord[] {
    return this.log;
  }

  /** An independent copy, as it is now. */
  copy(): Disk {
    const copy = new Disk();
    copy.snapshot = this.snapshot;
    // Blocks below a transferred state are missing, and stay so: holes are copied as holes.
    copy.blocks.length = 0;
    this.blocks.slice(0, this.snapshot.seq + 1).forEach((block, seq) => void (copy.blocks[seq] = block));
    copy.log = [...this.log];
    copy.sync();
    return copy;
  }

  /** This disk, with another log. */
  withLog(records: readonly LogRecord[]): this {
    this.log = [...records];
    this.sync();
    return this;
  }

  append(record: LogRecord): void {
    this.log.push(record);
  }

  /** Hands everything appended to the operating system. */
  flush(): void {
    this.written = this.log.length;
  }

  sync(): void {
    this.flush();
    this.synced = this.log.length;
  }

  /** Drops records of slots at or below `seq`, and all but the latest record about each of stable, view-left, new-view. Durable. */
  truncate(seq: SeqNum): void {
    const latest = new Map<LogRecord["type"], LogRecord>();
    for (const record of this.log) if (recordSeq(record) === undefined) latest.set(record.type, record);
    this.log = this.log.filter((record) => {
      const slot = recordSeq(record);
      return slot === undefined ? latest.get(record.type) === record : slot > seq;
    });
    this.sync();
  }

  /** The state as of its seq, and every block up to it, is durable from now on. */
  saveSnapshot(state: State): void {
    if (state.seq > this.snapshot.seq) this.snapshot = state;
  }

  /** An operator puts an old copy in the place of what is there. While its replica is down. */
  restore(old: Disk): void {
    this.snapshot = old.snapshot;
    this.log = [...old.log];
    this.blocks.splice(0, this.blocks.length, ...old.blocks);
    this.sync();
  }

  /** Everything is gone. */
  wipe(): void {
    this.snapshot = GENESIS_STATE;
    this.blocks.length = 1;
    this.log = [];
    this.sync();
  }

  /** What is left after a crash. */
  crash(kind: CrashKind, random: Random): void {
    const safe = kind === "kill" ? this.written : this.synced;
    this.log.length = safe + (random.chance(0.5) ? 0 : random.int(0, this.log.length - safe));
    this.sync();
    this.blocks.length = this.snapshot.seq + 1;
  }
}
