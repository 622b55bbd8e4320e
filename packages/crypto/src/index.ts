/**
 * Keys, Ed25519 under one pinned acceptance rule, SHA-256, Merkle trees. Loads in Node and in a browser: what differs
 * between the two is behind `#native` and `#key-file` (`imports` of package.json).
 */
export { backends, signingKeyFromSeed, VERIFYING_KEYS_CACHED_MAX, verifyingKey, type Backend, type BackendName } from "./ed25519.ts";
export { hasher, sha256 } from "./sha256.ts";
export { deriveReplicaSeeds, generateSeed, SEED_BYTES, type ReplicaSeeds } from "./seeds.ts";
export { merklePath, merkleRoot, merkleTree, merkleVerify, type MerkleTree } from "./merkle.ts";
export { verifyStateProof, type ProofVerdict } from "./state-proof.ts";
export { createKeyFile, loadKeyFile } from "#key-file";
export { KEY_FILE_BYTES_MAX, type CreateKeyOptions, type KeyFile, type KeyKind, type LoadKeyOptions } from "./key-file-format.ts";
