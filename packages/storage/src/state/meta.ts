/** The state's own record of itself, replaced by each checkpoint: format, number of bits, slot, root. */
import { crc32 } from "node:zlib";
import { digest, fromHex, seqNum, toHex, type Digest, type SeqNum } from "@narses/core";
import { getU32, getU64, putU32, putU64 } from "../bytes.ts";
import { FETCH_STATE, dataCorrupt, dataVersion } from "../errors.ts";

const STATE_VERSION = 1;
const META_BYTES = 52;

export interface StateMeta {
  readonly bits: number;
  readonly seq: SeqNum;
  readonly root: Digest;
}

export function encodeMeta(meta: StateMeta): Uint8Array {
  const bytes = new Uint8Array(META_BYTES);
  putU32(bytes, 0, STATE_VERSION);
  putU32(bytes, 4, meta.bits);
  putU64(bytes, 8, meta.seq);
  bytes.set(fromHex(meta.root), 16);
  putU32(bytes, META_BYTES - 4, crc32(bytes.subarray(0, META_BYTES - 4)));
  return bytes;
}

/** @throws NarsesError DATA_CORRUPT, DATA_VERSION. */
export function decodeMeta(bytes: Uint8Array, store: string): StateMeta {
  if (bytes.length !== META_BYTES || getU32(bytes, META_BYTES - 4) !== crc32(bytes.subarray(0, META_BYTES - 4))) {
    throw dataCorrupt(`state ${store} has a damaged meta record`, FETCH_STATE, { path: store });
  }
  const version = getU32(bytes, 0);
  if (version !== STATE_VERSION) throw dataVersion(`state ${store}`, version, STATE_VERSION);
  return { bits: getU32(bytes, 4), seq: seqNum(getU64(bytes, 8)), root: digest(toHex(bytes.subarray(16, 48))) };
}
