/** `#noise-crypto` in a browser: what noise brings. Must export what `noise-crypto.node.ts` exports. */
import { pureJsCrypto, type ICryptoInterface } from "@chainsafe/libp2p-noise";

export const TAG_BYTES = 16;

export const noiseCrypto: ICryptoInterface = pureJsCrypto;

export function sealInPlace(seal: (plaintext: Uint8Array) => { subarray(): Uint8Array }, room: Uint8Array, plainBytes: number): void {
  room.set(seal(room.subarray(0, plainBytes)).subarray());
}
