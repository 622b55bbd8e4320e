/** The file system as one process sees it: every operation takes time, may fail or be its last, and has no effect once the process is dead. */
import type { DiskOperation, File, FileSystem } from "@narses/storage/portable";
import type { DiskHealth } from "./disk-health.ts";

/** Asked before each operation; throws when it must fail. */
export type Gate = (operation: DiskOperation, path: string, bytes: number) => void;

export class ProcessFiles implements FileSystem {
  private readonly inner: FileSystem;
  private readonly health: DiskHealth;
  private readonly gate: Gate;

  constructor(inner: FileSystem, health: DiskHealth, gate: Gate) {
    this.inner = inner;
    this.health = health;
    this.gate = gate;
  }

  open(path: string, mode: "create" | "existing"): File {
    this.gate("open", path, 0);
    const file = this.inner.open(path, mode);
    const { gate, health } = this;
    return {
      write(buffers, position) {
        const bytes = buffers.reduce((sum, { length }) => sum + length, 0);
        gate("write", path, bytes);
        file.write(buffers, health.placeOf(position, bytes, file.size()));
      },
      read(target, position) {
        gate("read", path, target.length);
        return file.read(target, position);
      },
      sync() {
        gate("sync", path, 0);
        if (!health.liesNow()) file.sync();
      },
      size: () => file.size(),
      close: () => file.close(),
    };
  }

  rename(from: string, to: string): void {
    this.gate("rename", from, 0);
    this.inner.rename(from, to);
  }

  unlink(path: string): void {
    this.gate("unlink", path, 0);
    this.inner.unlink(path);
  }

  exists(path: string): boolean {
    return this.inner.exists(path);
  }

  list(directory: string): readonly string[] {
    return this.inner.list(directory);
  }

  makeDirectory(path: string): void {
    this.inner.makeDirectory(path);
  }

  syncDirectory(path: string): void {
    this.gate("sync-directory", path, 0);
    if (!this.health.liesNow()) this.inner.syncDirectory(path);
  }
}
