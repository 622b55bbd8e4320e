/**
 * Agreed random numbers: SHA-256 in counter mode. The seed of a slot is H(tag, batch digest, slot, hash of the block before it); each
 * operation has a sequence of its own, so that one that is refused does not shift those after it. Costs nothing unless drawn.
 */
import { fromHex, type Digest, type Hasher, type SeqNum } from "@narses/core";

const TAG = new TextEncoder().encode("narses/random/1");

export interface SlotSeed {
  readonly batch: Digest;
  readonly seq: SeqNum;
  readonly parent: Digest;
}

export function slotSeed(hasher: Hasher, { batch, seq, parent }: SlotSeed): () => Uint8Array {
  let seed: Uint8Array | undefined;
  return () => (seed ??= hasher.sha256(TAG, fromHex(batch), words(Math.floor(seq / 2 ** 32), seq % 2 ** 32), fromHex(parent)));
}

/** Numbers in [0, 1) with 53 bits, four to a hash. */
export function randomNumbers(hasher: Hasher, seed: () => Uint8Array, bundle: number, operation: number): () => number {
  let drawn = 0;
  let block: DataView | undefined;
  return () => {
    const at = drawn % 4;
    if (at === 0 || block === undefined) {
      const bytes = hasher.sha256(seed(), words(bundle, operation, Math.floor(drawn / 4)));
      block = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    }
    drawn++;
    return (block.getUint32(8 * at) * 2 ** 21 + (block.getUint32(8 * at + 4) >>> 11)) / 2 ** 53;
  };
}

function words(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  const data = new DataView(bytes.buffer);
  values.forEach((value, i) => data.setUint32(4 * i, value));
  return bytes;
}
