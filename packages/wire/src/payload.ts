/**
 * Operations, results and control data as msgpack. Encoding is by msgpackr after a check of the value, decoding by
 * msgpackr after a check of the bytes (`payload-scan.ts`), so that both directions know the same values: what one
 * refuses, the other refuses.
 *
 * The pure JavaScript build of msgpackr is used on every platform (its Node entry loads a native string decoder).
 */
import { Packr } from "msgpackr/pack";
import { isWellFormed } from "./host.ts";
import { decoding, Malformed, type Decoded } from "./malformed.ts";
import { readOwn } from "./payload-own.ts";
import { encodePlain } from "./payload-plain.ts";
import { BYTE_ORDER_MARK, FORBIDDEN_KEY, PAYLOAD_LIMITS, type PayloadLimits } from "./payload-rules.ts";
import { decodeScalar, encodeScalar } from "./payload-scalar.ts";
import { scanPayload } from "./payload-scan.ts";
import { Reader } from "./reader.ts";

/** No records, no extension types, 64-bit integers as numbers (the scan lets only exact ones through), no aliasing. */
const packr = new Packr({
  useRecords: false,
  variableMapSize: true,
  moreTypes: false,
  useToJSON: false,
  int64AsType: "number",
  copyBuffers: true,
});

// ── encoding ─────────────────────────────────────────────────────────────────────────────────────────────────────

type Path = (string | number)[];

const show = (path: Path): string => path.reduce<string>((text, step) => (typeof step === "number" ? `${text}[${step}]` : `${text}.${step}`), "value");

function refuse(path: Path, problem: string): TypeError {
  return new TypeError(`payload: ${show(path)} ${problem}`);
}

function checkString(text: string, path: Path): void {
  if (!isWellFormed(text)) throw refuse(path, "holds a lone surrogate, which UTF-8 cannot carry");
  if (text.startsWith(BYTE_ORDER_MARK)) throw refuse(path, "starts with a byte order mark (U+FEFF)");
}

function checkNumber(value: number, path: Path): void {
  if (!Number.isFinite(value)) throw refuse(path, `is ${value}: numbers must be finite`);
}

/** A literal, also one from another realm: its prototype is null or has none itself. */
function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function className(value: object): string {
  const { constructor } = value as { constructor?: unknown };
  return typeof constructor === "function" ? constructor.name : "class instance";
}

interface Check {
  readonly limits: PayloadLimits;
  readonly path: Path;
  elements: number;
}

function enter(check: Check, elements: number): void {
  const { limits, path } = check;
  if (path.length >= limits.depthMax) throw refuse(path, `is nested deeper than ${limits.depthMax}`);
  check.elements += elements;
  if (check.elements > limits.elementsMax) throw new RangeError(`payload: ${show(path)} brings it above ${limits.elementsMax} elements`);
}

function checkArray(value: readonly unknown[], check: Check): void {
  enter(check, value.length);
  for (let i = 0; i < value.length; i++) {
    check.path.push(i);
    checkValue(value[i], check);
    check.path.pop();
  }
}

function checkObject(value: object, check: Check): void {
  if (!isPlainObject(value)) throw refuse(check.path, `is a ${className(value)}: only plain objects, arrays and Uint8Array have an encoding`);
  const entries = Object.entries(value);
  enter(check, 2 * entries.length);
  for (const [key, member] of entries) {
    check.path.push(key);
    if (key === FORBIDDEN_KEY) throw refuse(check.path, "is a key that is not allowed");
    checkString(key, check.path);
    if (member === undefined) throw refuse(check.path, "is undefined: leave the property out, or use null");
    checkValue(member, check);
    check.path.pop();
  }
}

function checkValue(value: unknown, check: Check): void {
  switch (typeof value) {
    case "boolean":
      return;
    case "string":
      return checkString(value, check.path);
    case "number":
      return checkNumber(value, check.path);
    case "object":
      if (value === null || value instanceof Uint8Array) return;
      return Array.isArray(value) ? checkArray(value, check) : checkObject(value, check);
    default:
      throw refuse(check.path, `is ${typeof value === "undefined" ? "undefined" : `a ${typeof value}`}, which has no encoding`);
  }
}

/**
 * The encoding of a value; the same for the same value and order of keys. −0 becomes 0. Objects contribute their own
 * enumerable string keys.
 * @throws TypeError naming the place of whatever `decodePayload` would refuse: undefined, BigInt, NaN, infinities, class
 * instances, lone surrogates, `__proto__`, nesting above the limit; RangeError above `bytesMax` or `elementsMax`.
 */
export function encodePayload(value: unknown, limits: PayloadLimits = PAYLOAD_LIMITS): Uint8Array {
  const bytes = encodeScalar(value) ?? encodePlain(value);
  if (bytes !== undefined) return withinLimit(bytes, limits);
  checkValue(value, { limits, path: [], elements: 0 });
  const packed: Uint8Array = packr.pack(value);
  return new Uint8Array(withinLimit(packed, limits)); // msgpackr's result is a view of a pool
}

function withinLimit(bytes: Uint8Array, { bytesMax }: PayloadLimits): Uint8Array {
  if (bytes.length > bytesMax) throw new RangeError(`payload has ${bytes.length} bytes, at most ${bytesMax}`);
  return bytes;
}

// ── decoding ─────────────────────────────────────────────────────────────────────────────────────────────────────

function unpack(r: Reader): unknown {
  // a view of its own, since msgpackr leaves a property on what it is given
  const { buffer, byteOffset, length } = r.bytes;
  try {
    return packr.unpack(new Uint8Array(buffer, byteOffset, length));
  } catch (error) {
    return r.fail("payload", `msgpackr: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Reads one value that fills all of `r`; throws Malformed. */
export function readPayload(r: Reader, limits: PayloadLimits): unknown {
  scanPayload(r, limits);
  return unpack(r);
}

/** Strict: see `payload-rules.ts`. Never throws. Byte strings in the value are copies. */
export function decodePayload(bytes: Uint8Array, limits: PayloadLimits = PAYLOAD_LIMITS): Decoded<unknown> {
  const scalar = bytes.length <= limits.bytesMax ? decodeScalar(bytes) : undefined;
  if (scalar !== undefined) return { ok: true, value: scalar.value };
  return decoding(() => readPayload(new Reader(bytes, "REQUEST_INVALID"), limits));
}

/** {@link decodePayload} of the bytes from `from` to `to`, which are the caller's to give away: a value that is one byte string is a view of them. */
export function decodePart(bytes: Uint8Array, from: number, to: number): Decoded<unknown> {
  const scalar = to - from <= PAYLOAD_LIMITS.bytesMax ? decodeScalar(bytes, from, to, true) : undefined;
  return scalar === undefined ? decodePayload(bytes.subarray(from, to)) : { ok: true, value: scalar.value };
}

/**
 * As {@link decodePayload}, without the scan: only for bytes that {@link encodePayload} made, here or (under a hash that was checked)
 * on another replica. Never throws.
 */
export function decodeOwnPayload(bytes: Uint8Array): Decoded<unknown> {
  const scalar = decodeScalar(bytes);
  if (scalar !== undefined) return { ok: true, value: scalar.value };
  try {
    ownReader.begin(bytes);
    const value = readOwn(ownReader);
    ownReader.finish("payload");
    return { ok: true, value };
  } catch (error) {
    if (error instanceof Malformed) return { ok: false, rejection: error.rejection };
    throw error;
  }
}

/** Nothing that {@link readOwn} calls comes back here. */
const ownReader = new Reader(new Uint8Array(0), "REQUEST_INVALID");
