/**
 * The signed envelope of a replica: [version u8][tag u8][epoch u32][sender u16] body [signature 64].
 * The signature covers domain tag ‖ cluster id ‖ everything before it. Envelopes delimit themselves: each body says how
 * long it is, and no length is written twice.
 */
import type { ReplicaId, Signed, SignedBody } from "@narses/core";
import { concat, readHeader, writeHeader, type Context } from "./context.ts";
import { BUNDLE_BYTES_MIN, REPLICA_HEADER_BYTES, SIGNATURE_BYTES } from "./limits.ts";
import type { Reader } from "./reader.ts";
import { TAG } from "./tags.ts";
import type { Writer } from "./writer.ts";

const SIGNED_TAGS: ReadonlySet<number> = new Set([TAG.PRE_PREPARE, TAG.VOTES, TAG.CHECKPOINT, TAG.VIEW_CHANGE, TAG.NEW_VIEW, TAG.OUTCOME]);

export function writeReplicaHeader(w: Writer, tag: number, body: SignedBody): void {
  writeHeader(w, tag, body.epoch);
  w.u16(body.sender);
}

/** Reads one envelope; `bytes` of the result is a view of the input. */
export function readEnvelope<B extends SignedBody>(
  r: Reader,
  c: Context,
  tag: number,
  what: B["type"],
  readBody: (r: Reader, c: Context, sender: ReplicaId) => B,
): Signed<B> {
  const start = r.position;
  readHeader(r, c, tag, what);
  const sender = r.u16(`${what} sender`);
  if (sender >= c.replicas) r.fail(`${what} sender`, `${sender}, at most ${c.replicas - 1}`);
  const body = readBody(r, c, sender as ReplicaId);
  r.take(`${what} signature`, SIGNATURE_BYTES);
  return { body, bytes: r.slice(start, r.position) };
}

/** What the signature of a replica's envelope covers. */
export const replicaSigningInput = (c: Context, unsigned: Uint8Array): Uint8Array => concat([c.replicaDomain, unsigned]);

export const clientSigningInput = (c: Context, unsigned: Uint8Array): Uint8Array => concat([c.clientDomain, unsigned]);

/** @throws RangeError unless the signature has 64 bytes. */
export function seal<B extends SignedBody>(body: B, unsigned: Uint8Array, signature: Uint8Array): Signed<B> {
  if (signature.length !== SIGNATURE_BYTES) throw new RangeError(`a signature has ${SIGNATURE_BYTES} bytes, got ${signature.length}`);
  return { body, bytes: concat([unsigned, signature]) };
}

export interface SignedParts {
  /** Exactly what was signed: domain tag ‖ cluster id ‖ envelope without signature. A view that the next call of the same codec overwrites. */
  readonly message: Uint8Array;
  readonly signature: Uint8Array;
}

/** @throws RangeError for bytes that are no replica's envelope and no client's bundle. */
export function signedParts(c: Context, envelope: Uint8Array): SignedParts {
  const tag = envelope[1] ?? 0;
  const client = tag === TAG.BUNDLE;
  const bytesMin = client ? BUNDLE_BYTES_MIN : REPLICA_HEADER_BYTES + SIGNATURE_BYTES;
  if ((!client && !SIGNED_TAGS.has(tag)) || envelope.length < bytesMin) {
    throw new RangeError(`not a signed envelope: ${envelope.length} bytes with type tag ${tag}`);
  }
  const unsigned = envelope.subarray(0, envelope.length - SIGNATURE_BYTES);
  const w = c.signingWriter;
  // The last message is not needed any more; this one stays until the next call.
  w.release();
  w.raw(client ? c.clientDomain : c.replicaDomain);
  w.raw(unsigned);
  return {
    message: w.written(),
    signature: envelope.subarray(envelope.length - SIGNATURE_BYTES),
  };
}
