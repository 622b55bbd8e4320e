/** What a machine keeps of one replica while no process runs: files (the vote log), state and blocks. */
import { MemoryBackend, MemoryFileSystem, memoryBlockStore, type MemoryBlockStore } from "@narses/storage/portable";
import type { CrashKind } from "../disk.ts";
import type { Random } from "../random.ts";
import { DiskHealth, rot } from "./disk-health.ts";

interface Backup {
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly state: MemoryBackend;
  readonly blocks: MemoryBlockStore;
  readonly initialized: boolean;
}

/** Pages of a simulated state that damage may hit, at most: it has few (`replica-world`). */
const PAGES = 64;

/** Segments are made in their full size: zeroes at the end are room. */
function usedOf(bytes: Uint8Array): number {
  let used = bytes.length;
  while (used > 0 && bytes[used - 1] === 0) used--;
  return used;
}

export class ReplicaDisk {
  readonly health: DiskHealth;
  files: MemoryFileSystem = new MemoryFileSystem();
  state: MemoryBackend = new MemoryBackend();
  blocks: MemoryBlockStore = memoryBlockStore();
  /** The stores were opened before: an empty one is a lost one. Durable when set. */
  initialized = false;
  /** Pages of the state and blocks that rotted: what is read of them is not what was written. */
  readonly rottenPages: Set<number> = new Set<number>();
  readonly rottenBlocks: Set<number> = new Set<number>();
  /** What is read in place of a page, whatever is written to it: its own earlier bytes, or those of another. */
  readonly astrayPages: Map<number, Uint8Array> = new Map<number, Uint8Array>();
  private backup: Backup | undefined;
  private readonly random: Random;

  constructor(random: Random) {
    this.random = random;
    this.health = new DiskHealth(random.split("health"));
  }

  /** Everything is gone. */
  wipe(): void {
    this.files = new MemoryFileSystem();
    this.state = new MemoryBackend();
    this.blocks = memoryBlockStore();
    this.initialized = false;
    this.rottenPages.clear();
    this.astrayPages.clear();
    this.rottenBlocks.clear();
  }

  /**
   * The process is gone (`kill`: the machine lives and keeps what was written) or the power was (`power`: what was not synced is lost, by
   * sectors). After an error of the device (`error`) the kernel may have dropped what it could not write, too.
   */
  crash(kind: CrashKind | "error"): void {
    const { random } = this;
    if (kind !== "kill") {
      const survival = random.pick([0, 0.5, 0.9]);
      this.files = this.files.crash(() => random.chance(survival));
    }
    // Blocks go out by themselves now and then, without being waited for.
    if (random.chance(0.3)) void this.blocks.sync();
    this.blocks = this.blocks.reopen();
  }

  /** Damages something that is on disk: the vote log, a page of the state, a block. Returns what, in words. */
  damage(): string {
    const { random } = this;
    const kind = random.pick(["log", "log", "segment", "page", "stale page", "wrong page", "block"] as const);
    if (kind === "page") {
      const bucket = random.int(0, PAGES - 1);
      this.rottenPages.add(bucket);
      return `page ${bucket} of the state`;
    }
    if (kind === "stale page" || kind === "wrong page") return this.leadAstray(random.int(0, PAGES - 1), kind === "stale page" ? 0 : random.int(1, PAGES - 1));
    if (kind === "block") {
      const seq = random.int(0, this.blocks.head ?? 0);
      this.rottenBlocks.add(seq);
      return `block ${seq}`;
    }
    const segments = this.segments();
    if (segments.length === 0) return "nothing: there is no vote log yet";
    const [path, bytes] = random.pick(segments);
    if (kind === "segment") {
      this.files.unlink(path);
      this.files.syncDirectory("/votes");
      return `${path} is gone`;
    }
    const part = bytes.subarray(0, Math.max(1, usedOf(bytes)));
    const at = rot(part, random);
    const file = this.files.open(path, "existing");
    file.write([part], 0);
    file.sync();
    return `${path} at byte ${at}`;
  }

  /** Whoever reads the page gets what another one holds now (`away`: how far that is), or for ever what it holds now. */
  private leadAstray(bucket: number, away: number): string {
    const bytes = this.state.page((bucket + away) % PAGES);
    if (bytes === undefined) return "nothing: there is no such page yet";
    this.astrayPages.set(bucket, bytes.slice());
    return `page ${bucket} of the state is read as ${away === 0 ? "it is now, for ever" : `page ${(bucket + away) % PAGES}`}`;
  }

  /** The newest segment of the vote log ends so many bytes earlier, though they were synced. Returns how many were cut off. */
  truncate(bytesMax: number): number {
    const newest = this.segments().at(-1);
    if (newest === undefined) return 0;
    const [path, bytes] = newest;
    const used = usedOf(bytes);
    const cut = Math.min(used, bytesMax);
    const contents = this.files.contents();
    contents.set(path, bytes.slice(0, used - cut));
    this.files = new MemoryFileSystem({}, contents);
    return cut;
  }

  private segments(): readonly (readonly [string, Uint8Array])[] {
    return [...this.files.contents()].filter(([path, bytes]) => path.includes("/votes-") && bytes.length > 0).sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** A snapshot of the whole machine, as a careless operator makes one. */
  backUp(): void {
    this.backup = { files: this.files.contents(), state: this.state.fork(), blocks: this.blocks.reopen(), initialized: this.initialized };
  }

  /** Back to the last snapshot; false without one. */
  restore(): boolean {
    const { backup } = this;
    if (backup === undefined) return false;
    this.files = new MemoryFileSystem({}, backup.files);
    this.state = backup.state.fork();
    this.blocks = backup.blocks.reopen();
    this.initialized = backup.initialized;
    return true;
  }
}
