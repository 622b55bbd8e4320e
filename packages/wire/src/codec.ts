/** Every layout bound to one cluster and epoch. */
import {
  assertNever,
  FRAME_BYTES_MAX,
  NarsesError,
  type Batch,
  type Block,
  type Bundle,
  type ClientMessage,
  type Epoch,
  type Evidence,
  type LogRecord,
  type PeerMessage,
  type Receipt,
  type ReplicaToClientMessage,
  type Signed,
  type SignedBody,
  type StateMessage,
  type StateReceipt,
} from "@narses/core";
import { makeBatch, readBatch } from "./batch.ts";
import { decodeBlock, encodeBlock } from "./block.ts";
import { decodeEvidence, encodeEvidence } from "./evidence.ts";
import { makeBundle, readBundle, type BundleParts } from "./bundle.ts";
import { decodeClient, decodeToClient, encodeClient, encodeToClient } from "./client-frames.ts";
import { createContext, type CodecOptions, type Context } from "./context.ts";
import { replicaSigningInput, seal, signedParts, type SignedParts } from "./envelope.ts";
import { SIGNATURE_BYTES } from "./limits.ts";
import { decoding, type Decoded } from "./malformed.ts";
import { decodePeer, encodePeer, peerFrames } from "./peer.ts";
import { decodeReceipt, encodeReceipt } from "./receipt.ts";
import { Reader } from "./reader.ts";
import { decodeRecord, encodeRecord } from "./record.ts";
import { decodeStateReceipt, encodeStateReceipt } from "./state-receipt.ts";
import { writeNewView, writeViewChange } from "./view-change.ts";
import { writeCheckpoint, writeOutcome, writePrePrepare, writeVotes } from "./votes.ts";
import type { Writer } from "./writer.ts";

/**
 * Bytes to messages and back, for one cluster, epoch and n.
 *
 * Decoders never throw on any bytes (except those of stored values, which throw NarsesError), need time and memory linear
 * in their length, and accept exactly one byte string per value. They check structure, ranges and digests: signatures
 * are the verifier's, protocol rules the engine's. Decoded values hold views of the bytes given, so the caller must own
 * them and leave them alone.
 *
 * Encoders throw InvariantViolation for a number or digest that its field cannot hold.
 */
export interface Codec {
  /** May return bytes that `m` holds already, not a copy. */
  encodePeer(m: PeerMessage | StateMessage): Uint8Array;
  decodePeer(frame: Uint8Array): Decoded<PeerMessage | StateMessage>;
  /** @throws RangeError for a method name out of bounds; NarsesError REQUEST_TOO_LARGE. */
  encodeClient(m: ClientMessage): Uint8Array;
  decodeClient(frame: Uint8Array): Decoded<ClientMessage>;
  /** @throws RangeError for a refusal code that is no short name; NarsesError REQUEST_TOO_LARGE above FRAME_BYTES_MAX. */
  encodeToClient(m: ReplicaToClientMessage): Uint8Array;
  decodeToClient(frame: Uint8Array): Decoded<ReplicaToClientMessage>;

  /** The envelope of a replica's body, without its signature. @throws NarsesError FRAME_INVALID when it is too large to send. */
  unsigned(body: SignedBody): Uint8Array;
  /** What the signature over `unsigned` covers. */
  signingInput(unsigned: Uint8Array): Uint8Array;
  /** The envelope with its signature. @throws RangeError unless the signature has 64 bytes. */
  seal<B extends SignedBody>(body: B, unsigned: Uint8Array, signature: Uint8Array): Signed<B>;
  /** Splits a replica's envelope, or a client's bundle, for a verifier. @throws RangeError for anything else. */
  signedParts(envelope: Uint8Array): SignedParts;

  /** @throws RangeError for parts out of range; NarsesError REQUEST_TOO_LARGE above `bundleBytesMax`. */
  makeBundle(parts: BundleParts): Bundle;
  decodeBundle(bytes: Uint8Array): Decoded<Bundle>;
  makeBatch(epoch: Epoch, timestampMs: number, bundles: readonly Bundle[]): Batch;
  decodeBatch(bytes: Uint8Array): Decoded<Batch>;

  encodeRecord(record: LogRecord): Uint8Array;
  /** @throws NarsesError DATA_CORRUPT, DATA_VERSION. */
  decodeRecord(bytes: Uint8Array): LogRecord;
  encodeBlock(block: Block): Uint8Array;
  /** @throws NarsesError DATA_CORRUPT, DATA_VERSION. */
  decodeBlock(bytes: Uint8Array): Block;
  encodeReceipt(receipt: Receipt): Uint8Array;
  decodeReceipt(bytes: Uint8Array): Decoded<Receipt>;
  encodeEvidence(evidence: Evidence): Uint8Array;
  decodeEvidence(bytes: Uint8Array): Decoded<Evidence>;
  encodeStateReceipt(receipt: StateReceipt): Uint8Array;
  decodeStateReceipt(bytes: Uint8Array): Decoded<StateReceipt>;
}

function writeBody(w: Writer, body: SignedBody): void {
  switch (body.type) {
    case "pre-prepare":
      return writePrePrepare(w, body);
    case "votes":
      return writeVotes(w, body);
    case "checkpoint":
      return writeCheckpoint(w, body);
    case "view-change":
      return writeViewChange(w, body);
    case "new-view":
      return writeNewView(w, body);
    case "outcome":
      return writeOutcome(w, body);
    default:
      return assertNever(body);
  }
}

function unsigned(c: Context, body: SignedBody): Uint8Array {
  const w = c.writer.begin();
  writeBody(w, body);
  const bytes = w.finish();
  const total = bytes.length + SIGNATURE_BYTES;
  if (total <= FRAME_BYTES_MAX) return bytes;
  const problem = `own ${body.type} has ${total} bytes, peers accept at most ${FRAME_BYTES_MAX} (FRAME_BYTES_MAX)`;
  const data = { type: body.type, bytes: total, bytesMax: FRAME_BYTES_MAX };
  throw new NarsesError("FRAME_INVALID", `${problem}: the cluster needs a smaller parameters.logWindow`, data);
}

/** @throws RangeError for a cluster id, epoch or replica count out of range; NarsesError CONFIG_INVALID for a parameter. */
export function createCodec(options: CodecOptions): Codec {
  const c = createContext(options);
  const frames = peerFrames(c);
  return {
    encodePeer: (m) => encodePeer(c, m),
    decodePeer: (frame) => decodePeer(c, frames, frame),
    encodeClient: (m) => encodeClient(c, m),
    decodeClient: (frame) => decodeClient(c, frame),
    encodeToClient: (m) => encodeToClient(c, m),
    decodeToClient: (frame) => decodeToClient(c, frame),
    unsigned: (body) => unsigned(c, body),
    signingInput: (bytes) => replicaSigningInput(c, bytes),
    seal,
    signedParts: (envelope) => signedParts(c, envelope),
    makeBundle: (parts) => makeBundle(c, parts),
    decodeBundle: (bytes) => decoding(() => readBundle(new Reader(bytes, "REQUEST_INVALID"), c)),
    makeBatch: (epoch, timestampMs, bundles) => makeBatch(c, epoch, timestampMs, bundles),
    decodeBatch: (bytes) => decoding(() => readBatch(new Reader(bytes, "BATCH_INVALID"), c)),
    encodeRecord: (record) => encodeRecord(c, record),
    decodeRecord: (bytes) => decodeRecord(c, bytes),
    encodeBlock: (block) => encodeBlock(c, block),
    decodeBlock: (bytes) => decodeBlock(c, bytes),
    encodeReceipt: (receipt) => encodeReceipt(c, receipt),
    decodeReceipt: (bytes) => decodeReceipt(c, bytes),
    encodeEvidence: (evidence) => encodeEvidence(c, evidence),
    decodeEvidence: (bytes) => decodeEvidence(c, bytes),
    encodeStateReceipt: (receipt) => encodeStateReceipt(c, receipt),
    decodeStateReceipt: (bytes) => decodeStateReceipt(c, bytes),
  };
}
