/** Results of executed bundles, kept in the replicated state until the client acknowledges them: one record for bundles that follow one another. */
import { NarsesError, bytesEqual, fromHex, seqNum, type Digest, type SeqNum } from "@narses/core";

export interface KeptReply {
  /** The bundle whose results these are: another bundle that reuses its ids does not get them. */
  readonly bundleDigest: Digest;
  /** The block that holds them, and the place of the bundle in it. */
  readonly seq: SeqNum;
  readonly leafIndex: number;
  /** One per operation; none at all when they are too large to be kept here. */
  readonly results: readonly Uint8Array[];
}

/** digest 32, seq u64, leafIndex u32, count u32, then per result length u32 and bytes; big-endian. Replies lie one after the other. */
const HEADER_BYTES = 48;

export function replyBytes(results: readonly Uint8Array[]): number {
  let bytes = HEADER_BYTES;
  for (const result of results) bytes += 4 + result.length;
  return bytes;
}

/** Writes a reply at `start`, where its {@link replyBytes} have room. */
export function putReply(target: Uint8Array, start: number, { bundleDigest, seq, leafIndex, results }: KeptReply): void {
  target.set(fromHex(bundleDigest), start);
  const data = new DataView(target.buffer, target.byteOffset + start);
  data.setBigUint64(32, BigInt(seq));
  data.setUint32(40, leafIndex);
  data.setUint32(44, results.length);
  let at = HEADER_BYTES;
  for (const result of results) {
    data.setUint32(at, result.length);
    target.set(result, start + at + 4);
    at += 4 + result.length;
  }
}

/**
 * The reply to exactly this bundle, if the record holds one.
 * @throws NarsesError DATA_CORRUPT: the bytes come from the own state, which only {@link putReply} fills.
 */
export function findReply(bytes: Uint8Array, bundleDigest: Digest): KeptReply | undefined {
  const wanted = fromHex(bundleDigest);
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let found: KeptReply | undefined;
  for (let start = 0; start < bytes.length; ) {
    if (start + HEADER_BYTES > bytes.length) throw corrupt();
    const results: Uint8Array[] = [];
    let at = start + HEADER_BYTES;
    for (let left = data.getUint32(start + 44); left > 0; left--) {
      if (at + 4 > bytes.length) throw corrupt();
      const end = at + 4 + data.getUint32(at);
      if (end > bytes.length) throw corrupt();
      results.push(bytes.slice(at + 4, end));
      at = end;
    }
    if (bytesEqual(bytes.subarray(start, start + 32), wanted)) {
      found = { bundleDigest, seq: seqNum(Number(data.getBigUint64(start + 32))), leafIndex: data.getUint32(start + 40), results };
    }
    start = at;
  }
  return found;
}

const corrupt = (): NarsesError =>
  new NarsesError("DATA_CORRUPT", "a reply record of the replicated state cannot be decoded; restore the data directory from another replica");
