/** A codec over node:crypto's SHA-256 and keys that sign with a hash: signatures are not this package's subject. */
import { createHash } from "node:crypto";
import { DEFAULT_PARAMETERS, digest, epoch, type Digest, type Epoch, type Hasher, type Parameters, type Signed, type SignedBody, type SigningKey } from "@narses/core";
import { createCodec, type Codec } from "../../src/index.ts";

export const hasher: Hasher = {
  sha256(...parts) {
    const hash = createHash("sha256");
    for (const part of parts) hash.update(part);
    return new Uint8Array(hash.digest());
  },
};

export const EPOCH: Epoch = epoch(7);
export const CLUSTER_ID: Digest = digest("c1".repeat(32));
export const REPLICAS = 4;

/** Small limits, so that reaching them costs little. */
export const PARAMETERS: Parameters = {
  ...DEFAULT_PARAMETERS,
  checkpointInterval: 8,
  logWindow: 16,
  bundleBytesMax: 2_048,
  batchBytesMax: 8_192,
  bundleOperationsMax: 16,
  batchOperationsMax: 48,
  largeBundleBytes: 200,
};

export const codecOf = (replicas: number, parameters: Parameters = PARAMETERS): Codec => createCodec({ hasher, clusterId: CLUSTER_ID, epoch: EPOCH, replicas, parameters });

export const codec: Codec = codecOf(REPLICAS);

/** 64 bytes that depend on key and message. */
export function fakeKey(seed: number): SigningKey {
  const publicKey = hasher.sha256(Uint8Array.of(seed));
  return { publicKey, sign: (message) => new Uint8Array(createHash("sha512").update(publicKey).update(message).digest()) };
}

/** Seals a body as its sender would. */
export function sign<B extends SignedBody>(body: B, by: Codec = codec): Signed<B> {
  const unsigned = by.unsigned(body);
  return by.seal(body, unsigned, fakeKey(body.sender).sign(by.signingInput(unsigned)));
}
