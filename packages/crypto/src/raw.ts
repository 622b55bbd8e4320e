/** What a backend brings: raw Ed25519. The rest of the rule is put in front of it by `ed25519.ts`. */
import type { CheckedKey } from "./rule.ts";

export type BackendName = "sodium-native" | "node:crypto" | "noble";

export interface RawSigner {
  readonly publicKey: Uint8Array;
  readonly sign: (message: Uint8Array) => Uint8Array;
}

/** `signature` has passed {@link isSignatureWellFormed}. True iff encode([S]B − [k]A) = R. */
export type RawVerifier = (message: Uint8Array, signature: Uint8Array) => boolean;

export interface RawBackend {
  readonly name: BackendName;
  signer(seed: Uint8Array): RawSigner;
  verifier(key: CheckedKey): RawVerifier;
  /** The once-per-key check done natively: 32 bytes that canonically encode a point of prime order. About 20 times faster. */
  readonly isPrimeOrderPoint?: (bytes: Uint8Array) => boolean;
}
