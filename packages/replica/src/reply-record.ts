/** Results of an executed bundle, kept in the replicated state until the client acknowledges them. */
import { NarsesError, digest, fromHex, seqNum, toHex, type Digest, type SeqNum } from "@narses/core";

export interface ReplyRecord {
  /** The bundle whose results these are: another bundle that reuses its ids does not get them. */
  readonly bundleDigest: Digest;
  /** The block that holds them, and the place of the bundle in it. */
  readonly seq: SeqNum;
  readonly leafIndex: number;
  /** One per operation; none at all when they are too large to be kept here. */
  readonly results: readonly Uint8Array[];
}

/** digest 32, seq u64, leafIndex u32, count u32, then per result length u32 and bytes; big-endian. */
const HEADER_BYTES = 48;

export function encodeReplyRecord(record: ReplyRecord): Uint8Array {
  const size = record.results.reduce((sum, result) => sum + 4 + result.length, HEADER_BYTES);
  const bytes = new Uint8Array(size);
  const data = new DataView(bytes.buffer);
  bytes.set(fromHex(record.bundleDigest));
  data.setBigUint64(32, BigInt(record.seq));
  data.setUint32(40, record.leafIndex);
  data.setUint32(44, record.results.length);
  let at = HEADER_BYTES;
  for (const result of record.results) {
    data.setUint32(at, result.length);
    bytes.set(result, at + 4);
    at += 4 + result.length;
  }
  return bytes;
}

/** @throws NarsesError DATA_CORRUPT: the bytes come from the own state, which only {@link encodeReplyRecord} fills. */
export function decodeReplyRecord(bytes: Uint8Array): ReplyRecord {
  if (bytes.length < HEADER_BYTES) throw corrupt();
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const results: Uint8Array[] = [];
  let at = HEADER_BYTES;
  for (let left = data.getUint32(44); left > 0; left--) {
    if (at + 4 > bytes.length) throw corrupt();
    const end = at + 4 + data.getUint32(at);
    if (end > bytes.length) throw corrupt();
    results.push(bytes.slice(at + 4, end));
    at = end;
  }
  if (at !== bytes.length) throw corrupt();
  return { bundleDigest: digest(toHex(bytes.subarray(0, 32))), seq: seqNum(Number(data.getBigUint64(32))), leafIndex: data.getUint32(40), results };
}

const corrupt = (): NarsesError =>
  new NarsesError("DATA_CORRUPT", "a reply record of the replicated state cannot be decoded; restore the data directory from another replica");
