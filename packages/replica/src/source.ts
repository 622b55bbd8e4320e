/**
 * One source of frames: a peer, or a client's connection. Its queue, its share of a turn, and the penalty box: whoever sent what no
 * correct sender sends is read one signature a tick until it has been good for a while, so that garbage at line rate costs
 * next to nothing and delays nobody else.
 */
import type { ClientConnection, ReplicaId } from "@narses/core";
import { PENALTY_TICKS, TURN_BYTES_PER_SOURCE_MAX, TURN_FRAMES_PER_SOURCE_MAX, TURN_SIGNATURES_PER_SOURCE_MAX } from "./limits.ts";

export type Frame =
  | { readonly type: "peer"; readonly from: ReplicaId; readonly frame: Uint8Array }
  | { readonly type: "client"; readonly connection: ClientConnection; readonly frame: Uint8Array };

export class Queue {
  #items: Frame[] = [];
  /** Of #items, read already: shifting each one would cost its length. */
  #read = 0;
  #bytes = 0;

  get length(): number {
    return this.#items.length - this.#read;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** False when it is full; one frame always fits an empty queue. */
  push(item: Frame, framesMax: number, bytesMax: number): boolean {
    const full = this.length >= framesMax || this.#bytes + item.frame.length > bytesMax;
    if (full && this.length > 0) return false;
    this.#items.push(item);
    this.#bytes += item.frame.length;
    return true;
  }

  peek(): Frame | undefined {
    return this.#items[this.#read];
  }

  shift(): Frame | undefined {
    const item = this.#items[this.#read];
    if (item === undefined) return undefined;
    this.#read++;
    this.#bytes -= item.frame.length;
    if (this.#read * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#read);
      this.#read = 0;
    }
    return item;
  }

  /** Takes the newest frame back. */
  pop(): Frame | undefined {
    if (this.length === 0) return undefined;
    const item = this.#items.pop();
    this.#bytes -= item?.frame.length ?? 0;
    return item;
  }
}

/** What may be read in one turn: frames, bytes, and signatures, of which one frame can need many: then the source waits some turns. */
export class Share {
  #frames = 0;
  #bytes = 0;
  #signatures = 0;

  begin(): void {
    this.#frames = 0;
    this.#bytes = 0;
    this.#signatures = Math.min(TURN_SIGNATURES_PER_SOURCE_MAX, this.#signatures + TURN_SIGNATURES_PER_SOURCE_MAX);
  }

  /** At least one frame a turn, unless signatures are owed. */
  allows(item: Frame): boolean {
    if (this.#signatures <= 0 || this.#frames >= TURN_FRAMES_PER_SOURCE_MAX) return false;
    return this.#frames === 0 || this.#bytes + item.frame.length <= TURN_BYTES_PER_SOURCE_MAX;
  }

  charge(item: Frame, signatures: number): void {
    this.#frames++;
    this.#bytes += item.frame.length;
    this.#signatures -= signatures;
  }
}

export class Source {
  readonly queue: Queue = new Queue();
  #penalisedUntil = 0;
  /** While penalised: frames are read until they cost a signature, then not before the next tick. */
  #spent = false;

  /** Something waits, and may be read. */
  get ready(): boolean {
    return this.queue.length > 0 && !this.#spent;
  }

  get penalised(): boolean {
    return this.#penalisedUntil > 0;
  }

  penalise(tick: number): void {
    this.#penalisedUntil = tick + PENALTY_TICKS;
    this.#spent = true;
  }

  charge(signatures: number): void {
    if (this.penalised && signatures > 0) this.#spent = true;
  }

  tick(tick: number): void {
    this.#spent = false;
    if (tick >= this.#penalisedUntil) this.#penalisedUntil = 0;
  }
}
