/** Bytes that no sound client sends: keys that verify too much, and payloads that could mean different things to different replicas. */

const filled = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte);

function bytes(...parts: readonly (number | Uint8Array)[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => (typeof part === "number" ? [part] : [...part])));
}

/** Ed25519 points of small order (1, 2, 4), one that is not canonical, and something that is no point. */
export const UNSOUND_KEYS: readonly Uint8Array[] = [
  bytes(1, filled(31, 0)),
  bytes(0xec, filled(30, 0xff), 0x7f),
  filled(32, 0),
  bytes(0xee, filled(30, 0xff), 0x7f),
  filled(32, 0xff),
];

const text = (value: string): Uint8Array => bytes(0xa0 + value.length, new TextEncoder().encode(value));
const DEEP = 17;
const NESTED = 3_000;

/** msgpack that decoders disagree about, or that costs far more than it weighs. */
export const UNSOUND_PAYLOADS: readonly Uint8Array[] = [
  bytes(filled(DEEP, 0x91), 0xc0), // nested too deep
  bytes(filled(NESTED, 0x91), 0xc0), // nested to exhaust a stack
  bytes(0x82, text("a"), 1, text("a"), 2), // one key twice
  bytes(0x81, text("__proto__"), 0x80), // a prototype
  bytes(0xcb, 0x7f, 0xf8, filled(6, 0)), // not a number
  bytes(0xcb, 0x80, filled(7, 0)), // minus zero
  bytes(0xcf, filled(8, 0xff)), // an integer above 2^53
  bytes(0xc0, 0xc0), // bytes behind the value
  bytes(0xdd, 0x7f, 0xff, 0xff, 0xff), // an array that announces 2^31 elements
  bytes(0xc7, 0x01, 0x2a, 0x00), // an extension
  bytes(0xc1), // no value
  bytes(text("a").subarray(0, 1)), // cut short
];
