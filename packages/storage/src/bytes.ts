/** Fixed-width integers and UTF-8 over plain Uint8Array. No Node API: proofs verify in a browser too. */

export function putU32(target: Uint8Array, at: number, value: number): void {
  target[at] = value >>> 24;
  target[at + 1] = value >>> 16;
  target[at + 2] = value >>> 8;
  target[at + 3] = value;
}

export function getU32(source: Uint8Array, at: number): number {
  return (((source[at] ?? 0) << 24) | ((source[at + 1] ?? 0) << 16) | ((source[at + 2] ?? 0) << 8) | (source[at + 3] ?? 0)) >>> 0;
}

const TWO_32 = 2 ** 32;

/** `value` is a safe integer ≥ 0. */
export function putU64(target: Uint8Array, at: number, value: number): void {
  putU32(target, at, Math.floor(value / TWO_32));
  putU32(target, at + 4, value % TWO_32);
}

/** NaN when the number is above 2^53 − 1: no writer of ours made it. */
export function getU64(source: Uint8Array, at: number): number {
  const value = getU32(source, at) * TWO_32 + getU32(source, at + 4);
  return Number.isSafeInteger(value) ? value : Number.NaN;
}

export function isZero(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Writes `text` at `at` and returns the number of bytes; the caller has made room. */
export function putUtf8(target: Uint8Array, at: number, text: string): number {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit >= 0x80) return encoder.encodeInto(text, target.subarray(at)).written;
    target[at + i] = unit;
  }
  return text.length;
}

export function utf8Length(text: string): number {
  let bytes = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    // A surrogate pair is two units of two bytes each.
    bytes += unit < 0x80 ? 1 : unit < 0x800 || isSurrogate(unit) ? 2 : 3;
  }
  return bytes;
}

/** Undefined when the bytes are not UTF-8. */
export function getUtf8(source: Uint8Array, from: number, to: number): string | undefined {
  let text = "";
  for (let i = from; i < to; i++) {
    const byte = source[i] ?? 0;
    if (byte >= 0x80) {
      try {
        return decoder.decode(source.subarray(from, to));
      } catch {
        return undefined;
      }
    }
    text += String.fromCharCode(byte);
  }
  return text;
}

const isSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdfff;
/** In UTF-8 (and by code point) surrogate pairs sort above U+E000 … U+FFFF; as UTF-16 units they sort below. */
const rank = (unit: number): number => (isSurrogate(unit) ? unit + 0x10000 : unit);

/** Order of the UTF-8 encodings, for well-formed strings: negative, 0 or positive. */
export function compareUtf8(a: string, b: string): number {
  if (a === b) return 0;
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}
