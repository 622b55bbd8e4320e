/** What a machine keeps of one replica while no process runs: files (the vote log), state and blocks. */
import { MemoryBackend, MemoryFileSystem, memoryBlockStore, type MemoryBlockStore } from "@narses/storage/portable";
import type { CrashKind } from "../disk.ts";
import type { Random } from "../random.ts";

export class ReplicaDisk {
  files: MemoryFileSystem = new MemoryFileSystem();
  state: MemoryBackend = new MemoryBackend();
  blocks: MemoryBlockStore = memoryBlockStore();
  /** The stores were opened before: an empty one is a lost one. Durable when set. */
  initialized = false;

  /** Everything is gone. */
  wipe(): void {
    this.files = new MemoryFileSystem();
    this.state = new MemoryBackend();
    this.blocks = memoryBlockStore();
    this.initialized = false;
  }

  /** The process is gone (`kill`: the machine lives and keeps what was written) or the power was (`power`: what was not synced is lost, by sectors). */
  crash(kind: CrashKind, random: Random): void {
    if (kind === "power") {
      const survival = random.pick([0, 0.5, 0.9]);
      this.files = this.files.crash(() => random.chance(survival));
    }
    // Blocks go out by themselves now and then, without being waited for.
    if (random.chance(0.3)) void this.blocks.sync();
    this.blocks = this.blocks.reopen();
  }
}
