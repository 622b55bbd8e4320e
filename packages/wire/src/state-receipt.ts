/**
 * Receipts about state: [version u8][tag u8][epoch u32], block header, count u16, CHECKPOINT envelopes, key length u16, key
 * (UTF-8), bits u8, levels u8, per level length u16 and hashes, page length u32, page.
 */
import { STATE_PAGE_BYTES_MAX, type Checkpoint, type Signed, type StateReceipt } from "@narses/core";
import { readBlockHeader, writeBlockHeader } from "./block-header.ts";
import { readEpoch, writeHeader, type Context } from "./context.ts";
import { fromUtf8, utf8 } from "./host.ts";
import { CHECKPOINT_BYTES, DIGEST_BYTES, STATE_FAN_OUT, STATE_LEVEL_MAX } from "./limits.ts";
import { decoding, type Decoded } from "./malformed.ts";
import { Reader } from "./reader.ts";
import { RECEIPT_VERSION, TAG } from "./tags.ts";
import { readCheckpoint } from "./votes.ts";

/** The application's part of the replicated state: its keys have this before them. */
export const APP_STATE_PREFIX = "a/";
const KEY_BYTES_MAX: number = 512 - APP_STATE_PREFIX.length;
const LEVEL_BYTES_MAX: number = (STATE_FAN_OUT - 1) * DIGEST_BYTES;

export function encodeStateReceipt(c: Context, { header, checkpoints, key, proof }: StateReceipt): Uint8Array {
  const w = c.writer.begin();
  const keyBytes = utf8(key);
  writeHeader(w, TAG.STATE_RECEIPT, c.epoch, RECEIPT_VERSION);
  writeBlockHeader(w, header);
  w.u16(checkpoints.length);
  for (const checkpoint of checkpoints) w.raw(checkpoint.bytes);
  w.u16(keyBytes.length);
  w.raw(keyBytes);
  w.u8(proof.bits);
  w.u8(proof.siblings.length);
  for (const level of proof.siblings) {
    w.u16(level.length);
    w.raw(level);
  }
  w.u32(proof.page.length);
  w.raw(proof.page);
  return w.finish();
}

function readKey(r: Reader): string {
  const length = r.count("state receipt key length", r.u16("state receipt key length"), KEY_BYTES_MAX, 1);
  const key = fromUtf8(r.take("state receipt key", length));
  if (key === undefined || key === "") r.fail("state receipt key", "is empty or not UTF-8");
  return key;
}

function readStateReceipt(r: Reader, c: Context): StateReceipt {
  const version = r.u8("state receipt");
  if (version !== RECEIPT_VERSION) r.fail("state receipt", `version ${version}, this is ${RECEIPT_VERSION}`);
  const tag = r.u8("state receipt");
  if (tag !== TAG.STATE_RECEIPT) r.fail("state receipt", `type tag ${tag}, must be ${TAG.STATE_RECEIPT}`);
  readEpoch(r, c, "state receipt");
  const header = readBlockHeader(r);
  const count = r.count("state receipt checkpoints count", r.u16("state receipt checkpoints count"), c.replicas, CHECKPOINT_BYTES);
  const checkpoints: Signed<Checkpoint>[] = [];
  for (let i = 0; i < count; i++) checkpoints.push(readCheckpoint(r, c));
  const key = readKey(r);
  const bits = r.u8("state receipt bits");
  const levels = r.count("state receipt levels", r.u8("state receipt levels"), STATE_LEVEL_MAX, 2);
  const siblings: Uint8Array[] = [];
  for (let i = 0; i < levels; i++) {
    const length = r.count("state receipt level length", r.u16("state receipt level length"), LEVEL_BYTES_MAX, 1);
    siblings.push(r.take("state receipt level", length));
  }
  const size = r.count("state receipt page length", r.u32("state receipt page length"), STATE_PAGE_BYTES_MAX, 1);
  const page = r.take("state receipt page", size);
  r.finish("state receipt");
  return { version: RECEIPT_VERSION, header, checkpoints, key, proof: { bits, page, siblings } };
}

/** Structure only: `verifyStateReceipt` of the client decides what it proves. */
export const decodeStateReceipt = (c: Context, bytes: Uint8Array): Decoded<StateReceipt> => decoding(() => readStateReceipt(new Reader(bytes), c));
