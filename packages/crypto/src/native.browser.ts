/** `#native` in a browser: no fast path, SHA-256 by noble. Must export what `native.node.ts` exports. */
import { sha256 as nobleSha256 } from "@noble/hashes/sha2.js";
import type { RawBackend } from "./raw.ts";

export function nativeBackends(): readonly RawBackend[] {
  return [];
}

export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const object = nobleSha256.create();
  for (const part of parts) object.update(part);
  return object.digest();
}
