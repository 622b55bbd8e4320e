/** What every layout needs to know of its cluster, made once by `createCodec`. */
import {
  checkParameters,
  digest,
  epoch as epochOf,
  fromHex,
  REPLICAS_MAX,
  type Digest,
  type Epoch,
  type Hasher,
  type Parameters,
  type RejectionCode,
} from "@narses/core";
import { HeaderCache } from "./block-header.ts";
import { ClientIdCache } from "./client-id.ts";
import { DOMAIN } from "./domains.ts";
import { frameLimits, type FrameLimits } from "./limits.ts";
import type { Reader } from "./reader.ts";
import { PROTOCOL_VERSION } from "./tags.ts";
import { Writer } from "./writer.ts";

export interface CodecOptions {
  readonly hasher: Hasher;
  readonly clusterId: Digest;
  readonly epoch: Epoch;
  /** n: how many replicas the epoch has. */
  readonly replicas: number;
  readonly parameters: Parameters;
}

export interface Context {
  readonly hasher: Hasher;
  readonly epoch: Epoch;
  readonly replicas: number;
  readonly parameters: Parameters;
  readonly limits: FrameLimits;
  /** The cluster id, 32 bytes. */
  readonly clusterId: Uint8Array;
  /** Shared by every encoder of this codec, one value at a time. */
  readonly writer: Writer;
  /** Holds what a signature to be checked covers, until the next one is. */
  readonly signingWriter: Writer;
  /** Domain tag ‖ cluster id: what precedes the envelope in a signing input. */
  readonly replicaDomain: Uint8Array;
  readonly clientDomain: Uint8Array;
  readonly clientIds: ClientIdCache;
  readonly headers: HeaderCache;
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** @throws RangeError for an id, epoch or count out of range; NarsesError CONFIG_INVALID for a parameter. */
export function createContext(options: CodecOptions): Context {
  const { hasher, replicas, parameters } = options;
  if (!Number.isSafeInteger(replicas) || replicas < 1 || replicas > REPLICAS_MAX) {
    throw new RangeError(`replicas must be an integer from 1 to ${REPLICAS_MAX}, got ${replicas}`);
  }
  checkParameters(parameters);
  const clusterId = fromHex(digest(options.clusterId));
  return {
    hasher,
    epoch: epochOf(options.epoch),
    replicas,
    parameters,
    limits: frameLimits(replicas, parameters),
    clusterId,
    writer: new Writer(16 << 10),
    signingWriter: new Writer(1 << 10),
    replicaDomain: concat([DOMAIN.replicaMessage, clusterId]),
    clientDomain: concat([DOMAIN.clientBundle, clusterId]),
    clientIds: new ClientIdCache(hasher),
    headers: new HeaderCache(),
  };
}

/** [version u8][tag u8][epoch u32], the start of everything. */
export function writeHeader(w: Writer, tag: number, epoch: number, version: number = PROTOCOL_VERSION): void {
  w.u8(version);
  w.u8(tag);
  w.u32(epoch);
}

/** Checks all three fields; `what` names the message in a failure. */
export function readHeader(r: Reader, c: Context, tag: number, what: string): void {
  const version = r.u8(what);
  if (version !== PROTOCOL_VERSION) r.fail(what, `protocol version ${version}, this is ${PROTOCOL_VERSION}`);
  const found = r.u8(what);
  if (found !== tag) r.fail(what, `type tag ${found}, must be ${tag}`);
  readEpoch(r, c, what);
}

export function readEpoch(r: Reader, c: Context, what: string): void {
  const epoch = r.u32(what);
  if (epoch !== c.epoch) r.fail(what, `epoch ${epoch}, this is ${c.epoch}`, r.epochCode);
  r.epochCode = r.code;
}

/** Checks a whole frame against the largest that its kind can be. */
export function checkSize(r: Reader, what: string, bytesMax: number, code: RejectionCode = r.tooLarge): void {
  if (r.bytes.length > bytesMax) r.fail(what, `${r.bytes.length} bytes, at most ${bytesMax}`, code);
}
