/** Unsigned LEB128 integers, as session records hold them. */

export function pushVarint(out: number[], value: number): void {
  let rest = value;
  while (rest >= 128) {
    out.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  out.push(rest);
}

/** Writes `value` at `at`, where up to eight bytes have room; returns what follows it. */
export function putVarint(target: Uint8Array, at: number, value: number): number {
  let rest = value;
  let end = at;
  while (rest >= 128) {
    target[end++] = (rest % 128) | 128;
    rest = Math.floor(rest / 128);
  }
  target[end++] = rest;
  return end;
}

export interface Varints {
  /** The next integer. @throws what `corrupt` makes when there is none, or it exceeds 2^53 − 1. */
  next(): number;
  /** Offset of the first byte not read. */
  at(): number;
}

export function varints(bytes: Uint8Array, start: number, corrupt: () => Error): Varints {
  let at = start;
  return {
    at: () => at,
    next() {
      let value = 0;
      for (let factor = 1; ; factor *= 128) {
        const byte = bytes[at++];
        if (byte === undefined) throw corrupt();
        value += (byte & 127) * factor;
        if (byte < 128) break;
      }
      if (!Number.isSafeInteger(value)) throw corrupt();
      return value;
    },
  };
}
