/** The file system as one process sees it: every operation takes time, may be its last, and has no effect once the process is dead. */
import type { DiskOperation, File, FileSystem } from "@narses/storage/portable";

/** Asked before each operation; throws when it must fail. */
export type Gate = (operation: DiskOperation, path: string, bytes: number) => void;

export class ProcessFiles implements FileSystem {
  private readonly inner: FileSystem;
  private readonly gate: Gate;

  constructor(inner: FileSystem, gate: Gate) {
    this.inner = inner;
    this.gate = gate;
  }

  open(path: string, mode: "create" | "existing"): File {
    this.gate("open", path, 0);
    const file = this.inner.open(path, mode);
    const { gate } = this;
    return {
      write(buffers, position) {
        gate("write", path, buffers.reduce((sum, { length }) => sum + length, 0));
        file.write(buffers, position);
      },
      read(target, position) {
        gate("read", path, target.length);
        return file.read(target, position);
      },
      sync() {
        gate("sync", path, 0);
        file.sync();
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
    this.inner.syncDirectory(path);
  }
}
