/** How much a process may still write to a directory's file system. */
import { statfsSync } from "node:fs";

/** What is free for users without privileges; undefined when the system does not tell. A quota is not seen. */
export function freeBytesOf(directory: string): number | undefined {
  try {
    const { bavail, bsize, blocks } = statfsSync(directory);
    return blocks > 0 ? bavail * bsize : undefined; // some virtual file systems claim to have no blocks at all
  } catch {
    return undefined;
  }
}
