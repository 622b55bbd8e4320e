/**
 * Keys for whole replicas. Fake ones for speed: a signature is a keyed hash, unforgeable for whoever lacks the secret, which never
 * leaves this closure; a ledger of everything signed catches a leak. Real Ed25519 in a share of the runs.
 */
import { assert, bytesEqual, toHex, type SigningKey, type VerifyingKey } from "@narses/core";
import { sha256, signingKeyFromSeed, verifyingKey } from "@narses/crypto";

export interface Cryptography {
  readonly name: "fake" | "real";
  /** The key of this name; the same one each time. */
  signingKey(name: string): SigningKey;
  /** @throws TypeError for bytes that are no public key. */
  verifyingKey(publicKey: Uint8Array): VerifyingKey;
}

const text = new TextEncoder();
const SIGNATURE_BYTES = 64;

/** `cluster` separates runs. */
export function fakeCryptography(cluster: string): Cryptography {
  const secrets = new Map<string, Uint8Array>();
  const keys = new Map<string, VerifyingKey>();
  const issued = new Set<string>();

  const seal = (secret: Uint8Array, message: Uint8Array): Uint8Array => {
    const signature = new Uint8Array(SIGNATURE_BYTES);
    signature.set(sha256(secret, message));
    return signature;
  };
  const makeKey = (publicKey: Uint8Array, secret: Uint8Array): VerifyingKey => ({
    bytes: publicKey,
    verify(message, signature) {
      if (!bytesEqual(seal(secret, message), signature)) return false;
      assert(issued.has(toHex(signature.subarray(0, 32))), `a signature of key ${toHex(publicKey).slice(0, 6)} verifies, but was never made: the simulator leaked a key`);
      return true;
    },
  });

  return {
    name: "fake",
    signingKey(name) {
      const publicKey = sha256(text.encode(`${cluster}|public|${name}`));
      const secret = sha256(text.encode(`${cluster}|secret|${name}`));
      secrets.set(toHex(publicKey), secret);
      return {
        publicKey,
        sign(message) {
          const signature = seal(secret, message);
          issued.add(toHex(signature.subarray(0, 32)));
          return signature;
        },
      };
    },
    verifyingKey(publicKey) {
      const id = toHex(publicKey);
      const held = keys.get(id);
      if (held !== undefined) return held;
      const secret = secrets.get(id);
      if (secret === undefined) throw new TypeError(`${id} is no public key`);
      const key = makeKey(publicKey, secret);
      keys.set(id, key);
      return key;
    },
  };
}

/** Ed25519 as production has it, from seeds that follow from the run's. */
export const realCryptography = (cluster: string): Cryptography => ({
  name: "real",
  signingKey: (name) => signingKeyFromSeed(sha256(text.encode(`${cluster}|seed|${name}`))),
  verifyingKey,
});
