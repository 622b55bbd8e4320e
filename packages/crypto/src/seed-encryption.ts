/** A seed under a passphrase: scrypt, then AES-256-GCM. Node only. */
import { createCipheriv, createDecipheriv, randomBytes, scryptSync, timingSafeEqual } from "node:crypto";
import { fromHex, NarsesError, toHex } from "@narses/core";
import { keyInvalid, SCRYPT_MEMORY_MAX, type EncryptedSeed, type ScryptCost } from "./key-file-format.ts";

/** 32 MiB and about 0.1 s. */
const COST: ScryptCost = { N: 2 ** 15, r: 8, p: 1 };

function stretch(passphrase: string, salt: Uint8Array, cost: ScryptCost): { readonly key: Uint8Array; readonly check: Uint8Array } {
  // NFKC: the same characters typed on another system may be other code points.
  const bytes = scryptSync(passphrase.normalize("NFKC"), salt, 64, { N: cost.N, r: cost.r, p: cost.p, maxmem: 2 * SCRYPT_MEMORY_MAX });
  return { key: bytes.subarray(0, 32), check: bytes.subarray(32) };
}

export function encryptSeed(seed: Uint8Array, passphrase: string): EncryptedSeed {
  const [salt, nonce] = [randomBytes(16), randomBytes(12)];
  const { key, check } = stretch(passphrase, salt, COST);
  const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: 16 });
  const ciphertext = Buffer.concat([cipher.update(seed), cipher.final()]);
  return {
    kdf: "scrypt",
    ...COST,
    salt: toHex(salt),
    check: toHex(check),
    cipher: "aes-256-gcm",
    nonce: toHex(nonce),
    ciphertext: toHex(ciphertext),
    tag: toHex(cipher.getAuthTag()),
  };
}

/** @throws NarsesError KEY_PASSPHRASE when the passphrase is wrong, KEY_INVALID when the ciphertext was altered. */
export function decryptSeed(path: string, encrypted: EncryptedSeed, passphrase: string): Uint8Array {
  const { key, check } = stretch(passphrase, fromHex(encrypted.salt), encrypted);
  if (!timingSafeEqual(check, fromHex(encrypted.check))) {
    throw new NarsesError("KEY_PASSPHRASE", `key file ${path}: wrong passphrase; give the one it was created with`, { path });
  }
  const decipher = createDecipheriv("aes-256-gcm", key, fromHex(encrypted.nonce), { authTagLength: 16 });
  decipher.setAuthTag(fromHex(encrypted.tag));
  try {
    return Uint8Array.from(Buffer.concat([decipher.update(fromHex(encrypted.ciphertext)), decipher.final()]));
  } catch (cause) {
    throw keyInvalid(path, "the passphrase is right, the encrypted seed is damaged or was edited; restore it from a backup", cause);
  }
}
