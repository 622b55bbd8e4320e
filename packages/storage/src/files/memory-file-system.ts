/**
 * A disk in memory that forgets what was not synced: for tests and for a simulator. Contents are durable sector by
 * sector (512 bytes), names in order of the operations that made them; `crash` asks what of the rest survived.
 */
import type { File, FileSystem } from "./file-system.ts";

const SECTOR_BYTES = 512;

export type DiskOperation = "open" | "write" | "read" | "sync" | "rename" | "unlink" | "sync-directory";

export interface MemoryFileSystemOptions {
  /** Asked before each operation: an errno ("EIO", "ENOSPC") makes it fail without effect. */
  readonly fault?: (operation: DiskOperation, path: string) => string | undefined;
}

interface Inode {
  bytes: Uint8Array;
  size: number;
  /** As of the last sync. */
  durable: Uint8Array;
  readonly dirty: Set<number>;
}

interface NameChange {
  readonly directory: string;
  readonly apply: (names: Map<string, Inode>) => void;
}

const directoryOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/"))) || "/";

/** Shaped like the errors of node:fs. */
class DiskError extends Error {
  readonly code: string;
  constructor(code: string, operation: string, path: string) {
    super(`${code}: ${operation} '${path}'`);
    this.code = code;
  }
}

export class MemoryFileSystem implements FileSystem {
  readonly #names: Map<string, Inode>;
  readonly #durableNames: Map<string, Inode>;
  #changes: NameChange[] = [];
  readonly #fault: MemoryFileSystemOptions["fault"];

  constructor(options: MemoryFileSystemOptions = {}, contents: ReadonlyMap<string, Uint8Array> = new Map()) {
    this.#fault = options.fault;
    this.#names = new Map();
    for (const [path, bytes] of contents) {
      this.#names.set(path, { bytes: bytes.slice(), size: bytes.length, durable: bytes.slice(), dirty: new Set() });
    }
    this.#durableNames = new Map(this.#names);
  }

  /** Bytes of a file as a process sees them; a copy. For tests that damage or inspect files. */
  contents(): Map<string, Uint8Array> {
    return new Map([...this.#names].map(([path, inode]) => [path, inode.bytes.slice(0, inode.size)]));
  }

  /**
   * The disk after a power cut. `survives` is asked for each unsynced sector and then, in order, for each unsynced change
   * of a name until it first says no. Handles on the old disk no longer matter.
   */
  crash(survives: () => boolean, options: MemoryFileSystemOptions = {}): MemoryFileSystem {
    const names = new Map(this.#durableNames);
    for (const change of this.#changes) {
      if (!survives()) break;
      change.apply(names);
    }
    return new MemoryFileSystem(options, new Map([...names].map(([path, inode]) => [path, afterCrash(inode, survives)])));
  }

  open(path: string, mode: "create" | "existing"): File {
    this.check("open", path);
    const held = this.#names.get(path);
    if (mode === "create" && held !== undefined) throw new DiskError("EEXIST", "open", path);
    if (mode === "existing" && held === undefined) throw new DiskError("ENOENT", "open", path);
    const inode = held ?? { bytes: new Uint8Array(0), size: 0, durable: new Uint8Array(0), dirty: new Set<number>() };
    if (held === undefined) this.#change(directoryOf(path), (names) => names.set(path, inode));
    return new MemoryFile(this, path, inode);
  }

  rename(from: string, to: string): void {
    this.check("rename", from);
    const inode = this.#names.get(from);
    if (inode === undefined) throw new DiskError("ENOENT", "rename", from);
    this.#change(directoryOf(to), (names) => {
      names.delete(from);
      names.set(to, inode);
    });
  }

  unlink(path: string): void {
    this.check("unlink", path);
    if (!this.#names.has(path)) throw new DiskError("ENOENT", "unlink", path);
    this.#change(directoryOf(path), (names) => names.delete(path));
  }

  exists(path: string): boolean {
    return this.#names.has(path);
  }

  list(directory: string): readonly string[] {
    return [...this.#names.keys()].filter((path) => directoryOf(path) === directory).map((path) => path.slice(path.lastIndexOf("/") + 1));
  }

  makeDirectory(_path: string): void {
    // directories are implied by the paths in them
  }

  syncDirectory(path: string): void {
    this.check("sync-directory", path);
    for (const change of this.#changes) if (change.directory === path) change.apply(this.#durableNames);
    this.#changes = this.#changes.filter((change) => change.directory !== path);
  }

  check(operation: DiskOperation, path: string): void {
    const errno = this.#fault?.(operation, path);
    if (errno !== undefined) throw new DiskError(errno, operation, path);
  }

  #change(directory: string, apply: NameChange["apply"]): void {
    apply(this.#names);
    this.#changes.push({ directory, apply });
  }
}

function afterCrash(inode: Inode, survives: () => boolean): Uint8Array {
  let bytes = inode.durable.slice();
  for (const sector of [...inode.dirty].sort((a, b) => a - b)) {
    if (!survives()) continue;
    const from = sector * SECTOR_BYTES;
    const to = Math.min(from + SECTOR_BYTES, inode.size);
    if (to > bytes.length) {
      const longer = new Uint8Array(to);
      longer.set(bytes);
      bytes = longer;
    }
    bytes.set(inode.bytes.subarray(from, to), from);
  }
  return bytes;
}

class MemoryFile implements File {
  readonly #disk: MemoryFileSystem;
  readonly #path: string;
  readonly #inode: Inode;

  constructor(disk: MemoryFileSystem, path: string, inode: Inode) {
    this.#disk = disk;
    this.#path = path;
    this.#inode = inode;
  }

  write(buffers: readonly Uint8Array[], position: number): void {
    this.#disk.check("write", this.#path);
    const inode = this.#inode;
    const end = buffers.reduce((sum, buffer) => sum + buffer.length, position);
    if (end > inode.bytes.length) {
      const longer = new Uint8Array(Math.max(end, 2 * inode.bytes.length));
      longer.set(inode.bytes.subarray(0, inode.size));
      inode.bytes = longer;
    }
    inode.size = Math.max(inode.size, end);
    let at = position;
    for (const buffer of buffers) {
      inode.bytes.set(buffer, at);
      at += buffer.length;
    }
    for (let sector = Math.floor(position / SECTOR_BYTES); sector * SECTOR_BYTES < end; sector++) inode.dirty.add(sector);
  }

  read(target: Uint8Array, position: number): number {
    this.#disk.check("read", this.#path);
    const part = this.#inode.bytes.subarray(position, Math.min(this.#inode.size, position + target.length));
    target.set(part);
    return part.length;
  }

  sync(): void {
    this.#disk.check("sync", this.#path);
    this.#inode.durable = this.#inode.bytes.slice(0, this.#inode.size);
    this.#inode.dirty.clear();
  }

  size(): number {
    return this.#inode.size;
  }

  close(): void {
    // nothing is held
  }
}
