/**
 * `#noise-crypto` in Node: what noise brings, with the key derivation by OpenSSL (in JavaScript it is a good part of a handshake), and, where
 * the optional dependency sodium-native has a binary, X25519 and ChaCha20-Poly1305 by libsodium. A message of 200 bytes costs a third of
 * noise's WASM, one of 4 KiB a fifth of node:crypto, which makes four buffers for each; and it can be sealed and opened where it lies.
 */
import { hkdfSync, randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import type { ICryptoInterface } from "@chainsafe/libp2p-noise";
import { defaultCrypto } from "@chainsafe/libp2p-noise/crypto";

export const TAG_BYTES = 16;

type Seal = (plaintext: Uint8Array) => { subarray(): Uint8Array };

const KEY_BYTES = 32;
const NOTHING = new Uint8Array(0);

interface SodiumNative {
  crypto_scalarmult_base(publicKey: Uint8Array, privateKey: Uint8Array): void;
  /** @throws when the public key is a point of small order. */
  crypto_scalarmult(shared: Uint8Array, privateKey: Uint8Array, publicKey: Uint8Array): void;
  crypto_aead_chacha20poly1305_ietf_encrypt(sealed: Uint8Array, plain: Uint8Array, ad: Uint8Array | null, none: null, nonce: Uint8Array, key: Uint8Array): number;
  /** @throws when the tag is wrong; `plain` is zeroes then. */
  crypto_aead_chacha20poly1305_ietf_decrypt(plain: Uint8Array, none: null, sealed: Uint8Array, ad: Uint8Array | null, nonce: Uint8Array, key: Uint8Array): number;
}

/** Where the next message is sealed: its plaintext is the beginning. */
let here: Uint8Array | undefined;

const some = (bytes: Uint8Array): Uint8Array | null => (bytes.length === 0 ? null : bytes);

/** RFC 5869, three keys, as the noise protocol names it. */
function getHKDF(ck: Uint8Array, ikm: Uint8Array): [Uint8Array, Uint8Array, Uint8Array] {
  const keys = new Uint8Array(hkdfSync("sha256", ikm, ck, NOTHING, 3 * KEY_BYTES));
  return [keys.subarray(0, KEY_BYTES), keys.subarray(KEY_BYTES, 2 * KEY_BYTES), keys.subarray(2 * KEY_BYTES)];
}

function load(): ICryptoInterface {
  const basic: ICryptoInterface = { ...defaultCrypto, getHKDF };
  let sodium: SodiumNative;
  try {
    sodium = createRequire(import.meta.url)("sodium-native") as SodiumNative;
  } catch {
    return basic;
  }
  const keyPair = (privateKey: Uint8Array): ReturnType<ICryptoInterface["generateX25519KeyPair"]> => {
    const publicKey = new Uint8Array(KEY_BYTES);
    sodium.crypto_scalarmult_base(publicKey, privateKey);
    return { publicKey, privateKey };
  };
  return {
    ...basic,
    generateX25519KeyPair: () => keyPair(randomBytes(KEY_BYTES)),
    generateX25519KeyPairFromSeed: (seed) => keyPair(seed),
    generateX25519SharedKey(privateKey, publicKey) {
      const shared = new Uint8Array(KEY_BYTES);
      sodium.crypto_scalarmult(shared, privateKey.subarray(), publicKey.subarray());
      return shared;
    },
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

export const noiseCrypto: ICryptoInterface = load();

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
