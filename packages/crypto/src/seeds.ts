/** Seeds: 32 secret bytes from which keys are derived. */
import { sha256 } from "./sha256.ts";

export const SEED_BYTES = 32;

export function generateSeed(): Uint8Array {
  return globalThis.crypto.getRandomValues(new Uint8Array(SEED_BYTES));
}

/** @throws RangeError unless `seed` has 32 bytes. */
export function checkSeed(seed: Uint8Array): void {
  if (seed.length !== SEED_BYTES) throw new RangeError(`a seed has ${SEED_BYTES} bytes, got ${seed.length}`);
}

export interface ReplicaSeeds {
  /** Signs protocol messages. */
  readonly signing: Uint8Array;
  /** The libp2p identity. */
  readonly network: Uint8Array;
}

const SIGNING_TAG = new TextEncoder().encode("narses/signing-key");
const NETWORK_TAG = new TextEncoder().encode("narses/network-key");

/**
 * A replica has one secret and two keys, so that nothing signed by the network stack can pass for a protocol message.
 * @throws RangeError unless `seed` has 32 bytes.
 */
export function deriveReplicaSeeds(seed: Uint8Array): ReplicaSeeds {
  checkSeed(seed);
  return { signing: sha256(SIGNING_TAG, seed), network: sha256(NETWORK_TAG, seed) };
}
