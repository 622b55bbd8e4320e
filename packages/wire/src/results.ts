/** The results of one bundle: count u16, (length u32) × count, the encoded results one after the other. */
import { fromHex, NarsesError, type Digest, type Hasher } from "@narses/core";
import { DIGEST_BYTES, RESULT_BYTES_MAX, RESULTS_BYTES_MAX } from "./limits.ts";
import { Reader } from "./reader.ts";
import { Writer } from "./writer.ts";

/** @throws NarsesError REQUEST_TOO_LARGE for what no reader would accept; execution must fail such an operation before. */
export function writeResults(w: Writer, results: readonly Uint8Array[]): void {
  let largest = 0;
  let bytes = 0;
  for (const { length } of results) {
    largest = Math.max(largest, length);
    bytes += length;
  }
  if (largest > RESULT_BYTES_MAX || bytes > RESULTS_BYTES_MAX) {
    const limits = `at most RESULTS_BYTES_MAX ${RESULTS_BYTES_MAX} and RESULT_BYTES_MAX ${RESULT_BYTES_MAX}`;
    throw new NarsesError("REQUEST_TOO_LARGE", `results of one bundle have ${bytes} bytes, the largest ${largest}; ${limits}`, { bytes, largest });
  }
  w.u16(results.length);
  for (const result of results) w.u32(result.length);
  for (const result of results) w.raw(result);
}

/** Checks the table and passes the results, whose views are made when they are wanted: {@link resultsOf}. Returns their encoding. */
export function skipResults(r: Reader, countMax: number): Uint8Array {
  const start = r.position;
  const count = r.count("results count", r.u16("results count"), countMax, 4);
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const length = r.u32("result length");
    if (length > RESULT_BYTES_MAX) r.fail("result length", `${length}, at most ${RESULT_BYTES_MAX}`, r.tooLarge);
    sum += length;
  }
  if (sum > RESULTS_BYTES_MAX) r.fail("result lengths", `sum ${sum}, at most ${RESULTS_BYTES_MAX}`, r.tooLarge);
  r.skip("results", sum);
  return r.slice(start, r.position);
}

/** The results of a checked encoding. */
export function resultsOf(bytes: Uint8Array): Uint8Array[] {
  const r = new Reader(bytes);
  const count = r.u16("results count");
  r.skip("results table", 4 * count);
  const results = new Array<Uint8Array>(count);
  for (let i = 0; i < count; i++) results[i] = r.take("result", r.u32At(2 + 4 * i));
  return results;
}

export const readResults = (r: Reader, countMax: number): Uint8Array[] => resultsOf(skipResults(r, countMax));

/** Used by one call at a time; what it grew to is kept while it is small. */
const leafWriter = new Writer(4 << 10);

/** Merkle leaf data of a bundle's results: bundle digest ‖ SHA-256 of the encoded results. 64 bytes. */
export function resultLeaf(hasher: Hasher, bundleDigest: Digest, results: readonly Uint8Array[]): Uint8Array {
  const w = leafWriter.begin();
  writeResults(w, results);
  const leaf = encodedResultLeaf(hasher, bundleDigest, w.written());
  w.release();
  return leaf;
}

/** {@link resultLeaf} of results that are encoded already. */
export function encodedResultLeaf(hasher: Hasher, bundleDigest: Digest, results: Uint8Array): Uint8Array {
  const leaf = new Uint8Array(2 * DIGEST_BYTES);
  leaf.set(fromHex(bundleDigest));
  leaf.set(hasher.sha256(results), DIGEST_BYTES);
  return leaf;
}
