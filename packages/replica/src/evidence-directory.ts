/** Evidence as files of a directory, `data/evidence` of a replica's home. Survives restarts; nothing in it is ever deleted or changed. */
import { mkdir, open, readdir, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import type { EvidenceStore } from "./evidence.ts";
import { EVIDENCE_BYTES_MAX, EVIDENCE_FILES_MAX } from "./limits.ts";

/** Made when the first evidence comes. */
export function evidenceDirectory(directory: string): EvidenceStore {
  return {
    async put(name, bytes) {
      await mkdir(directory, { recursive: true });
      const names = (await readdir(directory)).filter((other) => other.endsWith(".evidence"));
      const path = join(directory, name);
      if (names.includes(name)) return path;
      let used = 0;
      for (const other of names) used += (await stat(join(directory, other))).size;
      if (names.length >= EVIDENCE_FILES_MAX || used + bytes.length > EVIDENCE_BYTES_MAX) return undefined;
      const unfinished = `${path}.part`;
      const file = await open(unfinished, "w", 0o644);
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(unfinished, path);
      return path;
    },
  };
}
