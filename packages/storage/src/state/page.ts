/**
 * A page: the entries of one bucket. Its encoding is canonical, so equal content gives equal bytes whatever its history:
 *
 *     u32 bucket, u32 count, then per entry in ascending byte order of the keys:
 *     u16 key length, u32 value length, key (UTF-8), value
 *
 * An empty page has no bytes. The bucket is inside, so that a page read from the wrong place does not hash right.
 */
import { STATE_BITS_MAX, STATE_PAGE_BYTES_MAX, type Hasher } from "@narses/core";
import { compareUtf8, getU32, getUtf8, putU32, putUtf8, utf8Length } from "../bytes.ts";

export { STATE_PAGE_BYTES_MAX };
/** UTF-8 bytes of a key; a longer one is a RangeError, before anything is written. */
export const STATE_KEY_BYTES_MAX = 512;
/** Bytes of a value; likewise. */
export const STATE_VALUE_BYTES_MAX: number = 1 << 20;
/** log2 of the number of pages: fixed by the first checkpoint, part of the root; out of range it is a RangeError. */
export const BUCKET_BITS_MIN = 4;
export const BUCKET_BITS_MAX: number = STATE_BITS_MAX;
export const BUCKET_BITS_DEFAULT = 16;
export const HASH_BYTES = 32;

const PAGE_HEADER_BYTES = 8;
const ENTRY_HEADER_BYTES = 6;

/** Entries of a bucket, ascending; mutable, and decoded values are views of the bytes they came in. */
export interface Page {
  readonly bucket: number;
  readonly keys: string[];
  readonly values: Uint8Array[];
  /** Length of its encoding. */
  bytes: number;
}

/** @throws RangeError unless `key` is a non-empty, well-formed string of at most 512 UTF-8 bytes. */
export function checkKey(key: string): void {
  const bytes = utf8Length(key);
  if (bytes === 0 || bytes > STATE_KEY_BYTES_MAX) {
    throw new RangeError(`a state key has 1 to ${STATE_KEY_BYTES_MAX} UTF-8 bytes, got ${bytes}`);
  }
  checkWellFormed(key);
}

/** @throws RangeError for a lone surrogate: it has no UTF-8. */
export function checkWellFormed(text: string): void {
  if (!/\p{Surrogate}/u.test(text)) return;
  throw new RangeError(`a state key must be well-formed Unicode, got a lone surrogate in ${JSON.stringify(text)}`);
}

const keyScratch = new Uint8Array(STATE_KEY_BYTES_MAX);

/** Namespaces with a quarter of the buckets each, told by the first two characters of a key; every other key shares the first half. */
const QUARTERS: Readonly<Record<string, number>> = { "s/": 2, "r/": 3 };

/**
 * Where a key belongs: by the SHA-256 of its UTF-8 bytes, inside the buckets of its namespace. Whoever can choose keys in one
 * namespace can aim them at one page and fill it; with buckets of their own, the others (sessions, kept replies) do not suffer.
 * The key has passed {@link checkKey}.
 */
export function bucketOf(hasher: Hasher, key: string, bits: number): number {
  const hash = getU32(hasher.sha256(keyScratch.subarray(0, putUtf8(keyScratch, 0, key))), 0);
  const quarter = QUARTERS[key.slice(0, 2)];
  return quarter === undefined ? hash >>> (33 - bits) : (quarter << (bits - 2)) | (hash >>> (34 - bits));
}

export const emptyPage = (bucket: number): Page => ({ bucket, keys: [], values: [], bytes: 0 });

/** Index of `key`, or −(index where it belongs) − 1. */
export function findKey(page: Page, key: string): number {
  let from = 0;
  let to = page.keys.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    const order = compareUtf8(page.keys[middle] ?? "", key);
    if (order === 0) return middle;
    if (order < 0) from = middle + 1;
    else to = middle;
  }
  return -from - 1;
}

export function getValue(page: Page, key: string): Uint8Array | undefined {
  const at = findKey(page, key);
  return at < 0 ? undefined : page.values[at];
}

/** Bytes that setting `key` from a value of `before` bytes (undefined: absent) to `after` (undefined: absent) adds. */
export function growth(page: Page, key: string, before: number | undefined, after: number | undefined): number {
  const entry = ENTRY_HEADER_BYTES + utf8Length(key);
  // The first entry brings the page's header, the last one takes it away.
  const was = before === undefined ? 0 : entry + before + (after === undefined && page.keys.length === 1 ? PAGE_HEADER_BYTES : 0);
  const is = after === undefined ? 0 : entry + after + (before === undefined && page.keys.length === 0 ? PAGE_HEADER_BYTES : 0);
  return is - was;
}

interface Change {
  readonly key: string;
  /** What {@link findKey} said. */
  readonly at: number;
  /** Undefined: removed. */
  readonly value: Uint8Array | undefined;
  /** What {@link growth} said. */
  readonly growth: number;
}

/** Sets or removes an entry. */
export function setValue(page: Page, { key, at, value, growth: bytes }: Change): void {
  if (at < 0 && value === undefined) return;
  page.bytes += bytes;
  if (value === undefined) {
    page.keys.splice(at, 1);
    page.values.splice(at, 1);
  } else if (at >= 0) {
    page.values[at] = value;
  } else {
    page.keys.splice(-at - 1, 0, key);
    page.values.splice(-at - 1, 0, value);
  }
}

export function encodePage(page: Page): Uint8Array {
  const bytes = new Uint8Array(page.bytes);
  if (page.bytes === 0) return bytes;
  putU32(bytes, 0, page.bucket);
  putU32(bytes, 4, page.keys.length);
  let at = PAGE_HEADER_BYTES;
  page.keys.forEach((key, i) => {
    const value = page.values[i] ?? bytes.subarray(0, 0);
    const keyBytes = putUtf8(bytes, at + ENTRY_HEADER_BYTES, key);
    bytes[at] = keyBytes >>> 8;
    bytes[at + 1] = keyBytes;
    putU32(bytes, at + 2, value.length);
    bytes.set(value, at + ENTRY_HEADER_BYTES + keyBytes);
    at += ENTRY_HEADER_BYTES + keyBytes + value.length;
  });
  return bytes;
}

/** Undefined unless `bytes` is the canonical encoding of a page of `bucket`. Values are views of `bytes`. */
export function decodePage(bucket: number, bytes: Uint8Array): Page | undefined {
  const page: Page = { bucket, keys: [], values: [], bytes: bytes.length };
  if (bytes.length === 0) return page;
  if (bytes.length < PAGE_HEADER_BYTES || getU32(bytes, 0) !== bucket) return undefined;
  const count = getU32(bytes, 4);
  let at = PAGE_HEADER_BYTES;
  for (let i = 0; i < count; i++) {
    const keyAt = at + ENTRY_HEADER_BYTES;
    if (keyAt > bytes.length) return undefined;
    const keyBytes = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
    const valueAt = keyAt + keyBytes;
    const end = valueAt + getU32(bytes, at + 2);
    if (keyBytes === 0 || keyBytes > STATE_KEY_BYTES_MAX || end > bytes.length) return undefined;
    const key = getUtf8(bytes, keyAt, valueAt);
    const before = page.keys[i - 1];
    if (key === undefined || (before !== undefined && compareUtf8(before, key) >= 0)) return undefined;
    page.keys.push(key);
    page.values.push(bytes.subarray(valueAt, end));
    at = end;
  }
  return at === bytes.length && count > 0 ? page : undefined;
}
