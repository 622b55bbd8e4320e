/** Key files: their shape, and the strict reading of JSON that may be damaged or edited. No IO here. */
import { NarsesError, toHex } from "@narses/core";
import { signingKeyFromSeed } from "./ed25519.ts";
import { deriveReplicaSeeds } from "./seeds.ts";

/** What the secret is for: a `replica` file holds the seed of two keys (`deriveReplicaSeeds`), a `client` file the seed of one. */
export type KeyKind = "replica" | "client";

/** An opened key file. Public keys are 64 hex digits, as cluster files spell them. */
export type KeyFile =
  | { readonly kind: "replica"; readonly seed: Uint8Array; readonly publicKey: string; readonly networkKey: string }
  | { readonly kind: "client"; readonly seed: Uint8Array; readonly publicKey: string };

export interface CreateKeyOptions {
  readonly kind: KeyKind;
  /** 32 bytes; random by default. */
  readonly seed?: Uint8Array;
  /** Encrypts the seed; not empty. Without it the file mode is the only protection. */
  readonly passphrase?: string;
}

export interface LoadKeyOptions {
  /** Needed when the file is encrypted, ignored when it is not. */
  readonly passphrase?: string;
}

export const KEY_FILE_VERSION = 1;
/** A longer file is refused unread. Version 1 needs under 1 KiB. */
export const KEY_FILE_BYTES_MAX: number = 16 << 10;

/** scrypt cost: memory is 128·N·r bytes, time goes with N·r·p. */
export interface ScryptCost {
  readonly N: number;
  readonly r: number;
  readonly p: number;
}

/** scrypt (its first 32 bytes the AES key, the next 32 `check`), then AES-256-GCM over the seed. All byte strings in hex. */
export interface EncryptedSeed extends ScryptCost {
  readonly kdf: "scrypt";
  readonly salt: string;
  /** Tells a wrong passphrase from a damaged ciphertext. */
  readonly check: string;
  readonly cipher: "aes-256-gcm";
  readonly nonce: string;
  readonly ciphertext: string;
  readonly tag: string;
}

export type KeyFileJson = {
  readonly version: typeof KEY_FILE_VERSION;
  readonly publicKey: string;
} & ({ readonly kind: "client" } | { readonly kind: "replica"; readonly networkKey: string }) &
  ({ readonly seed: string } | { readonly encrypted: EncryptedSeed });

/** What an opened file is. @throws RangeError unless `seed` has 32 bytes. */
export function describeKey(kind: KeyKind, seed: Uint8Array): KeyFile {
  const own = Uint8Array.from(seed);
  if (kind === "client") return { kind, seed: own, publicKey: toHex(signingKeyFromSeed(own).publicKey) };
  const { signing, network } = deriveReplicaSeeds(own);
  return { kind, seed: own, publicKey: toHex(signingKeyFromSeed(signing).publicKey), networkKey: toHex(signingKeyFromSeed(network).publicKey) };
}

export function keyInvalid(path: string, problem: string, cause?: unknown): NarsesError {
  return new NarsesError("KEY_INVALID", `key file ${path}: ${problem}`, { path }, cause === undefined ? undefined : { cause });
}

const DAMAGED = "the file is damaged or was edited; restore it from a backup";
/** Opening may take this much memory, and p passes over it, at most; what `createKeyFile` writes needs 32 MiB and one. */
export const SCRYPT_MEMORY_MAX: number = 256 << 20;
const SCRYPT_LIMITS: ScryptCost = { N: 2 ** 20, r: 32, p: 4 };

type Fields = Readonly<Record<string, unknown>>;

/** Reads the fields of one object, and refuses what it does not know. */
function fieldsOf(path: string, name: string, value: unknown, known: readonly string[]): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw keyInvalid(path, `${name} is not a JSON object; ${DAMAGED}`);
  const unknown = Object.keys(value).find((field) => !known.includes(field));
  if (unknown !== undefined) throw keyInvalid(path, `${name} has an unknown field ${JSON.stringify(unknown.slice(0, 40))}; ${DAMAGED}`);
  return value as Fields;
}

function hexOf(path: string, fields: Fields, field: string, bytes: number): string {
  const value = fields[field];
  if (typeof value !== "string" || value.length !== 2 * bytes || !/^[0-9a-f]+$/.test(value)) {
    throw keyInvalid(path, `${field} must be ${2 * bytes} lower-case hex digits; ${DAMAGED}`);
  }
  return value;
}

function literalOf<T extends string>(path: string, fields: Fields, field: string, allowed: readonly T[]): T {
  const value = allowed.find((candidate) => candidate === fields[field]);
  if (value === undefined) throw keyInvalid(path, `${field} must be ${allowed.map((v) => JSON.stringify(v)).join(" or ")}; ${DAMAGED}`);
  return value;
}

function integerOf(path: string, fields: Fields, field: keyof ScryptCost): number {
  const value = fields[field];
  const max = SCRYPT_LIMITS[field];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 1 || value > max) {
    throw keyInvalid(path, `scrypt ${field} must be an integer from 1 to ${max}; ${DAMAGED}`);
  }
  return value;
}

function parseEncrypted(path: string, value: unknown): EncryptedSeed {
  const fields = fieldsOf(path, "encrypted", value, ["kdf", "N", "r", "p", "salt", "check", "cipher", "nonce", "ciphertext", "tag"]);
  const kdf = literalOf(path, fields, "kdf", ["scrypt"]);
  const [N, r, p] = [integerOf(path, fields, "N"), integerOf(path, fields, "r"), integerOf(path, fields, "p")];
  if (N < 2 || Math.log2(N) % 1 !== 0) throw keyInvalid(path, `scrypt N must be a power of two above 1, got ${N}; ${DAMAGED}`);
  if (128 * N * r > SCRYPT_MEMORY_MAX) {
    throw keyInvalid(path, `scrypt N = ${N}, r = ${r} would take ${(128 * N * r) / 2 ** 20} MiB, more than the ${SCRYPT_MEMORY_MAX / 2 ** 20} MiB allowed; ${DAMAGED}`);
  }
  return {
    kdf,
    N,
    r,
    p,
    salt: hexOf(path, fields, "salt", 16),
    check: hexOf(path, fields, "check", 32),
    cipher: literalOf(path, fields, "cipher", ["aes-256-gcm"]),
    nonce: hexOf(path, fields, "nonce", 12),
    ciphertext: hexOf(path, fields, "ciphertext", 32),
    tag: hexOf(path, fields, "tag", 16),
  };
}

/** @throws NarsesError KEY_INVALID naming the file and the field. */
export function parseKeyFile(path: string, text: string): KeyFileJson {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // Not the parser's message: it quotes the text, which may be the seed.
    throw keyInvalid(path, `is not JSON; ${DAMAGED}`);
  }
  const fields = fieldsOf(path, "the file", json, ["version", "kind", "publicKey", "networkKey", "seed", "encrypted"]);
  if (fields["version"] !== KEY_FILE_VERSION) {
    throw keyInvalid(path, `version must be ${KEY_FILE_VERSION}, the only one this build reads; use the build that wrote the file, or restore it from a backup`);
  }
  const kind = literalOf(path, fields, "kind", ["replica", "client"]);
  const publicKey = hexOf(path, fields, "publicKey", 32);
  const who = kind === "replica" ? { kind, networkKey: hexOf(path, fields, "networkKey", 32) } : { kind };
  if (kind === "client" && fields["networkKey"] !== undefined) throw keyInvalid(path, `a client key has no networkKey; ${DAMAGED}`);
  if ((fields["seed"] === undefined) === (fields["encrypted"] === undefined)) {
    throw keyInvalid(path, `must have either seed or encrypted, and not both; ${DAMAGED}`);
  }
  const secret = fields["seed"] === undefined ? { encrypted: parseEncrypted(path, fields["encrypted"]) } : { seed: hexOf(path, fields, "seed", 32) };
  return { version: KEY_FILE_VERSION, publicKey, ...who, ...secret };
}

/** The key of a file whose seed is known. @throws NarsesError KEY_INVALID when its public keys are those of another seed. */
export function openKeyFile(path: string, file: KeyFileJson, seed: Uint8Array): KeyFile {
  const key = describeKey(file.kind, seed);
  if (key.publicKey !== file.publicKey) throw keyInvalid(path, `publicKey is not the one of its seed; ${DAMAGED}`);
  if (key.kind === "replica" && file.kind === "replica" && key.networkKey !== file.networkKey) {
    throw keyInvalid(path, `networkKey is not the one of its seed; ${DAMAGED}`);
  }
  return key;
}
