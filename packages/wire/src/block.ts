/**
 * Stored blocks: [version u8][tag u8][epoch u32], block header, certificate? u8, (commit certificate), bundle count u16,
 * results × count, then the batch to the end. There is no batch exactly when the header's batch digest is NULL_DIGEST.
 */
import { InvariantViolation, NULL_DIGEST, type Block } from "@narses/core";
import { readBatchOf } from "./batch.ts";
import { readBlockHeader, writeBlockHeader } from "./block-header.ts";
import { readCommitCertificate, writeCommitCertificate } from "./certificate.ts";
import { writeHeader, type Context } from "./context.ts";
import { BATCH_BUNDLES_MAX } from "./limits.ts";
import { readResults, writeResults } from "./results.ts";
import { readStored } from "./stored.ts";
import { BLOCK_VERSION, TAG } from "./tags.ts";

/** @throws InvariantViolation when the batch is not the header's: such a block could not be read back. */
export function encodeBlock(c: Context, { header, batch, results, certificate }: Block): Uint8Array {
  if ((batch?.digest ?? NULL_DIGEST) !== header.batchDigest) {
    throw new InvariantViolation(`block ${header.seq} names batch ${header.batchDigest} and holds ${batch?.digest ?? "none"}`);
  }
  const w = c.writer.begin();
  writeHeader(w, TAG.BLOCK, c.epoch, BLOCK_VERSION);
  writeBlockHeader(w, header);
  w.flag(certificate !== undefined);
  if (certificate !== undefined) writeCommitCertificate(w, certificate);
  w.u16(results.length);
  for (const bundle of results) writeResults(w, bundle);
  if (batch !== undefined) w.raw(batch.bytes);
  return w.finish();
}

/** @throws NarsesError DATA_CORRUPT with `what` and `offset`; DATA_VERSION for another format version. */
export function decodeBlock(c: Context, bytes: Uint8Array): Block {
  return readStored(c, "block", BLOCK_VERSION, bytes, (r, tag): Block => {
    if (tag !== TAG.BLOCK) r.fail("block", `type tag ${tag}, must be ${TAG.BLOCK}`);
    const header = readBlockHeader(r);
    const certificate = r.flag("block certificate") ? readCommitCertificate(r, c) : undefined;
    const count = r.count("block results count", r.u16("block results count"), BATCH_BUNDLES_MAX, 2);
    const results: Uint8Array[][] = [];
    for (let i = 0; i < count; i++) results.push(readResults(r, c.parameters.bundleOperationsMax));
    const batch = header.batchDigest === NULL_DIGEST ? undefined : readBatchOf(r, c, header.batchDigest);
    return { header, batch, results, certificate };
  });
}
