/** Cuts what comes from a socket into noise messages: a 2-byte length, then that many bytes. Memory follows what was received, not what was announced. */
const LENGTH_BYTES = 2;

export class NoiseReader {
  /** Of an unfinished message, its length included. */
  #parts: Uint8Array[] = [];
  #received = 0;

  /** Calls `onMessage` for each complete message, in order; it may write to it. Those of length 0 mean nothing. */
  push(bytes: Uint8Array, onMessage: (message: Uint8Array) => void): void {
    if (bytes.length === 0) return; // an empty websocket message: kept, they would add up
    let rest = bytes;
    if (this.#received > 0) {
      this.#parts.push(bytes);
      this.#received += bytes.length;
      if (this.#received < this.#needed()) return;
      rest = joined(this.#parts, this.#received);
    }
    let at = 0;
    while (rest.length - at >= LENGTH_BYTES) {
      const end = at + LENGTH_BYTES + lengthAt(rest, at);
      if (end > rest.length) break;
      if (end > at + LENGTH_BYTES) onMessage(rest.subarray(at + LENGTH_BYTES, end));
      at = end;
    }
    this.#parts = at === rest.length ? [] : [rest.subarray(at)];
    this.#received = rest.length - at;
  }

  /** Bytes without which there is nothing to do. */
  #needed(): number {
    const [first = NOTHING, second = NOTHING] = this.#parts;
    const [high, low] = first.length > 1 ? [first[0], first[1]] : [first[0], second[0]];
    return LENGTH_BYTES + (((high ?? 0) << 8) | (low ?? 0));
  }
}

const NOTHING = new Uint8Array(0);

const lengthAt = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
