/**
 * A connection between two nodes as bytes: frames go through the real queue and come out of the real reader, cut into pieces anywhere.
 * A reset loses what is on its way, in the middle of a frame if need be.
 */
import { FrameReader, WriteQueue } from "@narses/network/frames";
import type { Random } from "../random.ts";
import type { Network } from "./network.ts";

export interface StreamOptions {
  readonly network: Network;
  readonly random: Random;
  readonly from: number;
  readonly to: number;
  /** Bytes that wait, at most: the next frame is dropped. Holds the largest frame there is. */
  readonly queueBytesMax: number;
  readonly frameBytesMax: number;
  /** Milliseconds for the reader's deadlines. */
  readonly nowMs: () => number;
  readonly onFrame: (frame: Uint8Array) => void;
  /** The reader does not go on with such bytes, or some got lost. */
  readonly onBroken: (problem: string) => void;
}

/** Bytes of one piece, at most: small ones cut frames, large ones hold several. */
const PIECE_BYTES_MAX: readonly number[] = [64, 1_460, 65_536];

/** One direction of a connection. */
export class Stream {
  private readonly options: StreamOptions;
  private readonly queue: WriteQueue;
  private readonly reader: FrameReader;
  private closed = false;

  constructor(options: StreamOptions) {
    this.options = options;
    this.queue = new WriteQueue(options.queueBytesMax);
    this.reader = new FrameReader(options.frameBytesMax);
  }

  /** False when it is dropped. */
  send(frame: Uint8Array): boolean {
    return !this.closed && frame.length <= this.options.frameBytesMax && this.queue.push(frame);
  }

  /** Everything queued leaves. */
  flush(): void {
    for (let chunk = this.queue.take(); chunk !== undefined; chunk = this.queue.take()) this.write(chunk);
  }

  /** Bytes as they are, frames or not. */
  write(bytes: Uint8Array): void {
    const { network, random, from, to, nowMs, onFrame, onBroken } = this.options;
    const whole = random.chance(0.8);
    for (let at = 0; at < bytes.length && !this.closed;) {
      const length = whole ? bytes.length : random.int(1, random.pick(PIECE_BYTES_MAX));
      const piece = bytes.subarray(at, at + length);
      at += piece.length;
      network.stream(from, to, piece.length, () => {
        if (this.closed) return;
        const problem = this.reader.push(piece, nowMs(), onFrame);
        if (problem !== undefined) onBroken(problem);
      }, () => {
        if (!this.closed) onBroken("bytes were lost");
      });
    }
  }

  /** What waits and what is on its way is lost. */
  close(): void {
    this.closed = true;
    this.queue.clear();
    this.reader.stop();
  }
}
