/**
 * The vocabulary of identifiers. Each is a branded primitive: its constructor validates once at the boundary,
 * after that the type is proof enough.
 */
declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** Index of a replica in the ordered member list of its epoch: 0 … n−1. */
export type ReplicaId = Brand<number, "ReplicaId">;
/** View number v ≥ 0; the primary of v is member v mod n. */
export type View = Brand<number, "View">;
/** Sequence number (slot) ≥ 0; 0 is genesis, the first batch has 1. */
export type SeqNum = Brand<number, "SeqNum">;
/** Configuration epoch ≥ 0. */
export type Epoch = Brand<number, "Epoch">;
/** Request id ≥ 1, chosen by the client, unique within its session. */
export type RequestId = Brand<number, "RequestId">;
/** SHA-256 digest as 64 lower-case hex digits: comparable with ===, usable as a map key, printable. */
export type Digest = Brand<string, "Digest">;
/** SHA-256 of a client's public key, as a {@link Digest} is written: self-certifying. */
export type ClientId = Brand<string, "ClientId">;

function integer(what: string, value: number, max: number): number {
  if (!Number.isSafeInteger(value) || value < 0 || value > max) {
    throw new RangeError(`${what} must be an integer from 0 to ${max}, got ${String(value)}`);
  }
  return value;
}

/** Highest number of replicas the wire format can address. */
export const REPLICAS_MAX = 256;

export const replicaId = (value: number): ReplicaId => integer("replica id", value, REPLICAS_MAX - 1) as ReplicaId;
export const view = (value: number): View => integer("view", value, Number.MAX_SAFE_INTEGER) as View;
export const seqNum = (value: number): SeqNum => integer("sequence number", value, Number.MAX_SAFE_INTEGER) as SeqNum;
export const epoch = (value: number): Epoch => integer("epoch", value, 0xffff_ffff) as Epoch;
export const requestId = (value: number): RequestId => integer("request id", value, Number.MAX_SAFE_INTEGER) as RequestId;

const HEX_DIGITS = 64;

/** A loop, since a regular expression takes three times as long. */
function isHex64(value: unknown): boolean {
  if (typeof value !== "string" || value.length !== HEX_DIGITS) return false;
  for (let i = 0; i < HEX_DIGITS; i++) {
    const code = value.charCodeAt(i);
    if ((code < 48 || code > 57) && (code < 97 || code > 102)) return false;
  }
  return true;
}

/** @throws RangeError unless `value` is 64 lower-case hex digits. */
export function digest(value: string): Digest {
  if (!isHex64(value)) throw new RangeError(`digest must be 64 lower-case hex digits, got ${JSON.stringify(value)}`);
  return value as Digest;
}

/** @throws RangeError unless `value` is 64 lower-case hex digits. */
export const clientId = (value: string): ClientId => digest(value) as unknown as ClientId;

/** The digest of a null batch: ordered, executed as nothing (PBFT §4.4, "null request"). */
export const NULL_DIGEST: Digest = "0".repeat(64) as Digest;
