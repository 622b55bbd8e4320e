/** Block headers: seq u64, parent 32, timestampMs u64, batch digest, bundle root, result root, state root (32 each). */
import type { BlockHeader, Digest, Hasher } from "@narses/core";
import { hexDigest } from "./bundle.ts";
import { DOMAIN } from "./domains.ts";
import { BLOCK_HEADER_BYTES } from "./limits.ts";
import type { Reader } from "./reader.ts";
import { Writer } from "./writer.ts";

export function writeBlockHeader(w: Writer, header: BlockHeader): void {
  w.u64(header.seq);
  w.digest(header.parent);
  w.u64(header.timestampMs);
  w.digest(header.batchDigest);
  w.digest(header.bundleRoot);
  w.digest(header.resultRoot);
  w.digest(header.stateRoot);
}

export function readBlockHeader(r: Reader): BlockHeader {
  return {
    seq: r.seq64("header seq", 0),
    parent: r.digest("header parent"),
    timestampMs: r.u64("header timestamp"),
    batchDigest: r.digest("header batch digest"),
    bundleRoot: r.digest("header bundle root"),
    resultRoot: r.digest("header result root"),
    stateRoot: r.digest("header state root"),
  };
}

/** SHA-256(domain ‖ header): what outcomes sign, checkpoints name and the next header's `parent` is. */
export function blockHash(hasher: Hasher, header: BlockHeader): Digest {
  const w = new Writer(BLOCK_HEADER_BYTES);
  writeBlockHeader(w, header);
  return hexDigest(hasher.sha256(DOMAIN.block, w.finish()));
}
