/**
 * The client's signed bundle, which is the request frame, what a backup forwards, and what a batch contains:
 *
 *   [version u8][tag u8][epoch u32][public key 32][session u64][ridFirst u64][ackLow u64]
 *   [count u16] (kind u8, length u32) × count, the payloads one after the other, [signature 64]
 *
 * A kind is 1 (apply) or 2 (query), plus 16 for each operation of a bundle that keeps its order (`fifo`).
 *
 * Payloads stay opaque views of these bytes. Whether they are sound msgpack is decided when they are executed.
 */
import {
  NarsesError,
  type Bundle,
  type Operation,
  type RequestId,
  type SigningKey,
} from "@narses/core";
import { checkSize, concat, readHeader, writeHeader, type Context } from "./context.ts";
import { clientSigningInput } from "./envelope.ts";
import { hexDigest } from "./hex-digest.ts";
import { BUNDLE_BYTES_MIN, HEADER_BYTES, OPERATION_ENTRY_BYTES, PUBLIC_KEY_BYTES, SIGNATURE_BYTES } from "./limits.ts";
import { Reader } from "./reader.ts";
import { TAG } from "./tags.ts";

const KIND_APPLY = 1;
const KIND_QUERY = 2;
const FIFO = 16;

function readCount(r: Reader, c: Context): number {
  const { bundleOperationsMax } = c.parameters;
  const count = r.count("bundle operations count", r.u16("bundle operations count"), bundleOperationsMax, OPERATION_ENTRY_BYTES);
  if (count === 0) r.fail("bundle operations count", "0, at least 1");
  return count;
}

/** Checks the table and passes the payloads, whose views are made when they are wanted: {@link operationsOf}. Tells whether they keep their order. */
function checkOperations(r: Reader, count: number): boolean {
  let order = 0;
  let bytes = 0;
  for (let i = 0; i < count; i++) {
    const kind = r.u8("operation kind");
    if (i === 0) order = kind & FIFO;
    const plain = kind - order;
    if (plain !== KIND_APPLY && plain !== KIND_QUERY) {
      r.fail("operation kind", `${kind}, must be ${order + KIND_APPLY} or ${order + KIND_QUERY}${order === 0 ? "" : ", as the first one keeps its order"}`);
    }
    bytes += r.u32("operation length");
  }
  r.skip("operation payloads", bytes);
  return order === FIFO;
}

/** Where the table of operations starts: after header, key, session, ridFirst, ackLow and count. */
const TABLE_AT: number = HEADER_BYTES + PUBLIC_KEY_BYTES + 3 * 8 + 2;

/** The operations of checked bytes. */
function operationsOf(bytes: Uint8Array, count: number): readonly Operation[] {
  const r = new Reader(bytes);
  r.skip("operation table", TABLE_AT + count * OPERATION_ENTRY_BYTES);
  const operations = new Array<Operation>(count);
  for (let i = 0; i < count; i++) {
    const entry = TABLE_AT + i * OPERATION_ENTRY_BYTES;
    const payload = r.take("operation payload", r.u32At(entry + 1));
    operations[i] = { kind: ((bytes[entry] ?? 0) & ~FIFO) === KIND_APPLY ? "apply" : "query", payload };
  }
  return operations;
}

/** So that the last of `operations` ids is 2^53 − 1 at most; the sum itself would round. */
const ridFirstMax = (operations: number): number => Number.MAX_SAFE_INTEGER - (operations - 1);

/** Reads a bundle that fills all of `r`. */
export function readBundle(r: Reader, c: Context): Bundle {
  checkSize(r, "bundle", c.parameters.bundleBytesMax);
  readHeader(r, c, TAG.BUNDLE, "bundle");
  const publicKey = r.take("bundle public key", PUBLIC_KEY_BYTES);
  const session = r.u64("bundle session");
  const ridFirst = r.u64("bundle ridFirst");
  if (ridFirst === 0) r.fail("bundle ridFirst", "0, at least 1");
  const ackLow = r.u64("bundle ackLow");
  if (ackLow >= ridFirst) r.fail("bundle ackLow", `${ackLow}, must be below ridFirst ${ridFirst}: no reply comes before its request`);
  const count = readCount(r, c);
  if (ridFirst > ridFirstMax(count)) r.fail("bundle ridFirst", `${ridFirst}, the last id would exceed 2^53 − 1`);
  const fifo = checkOperations(r, count);
  r.skip("bundle signature", SIGNATURE_BYTES);
  r.finish("bundle");
  const { bytes } = r;
  return {
    digest: hexDigest(c.hasher.sha256(bytes)),
    client: c.clientIds.of(publicKey),
    publicKey,
    session,
    ridFirst: ridFirst as RequestId,
    ackLow,
    fifo,
    operationCount: count,
    get operations() {
      return operationsOf(bytes, count);
    },
    bytes,
  };
}

/**
 * The same bundle, of which `bytes` are an equal copy: it keeps nothing of what it was read from. What waits for a checkpoint inside a batch
 * would otherwise be held twice, there and in the frames it came in.
 */
export function moveBundle({ digest, client, publicKey, session, ridFirst, ackLow, fifo, operationCount }: Bundle, bytes: Uint8Array): Bundle {
  return {
    digest, client, publicKey: bytes.subarray(HEADER_BYTES, HEADER_BYTES + publicKey.length), session, ridFirst, ackLow, fifo, operationCount,
    get operations() {
      return operationsOf(bytes, operationCount);
    },
    bytes,
  };
}

export interface BundleParts {
  readonly key: SigningKey;
  readonly session: number;
  readonly ridFirst: RequestId;
  readonly ackLow: number;
  readonly fifo?: boolean;
  readonly operations: readonly Operation[];
}

function checkParts(c: Context, { session, ridFirst, ackLow, operations }: BundleParts): void {
  const wrong = (what: string, value: number, allowed: string): RangeError => new RangeError(`${what} must be an integer ${allowed}, got ${value}`);
  if (!Number.isSafeInteger(session) || session < 0) throw wrong("session", session, "from 0 to 2^53 − 1");
  if (!Number.isSafeInteger(ridFirst) || ridFirst < 1) throw wrong("ridFirst", ridFirst, "from 1 to 2^53 − 1");
  if (ridFirst > ridFirstMax(operations.length)) throw wrong("ridFirst", ridFirst, "that leaves the last id at 2^53 − 1 at most");
  if (!Number.isSafeInteger(ackLow) || ackLow < 0 || ackLow >= ridFirst) throw wrong("ackLow", ackLow, `from 0 to ridFirst − 1 = ${ridFirst - 1}`);
  const { bundleOperationsMax } = c.parameters;
  if (operations.length < 1 || operations.length > bundleOperationsMax) {
    throw new RangeError(`a bundle holds 1 to ${bundleOperationsMax} operations (parameters.bundleOperationsMax), got ${operations.length}`);
  }
}

/**
 * @throws RangeError for ids out of range or too many operations; NarsesError REQUEST_TOO_LARGE when the envelope
 * would exceed `parameters.bundleBytesMax`.
 */
export function makeBundle(c: Context, parts: BundleParts): Bundle {
  checkParts(c, parts);
  const { key, operations } = parts;
  const payloadBytes = operations.reduce((sum, operation) => sum + operation.payload.length, 0);
  const bytes = BUNDLE_BYTES_MIN + (operations.length - 1) * OPERATION_ENTRY_BYTES + payloadBytes;
  const bytesMax = c.parameters.bundleBytesMax;
  if (bytes > bytesMax) {
    const problem = `a bundle of ${operations.length} operations has ${bytes} bytes, the cluster accepts ${bytesMax} (parameters.bundleBytesMax)`;
    throw new NarsesError("REQUEST_TOO_LARGE", `${problem}: send fewer or smaller operations`, { bytes, bytesMax });
  }
  const w = c.writer.begin();
  writeHeader(w, TAG.BUNDLE, c.epoch);
  w.fixed("a public key", key.publicKey, PUBLIC_KEY_BYTES);
  w.u64(parts.session);
  w.u64(parts.ridFirst);
  w.u64(parts.ackLow);
  w.u16(operations.length);
  for (const { kind, payload } of operations) {
    w.u8((kind === "apply" ? KIND_APPLY : KIND_QUERY) + (parts.fifo === true ? FIFO : 0));
    w.u32(payload.length);
  }
  const unsigned = concat([w.finish(), ...operations.map((operation) => operation.payload)]);
  const signature = key.sign(clientSigningInput(c, unsigned));
  return readBundle(new Reader(concat([unsigned, signature])), c);
}
