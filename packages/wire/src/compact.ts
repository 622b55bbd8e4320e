/**
 * Large bundles apart from the batch that orders them:
 *
 *   COMPACT_PROPOSAL  header, PRE-PREPARE envelope, timestampMs u64, count u16, (length u32) × count, then for each either the
 *                     bundle, or, where the length is 0, its digest      (the digests make the batch digest that is signed)
 *   FETCH_BUNDLES     header, seq u64, batch digest 32, count u16, bundle digests
 *
 * Each bundle that is asked for is answered by a frame of its own, as if it was relayed.
 */
import { BUNDLES_PER_FETCH_MAX, type Bundle, type CompactPrePrepare, type Digest, type FetchBundles } from "@narses/core";
import { batchDigest } from "./batch.ts";
import { readBundle } from "./bundle.ts";
import { concat, writeHeader, type Context } from "./context.ts";
import { BATCH_BUNDLES_MAX, BUNDLE_BYTES_MIN, DIGEST_BYTES, PRE_PREPARE_BYTES } from "./limits.ts";
import type { Reader } from "./reader.ts";
import { TAG } from "./tags.ts";
import { readPrePrepare } from "./votes.ts";
import type { Writer } from "./writer.ts";

export function encodeCompact(c: Context, { signed, timestampMs, bundles }: CompactPrePrepare): Uint8Array {
  const w = c.writer.begin();
  writeHeader(w, TAG.COMPACT_PROPOSAL, c.epoch);
  w.fixed("a pre-prepare", signed.bytes, PRE_PREPARE_BYTES);
  w.u64(timestampMs);
  w.u16(bundles.length);
  for (const bundle of bundles) w.u32(typeof bundle === "string" ? 0 : bundle.bytes.length);
  const parts: Uint8Array[] = [w.finish()];
  for (const bundle of bundles) {
    if (typeof bundle === "string") {
      const digest = c.writer.begin();
      digest.digest(bundle);
      parts.push(digest.finish());
    } else parts.push(bundle.bytes);
  }
  return concat(parts);
}

/** As strict as for a batch: what is named only counts as the smallest bundle that may be named. */
function readLengths(r: Reader, c: Context): readonly number[] {
  const { batchBytesMax, batchOperationsMax, largeBundleBytes } = c.parameters;
  const what = "compact pre-prepare";
  const count = r.count(`${what} bundles count`, r.u16(`${what} bundles count`), Math.min(BATCH_BUNDLES_MAX, batchOperationsMax), 4 + DIGEST_BYTES);
  const namedBytesMin = Math.max(BUNDLE_BYTES_MIN, largeBundleBytes + 1);
  const lengths: number[] = [];
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const length = r.u32(`${what} bundle length`);
    sum += length === 0 ? namedBytesMin : length;
    lengths.push(length);
  }
  if (sum > batchBytesMax) r.fail(`${what} bundle lengths`, `sum ${sum}, at most batchBytesMax ${batchBytesMax}`);
  if (!lengths.includes(0)) r.fail(`${what} bundle lengths`, "all above 0, so nothing is left out");
  return lengths;
}

export function readCompact(r: Reader, c: Context): CompactPrePrepare {
  const { body, bytes } = readPrePrepare(r, c);
  const timestampMs = r.u64("compact pre-prepare timestamp");
  const bundles = readLengths(r, c).map((length): Bundle | Digest =>
    length === 0 ? r.digest("compact pre-prepare bundle digest") : readBundle(r.part("compact pre-prepare bundle", length, "BATCH_INVALID"), c));
  let operations = 0;
  for (const bundle of bundles) operations += typeof bundle === "string" ? 1 : bundle.operationCount;
  const { batchOperationsMax } = c.parameters;
  if (operations > batchOperationsMax) r.fail("compact pre-prepare operations", `at least ${operations}, at most batchOperationsMax ${batchOperationsMax}`);
  const digest = batchDigest(c, c.epoch, timestampMs, bundles.map((bundle) => (typeof bundle === "string" ? bundle : bundle.digest)));
  if (digest !== body.digest) r.fail("compact pre-prepare", `its bundles make ${digest}, signed is ${body.digest}`, "BATCH_INVALID");
  // a copy: certificates keep the envelope long after the frame around it is gone
  return { type: "compact-pre-prepare", signed: { body, bytes: bytes.slice() }, timestampMs, bundles };
}

export function writeFetchBundles(w: Writer, { seq, digest, bundles }: FetchBundles): void {
  w.u64(seq);
  w.digest(digest);
  w.u16(bundles.length);
  for (const bundle of bundles) w.digest(bundle);
}

export function readFetchBundles(r: Reader): FetchBundles {
  const seq = r.seq64("fetch-bundles seq", 1);
  const digest = r.digest("fetch-bundles digest");
  const count = r.count("fetch-bundles count", r.u16("fetch-bundles count"), BUNDLES_PER_FETCH_MAX, DIGEST_BYTES);
  if (count === 0) r.fail("fetch-bundles count", "0, at least 1");
  return { type: "fetch-bundles", seq, digest, bundles: Array.from({ length: count }, () => r.digest("fetch-bundles bundle digest")) };
}
