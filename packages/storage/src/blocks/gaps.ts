/** Runs of blocks that are not here, ascending and apart; on disk 16 bytes each. */
import { seqNum, type BlockGap, type SeqNum } from "@narses/core";
import { getU64, putU64 } from "../bytes.ts";

export const inGap = (gaps: readonly BlockGap[], seq: SeqNum): boolean => gaps.some(({ first, last }) => first <= seq && seq <= last);

/** The gaps when blocks above `kept` are gone and the chain goes on after `head`. */
export function withGap(gaps: readonly BlockGap[], kept: SeqNum, head: SeqNum): readonly BlockGap[] {
  if (head <= kept) throw new RangeError(`a gap from ${kept + 1} to ${head} is none`);
  const below = gaps.filter(({ first }) => first <= kept);
  const touching = below.at(-1);
  // What was to be kept was not there.
  if (touching !== undefined && touching.last >= kept) return [...below.slice(0, -1), { first: touching.first, last: head }];
  return [...below, { first: seqNum(kept + 1), last: head }];
}

/** The gaps when the block where one of them ends has come; undefined when none ends there. */
export function withoutLast(gaps: readonly BlockGap[], seq: SeqNum): readonly BlockGap[] | undefined {
  if (!gaps.some(({ last }) => last === seq)) return undefined;
  return gaps.flatMap((gap) => (gap.last !== seq ? [gap] : gap.first === seq ? [] : [{ first: gap.first, last: seqNum(seq - 1) }]));
}

export function encodeGaps(gaps: readonly BlockGap[]): Uint8Array {
  const bytes = new Uint8Array(16 * gaps.length);
  gaps.forEach(({ first, last }, i) => {
    putU64(bytes, 16 * i, first);
    putU64(bytes, 16 * i + 8, last);
  });
  return bytes;
}

export const decodeGaps = (bytes: Uint8Array): readonly BlockGap[] =>
  Array.from({ length: bytes.length / 16 }, (_, i) => ({ first: seqNum(getU64(bytes, 16 * i)), last: seqNum(getU64(bytes, 16 * i + 8)) }));
