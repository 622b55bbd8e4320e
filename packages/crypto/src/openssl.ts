/** OpenSSL, by node:crypto. Keys are parsed once: parsing costs as much as verifying. */
import { createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { fromHex } from "@narses/core";
import type { RawBackend } from "./raw.ts";

/** DER up to the 32 key bytes (RFC 8410): PKCS #8 of a seed, SubjectPublicKeyInfo of a public key. */
const PKCS8_PREFIX = fromHex("302e020100300506032b657004220420");
const SPKI_PREFIX = fromHex("302a300506032b6570032100");

export const openssl: RawBackend = {
  name: "node:crypto",
  signer(seed) {
    const privateKey = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: "der", type: "pkcs8" });
    const spki = createPublicKey(privateKey).export({ format: "der", type: "spki" });
    return {
      publicKey: Uint8Array.from(spki.subarray(SPKI_PREFIX.length)),
      sign: (message) => Uint8Array.from(sign(null, message, privateKey)),
    };
  },
  verifier({ bytes }) {
    const publicKey = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, bytes]), format: "der", type: "spki" });
    return (message, signature) => verify(null, message, publicKey, signature);
  },
};
