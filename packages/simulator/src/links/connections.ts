/** The connections of a cluster: a pair of byte streams for each two nodes, made when first used, broken by resets, and made again some time later. */
import { DEFAULT_LIMITS } from "@narses/network/frames";
import type { Random } from "../random.ts";
import type { Scheduler } from "../scheduler.ts";
import type { Network } from "./network.ts";
import { Stream } from "./stream.ts";

export interface ConnectionsOptions {
  readonly network: Network;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly deliver: (from: number, to: number, frame: Uint8Array) => void;
  /** A connection broke, or can be made again: whoever asks is told what holds now. */
  readonly changed: () => void;
  readonly note: (text: string) => void;
}

const key = (from: number, to: number): string => `${from} ${to}`;
const pairKey = (a: number, b: number): string => (a < b ? key(a, b) : key(b, a));

export class Connections {
  private readonly options: ConnectionsOptions;
  private readonly streams = new Map<string, Stream>();
  /** Pairs that do not have a connection, and will dial again. */
  private readonly dialling = new Set<string>();

  constructor(options: ConnectionsOptions) {
    this.options = options;
  }

  isUp(a: number, b: number): boolean {
    return !this.dialling.has(pairKey(a, b));
  }

  /** False when the frame is dropped. */
  send(from: number, to: number, frame: Uint8Array): boolean {
    return this.isUp(from, to) && this.stream(from, to).send(frame);
  }

  /** What a node has queued leaves. */
  flush(from: number, others: number): void {
    for (let to = 0; to < others; to++) this.streams.get(key(from, to))?.flush();
  }

  /** Bytes that are no frames. */
  garble(from: number, to: number, bytes: Uint8Array): void {
    if (this.isUp(from, to)) this.stream(from, to).write(bytes);
  }

  /** Both directions break; the pair dials again after a while. */
  reset(a: number, b: number, why: string): void {
    if (a === b || !this.isUp(a, b)) return;
    const { scheduler, random, changed, note } = this.options;
    note(`# the connection of nodes ${a} and ${b} breaks: ${why}`);
    this.drop(a, b);
    const pair = pairKey(a, b);
    this.dialling.add(pair);
    changed();
    scheduler.after(random.int(DEFAULT_LIMITS.redialMsMin, DEFAULT_LIMITS.redialMsMax) * 1000, () => {
      this.dialling.delete(pair);
      changed();
    });
  }

  /** The node is gone, with all its sockets. */
  lose(node: number, others: number): void {
    for (let other = 0; other < others; other++) this.drop(node, other);
  }

  private drop(a: number, b: number): void {
    for (const direction of [key(a, b), key(b, a)]) {
      this.streams.get(direction)?.close();
      this.streams.delete(direction);
    }
  }

  private stream(from: number, to: number): Stream {
    const { network, scheduler, random, deliver } = this.options;
    const id = key(from, to);
    let stream = this.streams.get(id);
    if (stream === undefined) {
      stream = new Stream({
        network, random, from, to, queueBytesMax: DEFAULT_LIMITS.replicaQueueBytesMax, frameBytesMax: DEFAULT_LIMITS.replicaFrameBytesMax,
        nowMs: () => scheduler.now / 1000, onFrame: (frame) => deliver(from, to, frame), onBroken: (problem) => this.reset(from, to, problem),
      });
      this.streams.set(id, stream);
    }
    return stream;
  }
}
