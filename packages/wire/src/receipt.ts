/**
 * Receipts: [version u8][tag u8][epoch u32], block header, count u16, OUTCOME envelopes, leaf proof, results,
 * operation u16, then the client's bundle to the end.
 */
import type { Outcome, Receipt, Signed } from "@narses/core";
import { readBlockHeader, writeBlockHeader } from "./block-header.ts";
import { readBundle } from "./bundle.ts";
import { readEpoch, writeHeader, type Context } from "./context.ts";
import { BATCH_BUNDLES_MAX, CHECKPOINT_BYTES } from "./limits.ts";
import { decoding, type Decoded } from "./malformed.ts";
import { readLeafProof, writeLeafProof } from "./merkle-path.ts";
import { Reader } from "./reader.ts";
import { readResults, writeResults } from "./results.ts";
import { RECEIPT_VERSION, TAG } from "./tags.ts";
import { readOutcome } from "./votes.ts";

/** An OUTCOME has the size of a CHECKPOINT: a sequence number and a digest. */
const OUTCOME_BYTES = CHECKPOINT_BYTES;

export function encodeReceipt(c: Context, receipt: Receipt): Uint8Array {
  const w = c.writer.begin();
  writeHeader(w, TAG.RECEIPT, c.epoch, RECEIPT_VERSION);
  writeBlockHeader(w, receipt.header);
  w.u16(receipt.outcomes.length);
  for (const outcome of receipt.outcomes) w.raw(outcome.bytes);
  writeLeafProof(w, receipt);
  writeResults(w, receipt.results);
  w.u16(receipt.operation);
  w.raw(receipt.bundle);
  return w.finish();
}

function readReceipt(r: Reader, c: Context): Receipt {
  const version = r.u8("receipt");
  if (version !== RECEIPT_VERSION) r.fail("receipt", `version ${version}, this is ${RECEIPT_VERSION}`);
  const tag = r.u8("receipt");
  if (tag !== TAG.RECEIPT) r.fail("receipt", `type tag ${tag}, must be ${TAG.RECEIPT}`);
  readEpoch(r, c, "receipt");
  const header = readBlockHeader(r);
  const count = r.count("receipt outcomes count", r.u16("receipt outcomes count"), c.replicas, OUTCOME_BYTES);
  const outcomes: Signed<Outcome>[] = [];
  for (let i = 0; i < count; i++) outcomes.push(readOutcome(r, c));
  const proof = readLeafProof(r, Math.min(BATCH_BUNDLES_MAX, c.parameters.batchOperationsMax));
  const results = readResults(r, c.parameters.bundleOperationsMax);
  const operation = r.u16("receipt operation");
  if (operation >= results.length) r.fail("receipt operation", `${operation}, there are ${results.length} results`);
  const bundle = readBundle(r.part("receipt bundle", r.remaining, "REQUEST_INVALID"), c);
  if (bundle.operationCount !== results.length) r.fail("receipt bundle", `${bundle.operationCount} operations, ${results.length} results`);
  return { version: RECEIPT_VERSION, header, outcomes, ...proof, bundle: bundle.bytes, results, operation };
}

/** Structure only: `verifyReceipt` of the client decides what it proves. */
export const decodeReceipt = (c: Context, bytes: Uint8Array): Decoded<Receipt> => decoding(() => readReceipt(new Reader(bytes), c));
