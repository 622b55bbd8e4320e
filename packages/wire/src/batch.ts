/**
 * A batch, and its digest:
 *
 *   [version u8][tag u8][epoch u32][timestampMs u64][count u16] (length u32) × count, the bundles one after the other
 *   digest = SHA-256(domain ‖ cluster id ‖ epoch u32 ‖ timestampMs u64 ‖ count u16 ‖ bundle digests)
 *
 * The digest covers no view and no sequence number. A batch may be empty. Its limits are on the sum of the bundles'
 * bytes (`batchBytesMax`) and of their operations (`batchOperationsMax`).
 */
import { InvariantViolation, type Batch, type Bundle, type Digest, type Epoch } from "@narses/core";
import { moveBundle, readBundle } from "./bundle.ts";
import { concat, readHeader, writeHeader, type Context } from "./context.ts";
import { DOMAIN } from "./domains.ts";
import { hexDigest } from "./hex-digest.ts";
import { BATCH_BUNDLES_MAX, BUNDLE_BYTES_MIN } from "./limits.ts";
import type { Reader } from "./reader.ts";
import { TAG } from "./tags.ts";

/** Of the batch with these bundles, by their digests: it takes no more to bind every byte of them. */
export function batchDigest(c: Context, epoch: Epoch, timestampMs: number, bundles: readonly Digest[]): Digest {
  const w = c.writer.begin();
  w.raw(DOMAIN.batch);
  w.raw(c.clusterId);
  w.u32(epoch);
  w.u64(timestampMs);
  w.u16(bundles.length);
  for (const bundle of bundles) w.digest(bundle);
  const digest = hexDigest(c.hasher.sha256(w.written()));
  w.release();
  return digest;
}

const digestsOf = (bundles: readonly Bundle[]): readonly Digest[] => bundles.map(({ digest }) => digest);

/** @throws InvariantViolation when the epoch, the time or the count has no encoding. Limits are the proposer's to keep. */
export function makeBatch(c: Context, epoch: Epoch, timestampMs: number, bundles: readonly Bundle[]): Batch {
  if (bundles.length > BATCH_BUNDLES_MAX) throw new InvariantViolation(`a batch holds at most ${BATCH_BUNDLES_MAX} bundles, got ${bundles.length}`);
  const w = c.writer.begin();
  writeHeader(w, TAG.BATCH, epoch);
  w.u64(timestampMs);
  w.u16(bundles.length);
  for (const bundle of bundles) w.u32(bundle.bytes.length);
  const bytes = concat([w.finish(), ...bundles.map((bundle) => bundle.bytes)]);
  let at = bytes.length - bundles.reduce((sum, bundle) => sum + bundle.bytes.length, 0);
  const moved = bundles.map((bundle) => moveBundle(bundle, bytes.subarray(at, (at += bundle.bytes.length))));
  return { digest: batchDigest(c, epoch, timestampMs, digestsOf(bundles)), epoch, timestampMs, bundles: moved, bytes };
}

function readLengths(r: Reader, c: Context): number[] {
  const bundlesMax = Math.min(BATCH_BUNDLES_MAX, c.parameters.batchOperationsMax);
  const count = r.count("batch bundles count", r.u16("batch bundles count"), bundlesMax, 4 + BUNDLE_BYTES_MIN);
  const lengths: number[] = [];
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const length = r.u32("batch bundle length");
    sum += length;
    lengths.push(length);
  }
  const { batchBytesMax } = c.parameters;
  if (sum > batchBytesMax) r.fail("batch bundle lengths", `sum ${sum}, at most batchBytesMax ${batchBytesMax}`);
  return lengths;
}

/** Reads a batch that fills all of `r`. */
export function readBatch(r: Reader, c: Context): Batch {
  readHeader(r, c, TAG.BATCH, "batch");
  const timestampMs = r.u64("batch timestamp");
  const bundles: Bundle[] = [];
  let operations = 0;
  for (const length of readLengths(r, c)) {
    const bundle = readBundle(r.part("batch bundle", length, "BATCH_INVALID"), c);
    operations += bundle.operationCount;
    bundles.push(bundle);
  }
  const { batchOperationsMax } = c.parameters;
  if (operations > batchOperationsMax) r.fail("batch operations", `${operations}, at most batchOperationsMax ${batchOperationsMax}`);
  r.finish("batch");
  return { digest: batchDigest(c, c.epoch, timestampMs, digestsOf(bundles)), epoch: c.epoch, timestampMs, bundles, bytes: r.bytes };
}

/** The batch that fills the rest of `r` and must have the digest given. */
export function readBatchOf(r: Reader, c: Context, digest: Digest): Batch {
  const batch = readBatch(r.part("batch", r.remaining, "BATCH_INVALID"), c);
  if (batch.digest !== digest) r.fail("batch", `digest ${batch.digest}, certified is ${digest}`, "BATCH_INVALID");
  return batch;
}
