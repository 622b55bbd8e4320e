/** The libp2p identity of a seed. */
import { generateKeyPairFromSeed, privateKeyFromRaw } from "@libp2p/crypto/keys";
import type { Ed25519PrivateKey } from "@libp2p/interface";
import { fromHex, NarsesError } from "@narses/core";

export const SEED_BYTES = 32;
/** DER up to the 32 key bytes (RFC 8410): PKCS #8 of a seed, SubjectPublicKeyInfo of a public key. */
const PKCS8_PREFIX = fromHex("302e020100300506032b657004220420");
const SPKI_PREFIX_BYTES = 12;

interface NodeCrypto {
  createPrivateKey(key: { readonly key: Uint8Array; readonly format: "der"; readonly type: "pkcs8" }): unknown;
  createPublicKey(key: unknown): { export(as: { readonly format: "der"; readonly type: "spki" }): Uint8Array };
}

/** Absent in browsers. */
function nodeCrypto(): NodeCrypto | undefined {
  const { process } = globalThis as { readonly process?: { getBuiltinModule?(name: string): unknown } };
  return process?.getBuiltinModule?.("node:crypto") as NodeCrypto | undefined;
}

/**
 * libp2p derives the public key in JavaScript, which costs a starting process 20 ms; OpenSSL costs nothing. Both give the same key.
 * @throws NarsesError KEY_INVALID when `seed` is not 32 bytes.
 */
export async function identityFromSeed(seed: Uint8Array): Promise<Ed25519PrivateKey> {
  if (seed.length !== SEED_BYTES) {
    throw new NarsesError("KEY_INVALID", `a network seed has ${SEED_BYTES} bytes, got ${seed.length}`, { bytes: seed.length });
  }
  const node = nodeCrypto();
  if (node === undefined) return generateKeyPairFromSeed("Ed25519", seed);
  const pkcs8 = new Uint8Array(PKCS8_PREFIX.length + SEED_BYTES);
  pkcs8.set(PKCS8_PREFIX);
  pkcs8.set(seed, PKCS8_PREFIX.length);
  const publicKey = node.createPublicKey(node.createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" })).export({ format: "der", type: "spki" });
  const raw = new Uint8Array(2 * SEED_BYTES);
  raw.set(seed);
  raw.set(publicKey.subarray(SPKI_PREFIX_BYTES), SEED_BYTES);
  return privateKeyFromRaw(raw) as Ed25519PrivateKey;
}
