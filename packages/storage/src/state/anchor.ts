/**
 * The block header a fetched state belongs to, as it is kept beside that state: it stands in for the block, which was not
 * fetched. Format u32, bits u32, kept u64, header (176 bytes), CRC-32.
 */
import { crc32 } from "node:zlib";
import { digest, fromHex, seqNum, toHex, type BlockHeader, type SeqNum } from "@narses/core";
import { getU32, getU64, putU32, putU64 } from "../bytes.ts";
import { FETCH_STATE, dataCorrupt, dataVersion } from "../errors.ts";

export interface StateAnchor {
  readonly header: BlockHeader;
  /** Blocks up to this one stay; those between it and the header's are not here. */
  readonly blocksKept: SeqNum;
}

const ANCHOR_VERSION = 1;
const ANCHOR_BYTES = 16 + 176 + 4;
const DIGESTS = ["parent", "batchDigest", "bundleRoot", "resultRoot", "stateRoot"] as const;

export function encodeAnchor({ header, blocksKept }: StateAnchor, bits: number): Uint8Array {
  const bytes = new Uint8Array(ANCHOR_BYTES);
  putU32(bytes, 0, ANCHOR_VERSION);
  putU32(bytes, 4, bits);
  putU64(bytes, 8, blocksKept);
  putU64(bytes, 16, header.seq);
  putU64(bytes, 24, header.timestampMs);
  DIGESTS.forEach((field, i) => bytes.set(fromHex(header[field]), 32 + 32 * i));
  putU32(bytes, ANCHOR_BYTES - 4, crc32(bytes.subarray(0, ANCHOR_BYTES - 4)));
  return bytes;
}

/** @throws NarsesError DATA_CORRUPT, DATA_VERSION. */
export function decodeAnchor(bytes: Uint8Array, store: string): { readonly anchor: StateAnchor; readonly bits: number } {
  if (bytes.length !== ANCHOR_BYTES || getU32(bytes, ANCHOR_BYTES - 4) !== crc32(bytes.subarray(0, ANCHOR_BYTES - 4))) {
    throw dataCorrupt(`state ${store} has a damaged record of the state it fetched`, FETCH_STATE, { path: store });
  }
  const version = getU32(bytes, 0);
  if (version !== ANCHOR_VERSION) throw dataVersion(`state ${store}`, version, ANCHOR_VERSION);
  const at = (i: number): BlockHeader["parent"] => digest(toHex(bytes.subarray(32 + 32 * i, 64 + 32 * i)));
  const header: BlockHeader = {
    seq: seqNum(getU64(bytes, 16)), timestampMs: getU64(bytes, 24),
    parent: at(0), batchDigest: at(1), bundleRoot: at(2), resultRoot: at(3), stateRoot: at(4),
  };
  return { bits: getU32(bytes, 4), anchor: { header, blocksKept: seqNum(getU64(bytes, 8)) } };
}
