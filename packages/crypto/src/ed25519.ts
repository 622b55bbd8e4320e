/** Signing and verifying keys of the suite `ed25519-strict` (`rule.ts`), on the fastest backend that follows it. */
import { toHex, type SigningKey, type VerifyingKey } from "@narses/core";
import { nativeBackends } from "#native";
import { noble } from "./noble.ts";
import { followsRule } from "./probe.ts";
import type { BackendName, RawBackend } from "./raw.ts";
import { checkPublicKey, isSignatureWellFormed, PUBLIC_KEY_BYTES } from "./rule.ts";
import { checkSeed } from "./seeds.ts";

export type { BackendName } from "./raw.ts";

/** All backends give the same verdict on every input; they differ in speed. */
export interface Backend {
  readonly name: BackendName;
  /** @throws RangeError unless `seed` has 32 bytes. */
  signingKeyFromSeed(seed: Uint8Array): SigningKey;
  /** @throws NarsesError KEY_INVALID when the key fails the once-per-key check. */
  verifyingKey(publicKey: Uint8Array): VerifyingKey;
}

/** Verifying keys kept per backend, least recently used dropped first: the once-per-key check costs as much as 30 to 40 signatures. */
export const VERIFYING_KEYS_CACHED_MAX = 4_096;

function makeVerifyingKey(raw: RawBackend, publicKey: Uint8Array): VerifyingKey {
  const checked = checkPublicKey(publicKey, raw.isPrimeOrderPoint);
  const verify = raw.verifier(checked);
  return Object.freeze({
    bytes: Uint8Array.from(checked.bytes),
    verify: (message: Uint8Array, signature: Uint8Array): boolean => isSignatureWellFormed(signature) && verify(message, signature),
  });
}

/** Wraps raw Ed25519 into the rule. */
export function strict(raw: RawBackend): Backend {
  const cache = new Map<string, VerifyingKey>();
  return Object.freeze({
    name: raw.name,
    signingKeyFromSeed(seed: Uint8Array): SigningKey {
      checkSeed(seed);
      const { publicKey, sign } = raw.signer(Uint8Array.from(seed));
      // Copies, here and in makeVerifyingKey: nobody who writes into what is handed out can change what sign and verify use.
      return Object.freeze({ publicKey: Uint8Array.from(publicKey), sign });
    },
    verifyingKey(publicKey: Uint8Array): VerifyingKey {
      if (publicKey.length !== PUBLIC_KEY_BYTES) return makeVerifyingKey(raw, publicKey); // throws
      const name = toHex(publicKey);
      let key = cache.get(name);
      // Deleted and set again: a Map lists its keys in order of insertion, here of use.
      if (key === undefined) key = makeVerifyingKey(raw, publicKey);
      else cache.delete(name);
      cache.set(name, key);
      if (cache.size > VERIFYING_KEYS_CACHED_MAX) {
        const [oldest] = cache.keys();
        if (oldest !== undefined) cache.delete(oldest);
      }
      return key;
    },
  });
}

let available: readonly Backend[] | undefined;
let first: Backend | undefined;

/** Backends that work here, fastest first; the first is the default, `noble` is always the last. Decided at the first call. */
export function backends(): readonly Backend[] {
  available ??= Object.freeze([fastest(), ...slower().filter((raw) => raw === noble || followsRule(raw)).map(strict)]);
  return available;
}

/** A process needs one backend and does not try the others: each costs milliseconds of its start. */
function fastest(): Backend {
  first ??= strict(nativeBackends().find(followsRule) ?? noble);
  return first;
}

function slower(): readonly RawBackend[] {
  const all = [...nativeBackends(), noble];
  return all.slice(all.findIndex(({ name }) => name === fastest().name) + 1);
}

/** @throws RangeError unless `seed` has 32 bytes. */
export const signingKeyFromSeed = (seed: Uint8Array): SigningKey => fastest().signingKeyFromSeed(seed);

/** @throws NarsesError KEY_INVALID when the key fails the once-per-key check. */
export const verifyingKey = (publicKey: Uint8Array): VerifyingKey => fastest().verifyingKey(publicKey);
