/** A seeded generator of hostile bytes: takes valid frames and damages them. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** An integer from 0 to `below` − 1 (mulberry32). */
  next(below: number): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  }

  pick<T>(list: readonly T[]): T {
    const item = list[this.next(list.length)];
    if (item === undefined) throw new RangeError("nothing to pick from");
    return item;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.next(256));
  }
}

export function join(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Bytes that decoders trip over: ends of ranges, msgpack headers, lengths. */
const INTERESTING = [0x00, 0x01, 0x7f, 0x80, 0x8f, 0x9f, 0xa0, 0xc1, 0xd9, 0xdb, 0xdd, 0xdf, 0xff];

type Mutation = (r: Random, frame: Uint8Array, other: Uint8Array) => Uint8Array;

const flipBit: Mutation = (r, frame) => {
  const bytes = frame.slice();
  const at = r.next(bytes.length);
  bytes[at] = (bytes[at] ?? 0) ^ (1 << r.next(8));
  return bytes;
};

const setByte: Mutation = (r, frame) => {
  const bytes = frame.slice();
  bytes[r.next(bytes.length)] = r.pick(INTERESTING);
  return bytes;
};

/** In the first bytes, where counts and tags are. */
const setEarlyByte: Mutation = (r, frame) => {
  const bytes = frame.slice();
  bytes[r.next(Math.min(bytes.length, 80))] = r.next(256);
  return bytes;
};

const setWord: Mutation = (r, frame) => {
  const bytes = frame.slice();
  const value = r.pick([0, 0xff]);
  const at = r.next(bytes.length);
  bytes.fill(value, at, at + r.pick([2, 4, 8]));
  return bytes;
};

const truncate: Mutation = (r, frame) => frame.slice(0, r.next(frame.length));
const append: Mutation = (r, frame) => join(frame, r.bytes(1 + r.next(70)));

const insert: Mutation = (r, frame) => {
  const at = r.next(frame.length);
  return join(frame.subarray(0, at), r.bytes(1 + r.next(8)), frame.subarray(at));
};

const remove: Mutation = (r, frame) => {
  const at = r.next(frame.length);
  return join(frame.subarray(0, at), frame.subarray(at + 1 + r.next(8)));
};

const duplicate: Mutation = (r, frame) => {
  const at = r.next(frame.length);
  const end = Math.min(frame.length, at + 1 + r.next(200));
  return join(frame.subarray(0, end), frame.subarray(at, end), frame.subarray(end));
};

const splice: Mutation = (r, frame, other) => join(frame.subarray(0, r.next(frame.length)), other.subarray(r.next(other.length)));

const MUTATIONS: readonly Mutation[] = [flipBit, flipBit, setByte, setEarlyByte, setWord, truncate, append, insert, remove, duplicate, splice];

/** One to three mutations of `frame`, which is not empty; `other` is spliced in at times. */
export function mutate(r: Random, frame: Uint8Array, other: Uint8Array): Uint8Array {
  let bytes = frame;
  for (let i = r.next(3); i >= 0; i--) if (bytes.length > 0) bytes = r.pick(MUTATIONS)(r, bytes, other);
  return bytes;
}
