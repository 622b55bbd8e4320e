/** A block as it is stored: format byte, CRC-32 over slot and bytes, then what the codec made of it. */
import { crc32 } from "node:zlib";
import type { Block, NarsesError, SeqNum } from "@narses/core";
import { getU32, putU32, putU64 } from "../bytes.ts";
import { dataCorrupt, dataVersion } from "../errors.ts";

export interface BlockCodec {
  encodeBlock(block: Block): Uint8Array;
  /** Throws for bytes that are no block. */
  decodeBlock(bytes: Uint8Array): Block;
}

const FORMAT = 1;
const HEADER_BYTES = 5;

/** The slot is under the checksum: a block read under another's key does not validate. */
function checksum(seq: SeqNum, bytes: Uint8Array): number {
  const slot = new Uint8Array(8);
  putU64(slot, 0, seq);
  return crc32(bytes, crc32(slot));
}

export function packBlock(codec: BlockCodec, block: Block): Uint8Array {
  const bytes = codec.encodeBlock(block);
  const value = new Uint8Array(HEADER_BYTES + bytes.length);
  value[0] = FORMAT;
  putU32(value, 1, checksum(block.header.seq, bytes));
  value.set(bytes, HEADER_BYTES);
  return value;
}

/** @throws NarsesError DATA_CORRUPT with `seq`, DATA_VERSION. */
export function unpackBlock(codec: BlockCodec, seq: SeqNum, value: Uint8Array, store: string): Block {
  const bytes = value.subarray(HEADER_BYTES);
  if (value.length < HEADER_BYTES || getU32(value, 1) !== checksum(seq, bytes)) throw blockCorrupt(store, seq, "fails its checksum");
  if (value[0] !== FORMAT) throw dataVersion(`block ${seq} of ${store}`, value[0], FORMAT);
  let block: Block;
  try {
    block = codec.decodeBlock(bytes);
  } catch (error) {
    throw blockCorrupt(store, seq, "cannot be decoded", error);
  }
  if (block.header.seq !== seq) throw blockCorrupt(store, seq, `says it is block ${block.header.seq}`);
  return block;
}

export function blockCorrupt(store: string, seq: SeqNum, why: string, cause?: unknown): NarsesError {
  return dataCorrupt(`block ${seq} of ${store} ${why}`, "fetch it from another replica", { path: store, seq }, cause);
}

/** Blocks come in order; one that is there already may come again (replay after a crash). @throws RangeError for a gap. */
export function checkNext(seq: SeqNum, head: SeqNum | undefined): void {
  const next = head === undefined ? 0 : head + 1;
  if (seq > next) throw new RangeError(`block ${seq} leaves a gap: the next one is ${next}`);
}
