/** Block headers: seq u64, parent 32, timestampMs u64, batch digest, bundle root, result root, state root (32 each). */
import { bytesEqual, type BlockHeader, type Digest, type Hasher } from "@narses/core";
import { DOMAIN } from "./domains.ts";
import { hexDigest } from "./hex-digest.ts";
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

/** The header written or read last: every reply to the bundles of a block carries the same one. */
export class HeaderCache {
  #header: BlockHeader | undefined;
  #bytes: Uint8Array = new Uint8Array(0);

  write(w: Writer, header: BlockHeader): void {
    if (this.#header !== header) {
      const own = new Writer(BLOCK_HEADER_BYTES);
      writeBlockHeader(own, header);
      this.#header = header;
      this.#bytes = own.finish();
    }
    w.raw(this.#bytes);
  }

  /** Equal bytes give one object, so that what follows from a header can be known by it. */
  read(r: Reader): BlockHeader {
    const start = r.position;
    const bytes = r.peek(BLOCK_HEADER_BYTES);
    if (bytes !== undefined && this.#header !== undefined && bytesEqual(bytes, this.#bytes)) {
      r.take("header", BLOCK_HEADER_BYTES);
      return this.#header;
    }
    const header = readBlockHeader(r);
    this.#header = header;
    this.#bytes = new Uint8Array(r.slice(start, r.position));
    return header;
  }
}

/** SHA-256(domain ‖ header): what outcomes sign, checkpoints name and the next header's `parent` is. */
export function blockHash(hasher: Hasher, header: BlockHeader): Digest {
  const w = new Writer(BLOCK_HEADER_BYTES);
  writeBlockHeader(w, header);
  return hexDigest(hasher.sha256(DOMAIN.block, w.finish()));
}
