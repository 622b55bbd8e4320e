/**
 * Frames between a client and a replica. A request is the bundle itself. The others:
 *
 *   CALL         header, id u64, method length u8, method (printable ASCII), params to the end
 *   REPLY        header, client 32, bundle digest 32, view u64, block header, OUTCOME envelope, leaf proof, results
 *   REFUSED      header, bundle digest 32, code length u8, code (printable ASCII), detail (UTF-8) to the end
 *   EXECUTED     header, bundle digest 32, seq u64, leaf index u32
 *   CALL_RESULT  header, id u64, ok u8, value to the end
 */
import { FRAME_BYTES_MAX, NarsesError, type ClientId, type ClientMessage, type Digest, type ReplicaToClientMessage, type Reply } from "@narses/core";
import { readBundle } from "./bundle.ts";
import { checkSize, readHeader, writeHeader, type Context } from "./context.ts";
import { fromUtf8, utf8 } from "./host.ts";
import { BATCH_BUNDLES_MAX, DIGEST_BYTES, HEADER_BYTES, METHOD_BYTES_MAX, REFUSAL_CODE_BYTES_MAX, REFUSAL_DETAIL_BYTES_MAX } from "./limits.ts";
import { decoding, type Decoded } from "./malformed.ts";
import { readLeafProof, writeLeafProof } from "./merkle-path.ts";
import { Reader } from "./reader.ts";
import { resultsOf, skipResults, writeResults } from "./results.ts";
import { TAG } from "./tags.ts";
import { readOutcome } from "./votes.ts";
import type { Writer } from "./writer.ts";

const PRINTABLE = /^[\x21-\x7e]+$/;

/** A short name: length u8, then printable ASCII without spaces, at least one character. */
function writeName(w: Writer, what: string, name: string, bytesMax: number): void {
  if (!PRINTABLE.test(name) || name.length > bytesMax) {
    const allowed = `1 to ${bytesMax} printable ASCII characters without spaces`;
    throw new RangeError(`${what} must be ${allowed}, got ${JSON.stringify(name.slice(0, 80))}`);
  }
  w.u8(name.length);
  w.raw(utf8(name));
}

function readName(r: Reader, what: string, bytesMax: number): string {
  const length = r.count(what, r.u8(what), bytesMax, 1);
  const name = fromUtf8(r.take(what, length));
  if (name === undefined || !PRINTABLE.test(name)) r.fail(what, "must be printable ASCII without spaces, at least one character");
  return name;
}

/** @throws NarsesError REQUEST_TOO_LARGE above the limit. */
function finishFrame(w: Writer, what: string, bytesMax: number): Uint8Array {
  const frame = w.finish();
  if (frame.length <= bytesMax) return frame;
  const bytes = frame.length;
  throw new NarsesError("REQUEST_TOO_LARGE", `${what} has ${bytes} bytes, the other side accepts at most ${bytesMax}`, { bytes, bytesMax });
}

// ── client to replica ────────────────────────────────────────────────────────────────────────────────────────────

/** @throws RangeError for a method name out of bounds; NarsesError REQUEST_TOO_LARGE for params above `bundleBytesMax`. */
export function encodeClient(c: Context, m: ClientMessage): Uint8Array {
  if (m.type === "request") return m.bundle.bytes;
  const w = c.writer.begin();
  writeHeader(w, TAG.CALL, c.epoch);
  w.u64(m.id);
  writeName(w, "method", m.method, METHOD_BYTES_MAX);
  w.raw(m.params);
  return finishFrame(w, `call ${m.method}`, c.limits.call);
}

function readCall(r: Reader, c: Context): ClientMessage {
  checkSize(r, "call", c.limits.call);
  readHeader(r, c, TAG.CALL, "call");
  const id = r.u64("call id");
  const method = readName(r, "call method", METHOD_BYTES_MAX);
  return { type: "call", id, method, params: r.take("call params", r.remaining) };
}

export function decodeClient(c: Context, frame: Uint8Array): Decoded<ClientMessage> {
  return decoding((): ClientMessage => {
    const tag = frame[1] ?? 0;
    if (tag === TAG.BUNDLE) {
      const r = new Reader(frame, "REQUEST_INVALID");
      checkSize(r, "request", c.limits.bundle, "FRAME_TOO_LARGE");
      return { type: "request", bundle: readBundle(r, c) };
    }
    const r = new Reader(frame);
    if (tag === TAG.CALL) return readCall(r, c);
    return r.fail("client frame", `type tag ${tag} of ${frame.length} bytes is not one from a client`);
  });
}

// ── replica to client ────────────────────────────────────────────────────────────────────────────────────────────

function writeReply(w: Writer, c: Context, reply: Reply): void {
  w.digest(reply.client);
  w.digest(reply.bundleDigest);
  w.u64(reply.view);
  c.headers.write(w, reply.header);
  w.raw(reply.outcome.bytes);
  writeLeafProof(w, reply);
  writeResults(w, reply.results);
}

function readReply(r: Reader, c: Context): Reply {
  const client = r.digest("reply client") as string as ClientId;
  const bundleDigest = r.digest("reply bundle digest");
  const view = r.view64("reply view", 0);
  const header = c.headers.read(r);
  const outcome = readOutcome(r, c);
  const { leafIndex, leafCount, path } = readLeafProof(r, Math.min(BATCH_BUNDLES_MAX, c.parameters.batchOperationsMax));
  const resultsBytes = skipResults(r, c.parameters.bundleOperationsMax);
  let results: readonly Uint8Array[] | undefined;
  return {
    client, bundleDigest, view, header, outcome, leafIndex, leafCount, path, resultsBytes,
    get results() {
      return (results ??= resultsOf(resultsBytes));
    },
  };
}

/** Cut at a character, so that what remains is UTF-8. */
function cutDetail(detail: string): Uint8Array {
  const bytes = utf8(detail);
  let end = Math.min(bytes.length, REFUSAL_DETAIL_BYTES_MAX);
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.subarray(0, end);
}

/**
 * @throws NarsesError REQUEST_TOO_LARGE when results or value make the frame exceed FRAME_BYTES_MAX; RangeError for a
 * refusal code that is no short name.
 */
export function encodeToClient(c: Context, m: ReplicaToClientMessage): Uint8Array {
  const w = c.writer.begin();
  switch (m.type) {
    case "reply":
      writeHeader(w, TAG.REPLY, c.epoch);
      writeReply(w, c, m.reply);
      break;
    case "refused":
      writeHeader(w, TAG.REFUSED, c.epoch);
      w.digest(m.bundleDigest);
      writeName(w, "refusal code", m.code, REFUSAL_CODE_BYTES_MAX);
      w.raw(cutDetail(m.detail));
      break;
    case "executed":
      writeHeader(w, TAG.EXECUTED, c.epoch);
      w.digest(m.bundleDigest);
      w.u64(m.seq);
      w.u32(m.leafIndex);
      break;
    case "call-result":
      writeHeader(w, TAG.CALL_RESULT, c.epoch);
      w.u64(m.id);
      w.flag(m.ok);
      w.raw(m.value);
  }
  return finishFrame(w, m.type, FRAME_BYTES_MAX);
}

/** Bytes of a digest that tell bundles apart while few of them are about: a number, so that no string is made for it. */
const PREFIX_BYTES = 6;

export const digestPrefix = (digest: Digest): number => Number.parseInt(digest.slice(0, 2 * PREFIX_BYTES), 16);

/** How the digest of the bundle begins that a REPLY is for, and the view it tells, without a look at the rest; undefined for any other frame. */
export function peekReply(frame: Uint8Array): { readonly prefix: number; readonly view: number } | undefined {
  if (frame[1] !== TAG.REPLY || frame.length < HEADER_BYTES + 2 * DIGEST_BYTES + 8) return undefined;
  const number = (at: number, bytes: number): number => {
    let value = 0;
    for (let i = at; i < at + bytes; i++) value = value * 0x100 + (frame[i] ?? 0);
    return value;
  };
  return { prefix: number(HEADER_BYTES + DIGEST_BYTES, PREFIX_BYTES), view: number(HEADER_BYTES + 2 * DIGEST_BYTES, 8) };
}

function readRefused(r: Reader): ReplicaToClientMessage {
  const bundleDigest = r.digest("refused bundle digest");
  const code = readName(r, "refused code", REFUSAL_CODE_BYTES_MAX);
  const length = r.count("refused detail", r.remaining, REFUSAL_DETAIL_BYTES_MAX, 1);
  const detail = fromUtf8(r.take("refused detail", length));
  if (detail === undefined) r.fail("refused detail", "is not UTF-8");
  return { type: "refused", bundleDigest, code, detail };
}

function readExecuted(r: Reader): ReplicaToClientMessage {
  return { type: "executed", bundleDigest: r.digest("executed bundle digest"), seq: r.seq64("executed seq", 1), leafIndex: r.u32("executed leaf index") };
}

function readCallResult(r: Reader): ReplicaToClientMessage {
  const id = r.u64("call-result id");
  const ok = r.flag("call-result ok");
  return { type: "call-result", id, ok, value: r.take("call-result value", r.remaining) };
}

const REPLICA_FRAMES: ReadonlyMap<number, { readonly what: string; readonly read: (r: Reader, c: Context) => ReplicaToClientMessage }> = new Map([
  [TAG.REPLY as number, { what: "reply", read: (r: Reader, c: Context): ReplicaToClientMessage => ({ type: "reply", reply: readReply(r, c) }) }],
  [TAG.REFUSED, { what: "refused", read: readRefused }],
  [TAG.EXECUTED, { what: "executed", read: readExecuted }],
  [TAG.CALL_RESULT, { what: "call-result", read: readCallResult }],
]);

export function decodeToClient(c: Context, frame: Uint8Array): Decoded<ReplicaToClientMessage> {
  return decoding(() => {
    const r: Reader = new Reader(frame);
    const tag = frame[1] ?? 0;
    const kind = REPLICA_FRAMES.get(tag);
    if (kind === undefined) r.fail("replica frame", `type tag ${tag} of ${frame.length} bytes is not one for a client`);
    checkSize(r, kind.what, FRAME_BYTES_MAX);
    readHeader(r, c, tag, kind.what);
    const message = kind.read(r, c);
    r.finish(kind.what);
    return message;
  });
}

/** Bytes a CALL_RESULT value may have, at most. */
export const CALL_RESULT_BYTES_MAX: number = FRAME_BYTES_MAX - HEADER_BYTES - 9;
