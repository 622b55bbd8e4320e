/**
 * `#noise-crypto` in Node: noise's ChaCha20-Poly1305 by libsodium, where the optional dependency sodium-native has a binary (else what
 * noise brings: WASM for small messages, node:crypto for others). A message of 200 bytes costs a third of the WASM, one of 4 KiB a fifth
 * of node:crypto, which makes four buffers for each; and it can be sealed and opened where it lies.
 */
import { createRequire } from "node:module";
import type { ICryptoInterface } from "@chainsafe/libp2p-noise";
import { defaultCrypto } from "@chainsafe/libp2p-noise/crypto";

export const TAG_BYTES = 16;

type Seal = (plaintext: Uint8Array) => { subarray(): Uint8Array };

interface SodiumNative {
  crypto_aead_chacha20poly1305_ietf_encrypt(sealed: Uint8Array, plain: Uint8Array, ad: Uint8Array | null, none: null, nonce: Uint8Array, key: Uint8Array): number;
  /** @throws when the tag is wrong; `plain` is zeroes then. */
  crypto_aead_chacha20poly1305_ietf_decrypt(plain: Uint8Array, none: null, sealed: Uint8Array, ad: Uint8Array | null, nonce: Uint8Array, key: Uint8Array): number;
}

/** Where the next message is sealed: its plaintext is the beginning. */
let here: Uint8Array | undefined;

const some = (bytes: Uint8Array): Uint8Array | null => (bytes.length === 0 ? null : bytes);

function load(): ICryptoInterface | undefined {
  let sodium: SodiumNative;
  try {
    sodium = createRequire(import.meta.url)("sodium-native") as SodiumNative;
  } catch {
    return undefined;
  }
  return {
    ...defaultCrypto,
    chaCha20Poly1305Encrypt(plaintext, nonce, ad, key) {
      const plain = plaintext.subarray();
      const sealed = here ?? Buffer.allocUnsafe(plain.length + TAG_BYTES);
      sodium.crypto_aead_chacha20poly1305_ietf_encrypt(sealed, plain, some(ad), null, nonce, key);
      return sealed;
    },
    chaCha20Poly1305Decrypt(ciphertext, nonce, ad, key, dst) {
      const sealed = ciphertext.subarray();
      const plain = dst ?? Buffer.allocUnsafe(sealed.length - TAG_BYTES);
      sodium.crypto_aead_chacha20poly1305_ietf_decrypt(plain, null, sealed, some(ad), nonce, key);
      return plain;
    },
  };
}

/** Undefined: the default of noise. */
export const noiseCrypto: ICryptoInterface | undefined = load();

/** Seals the first `plainBytes` of `room` in place; the tag is what follows. `seal` is the cipher of a connection. */
export function sealInPlace(seal: Seal, room: Uint8Array, plainBytes: number): void {
  here = room;
  try {
    const sealed = seal(room.subarray(0, plainBytes));
    if (sealed !== room) room.set(sealed.subarray());
  } finally {
    here = undefined;
  }
}
