/** Small helpers that need no test runner. */
import { replicaId, type ReplicaId } from "@narses/core";

export const id = (i: number): ReplicaId => replicaId(i);

/** A frame that carries a number and has some length. */
export function numbered(n: number, bytes = 8): Uint8Array {
  const frame = new Uint8Array(bytes).fill(n % 251);
  new DataView(frame.buffer).setUint32(0, n);
  return frame;
}

export const numberOf = (frame: Uint8Array): number => new DataView(frame.buffer, frame.byteOffset).getUint32(0);
