/** libsodium, by the optional dependency sodium-native: absent where it has no prebuilt binary (Alpine, for one). */
import { createRequire } from "node:module";
import type { RawBackend } from "./raw.ts";

interface SodiumNative {
  crypto_sign_seed_keypair(publicKey: Uint8Array, secretKey: Uint8Array, seed: Uint8Array): void;
  crypto_sign_detached(signature: Uint8Array, message: Uint8Array, secretKey: Uint8Array): void;
  crypto_sign_verify_detached(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean;
  crypto_core_ed25519_is_valid_point(point: Uint8Array): boolean;
}

/** Undefined when the package or its binary is missing. */
export function loadSodium(): RawBackend | undefined {
  let sodium: SodiumNative;
  try {
    sodium = createRequire(import.meta.url)("sodium-native") as SodiumNative;
  } catch {
    return undefined;
  }
  return {
    name: "sodium-native",
    signer(seed) {
      const publicKey = new Uint8Array(32);
      const secretKey = new Uint8Array(64);
      sodium.crypto_sign_seed_keypair(publicKey, secretKey, seed);
      return {
        publicKey,
        sign: (message) => {
          const signature = new Uint8Array(64);
          sodium.crypto_sign_detached(signature, message, secretKey);
          return signature;
        },
      };
    },
    verifier: ({ bytes }) => (message, signature) => sodium.crypto_sign_verify_detached(signature, message, bytes),
    isPrimeOrderPoint: (bytes) => sodium.crypto_core_ed25519_is_valid_point(bytes),
  };
}
