import {
  closeSync, existsSync, fdatasyncSync, fstatSync, fsyncSync, mkdirSync, openSync, readdirSync, readSync, renameSync, unlinkSync,
  writeSync, writevSync,
} from "node:fs";
import type { File, FileSystem } from "./file-system.ts";

class NodeFile implements File {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(buffers: readonly Uint8Array[], position: number): void {
    const only = buffers.length === 1 ? buffers[0] : undefined;
    const total = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
    const written = only === undefined ? writevSync(this.#fd, buffers, position) : writeSync(this.#fd, only, 0, only.length, position);
    if (written === total) return;
    this.#writeRest(buffers, position, written);
  }

  /** The kernel took less than everything (a signal, or a disk that is filling up): go on where it stopped. */
  #writeRest(buffers: readonly Uint8Array[], position: number, written: number): void {
    let skip = written;
    let at = position + written;
    for (const buffer of buffers) {
      let from = Math.min(skip, buffer.length);
      skip -= from;
      while (from < buffer.length) {
        const more = writeSync(this.#fd, buffer, from, buffer.length - from, at);
        from += more;
        at += more;
      }
    }
  }

  read(target: Uint8Array, position: number): number {
    let done = 0;
    while (done < target.length) {
      const more = readSync(this.#fd, target, done, target.length - done, position + done);
      if (more === 0) break;
      done += more;
    }
    return done;
  }

  sync(): void {
    fdatasyncSync(this.#fd);
  }

  size(): number {
    return fstatSync(this.#fd).size;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

export const nodeFileSystem: FileSystem = {
  open: (path, mode) => new NodeFile(openSync(path, mode === "create" ? "wx+" : "r+", 0o600)),
  rename: (from, to) => renameSync(from, to),
  unlink: (path) => unlinkSync(path),
  exists: (path) => existsSync(path),
  list: (directory) => readdirSync(directory),
  makeDirectory: (path) => {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  },
  syncDirectory: (path) => {
    if (process.platform === "win32") return; // directories cannot be opened there; NTFS journals names
    const fd = openSync(path, "r");
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  },
};
