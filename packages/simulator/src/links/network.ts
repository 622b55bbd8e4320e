/**
 * Directed links: for each a delay, loss, duplication, reordering, bandwidth with a queue, whether it is clogged (nothing moves, nothing
 * is lost) and whether it is cut. What is delivered is unaltered and its sender is authentic: that is what channels give in production.
 */
import type { Random } from "../random.ts";
import type { Scheduler } from "../scheduler.ts";

/** How the part of a delay above the least one is distributed. `spiky`: mostly a tenth of the mean, now and then ten times it. */
export const DELAY_SHAPES = ["exponential", "constant", "uniform", "spiky"] as const;
export type DelayShape = (typeof DELAY_SHAPES)[number];

export interface Conditions {
  /** Least delay, and mean of the part above it. Microseconds. */
  readonly delayMinUs: number;
  readonly delayMeanUs: number;
  readonly shape: DelayShape;
  /** Probabilities per message. */
  readonly loss: number;
  readonly duplication: number;
  /** False: a link delivers in the order of sending. */
  readonly reordering: boolean;
}

/** A healthy local network. */
export const CALM: Conditions = { delayMinUs: 200, delayMeanUs: 300, shape: "exponential", loss: 0, duplication: 0, reordering: false };

/** No message is on its way for longer, unless a link is clogged: the Δ of partial synchrony while links are bad. */
const DELAY_MAX_US = 2_000_000;
/** What waits at the near end of a slow or clogged link, at most; beyond it messages are lost. */
export const LINK_QUEUE_BYTES_MAX: number = 1 << 20;

/** What links do to messages, once they did it to one. */
export const LINK_FAULTS = [
  "messages are lost", "messages come twice", "messages overtake each other", "links differ", "halves", "one replica alone", "one-way cut", "ring", "star", "bridge",
  "flapping links", "a narrow replica", "a clogged link",
] as const;
export type LinkFault = (typeof LINK_FAULTS)[number];

class Link {
  /** Of its tape, in a record. */
  readonly name: string;
  isCut = false;
  /** What cut it, as coverage counts it. */
  cutBy: LinkFault | undefined;
  /** Multiplies the delays. */
  slowness = 1;
  /** Bytes a second; undefined: more than anybody sends. */
  bandwidth: number | undefined;
  /** When the far end has taken everything that was sent. */
  freeAtUs = 0;
  clogged = false;
  lastArrivalUs = 0;
  /** The latest arrival of all, whether in order or not. */
  latestUs = 0;
  /** What waits for the clog to end, in order. */
  readonly waiting: { readonly bytes: number; readonly go: () => void }[] = [];
  waitingBytes = 0;

  constructor(name: string) {
    this.name = name;
  }
}

export class Network {
  conditions: Conditions = CALM;
  /** Conditions of single links, in place of the general ones. */
  private readonly own = new Map<number, Conditions>();
  private readonly scheduler: Scheduler;
  private readonly random: Random;
  private readonly links = new Map<number, Link>();
  private readonly effective: (fault: LinkFault) => void;

  /** `effective` is told when a fault did something to a message. */
  constructor(scheduler: Scheduler, random: Random, effective: (fault: LinkFault) => void = NOTHING) {
    this.scheduler = scheduler;
    this.random = random;
    this.effective = effective;
  }

  /** Endpoints are small integers; `from` → `to` is one directed link. */
  setCut(from: number, to: number, isCut: boolean, by?: LinkFault): void {
    const link = this.link(from, to);
    link.isCut = isCut;
    link.cutBy = by;
  }

  isCut(from: number, to: number): boolean {
    return this.links.get(key(from, to))?.isCut ?? false;
  }

  /** Multiplies the delays of a link; 1 is normal. */
  setSlowness(from: number, to: number, factor: number): void {
    this.link(from, to).slowness = factor;
  }

  /** Bytes a second that fit through a link; undefined: any number. */
  setBandwidth(from: number, to: number, bytesPerSecond: number | undefined): void {
    this.link(from, to).bandwidth = bytesPerSecond;
  }

  /** Nothing comes out of a clogged link; what fits its queue comes when it is free again, in order. */
  setClogged(from: number, to: number, clogged: boolean): void {
    const link = this.link(from, to);
    link.clogged = clogged;
    if (clogged) return;
    link.waitingBytes = 0;
    for (const { go } of link.waiting.splice(0)) go();
  }

  setConditions(from: number, to: number, conditions: Conditions | undefined): void {
    if (conditions === undefined) this.own.delete(key(from, to));
    else this.own.set(key(from, to), conditions);
  }

  /** No cuts, no clogs, no slow links, calm conditions. What is on its way arrives. */
  heal(): void {
    this.conditions = CALM;
    this.own.clear();
    for (const link of this.links.values()) {
      link.isCut = false;
      link.slowness = 1;
      link.bandwidth = undefined;
      link.clogged = false;
      link.waitingBytes = 0;
      for (const { go } of link.waiting.splice(0)) go();
    }
  }

  /** Sends one message; `arrive` runs zero, one or two times. A cut made while a message is on its way loses it. */
  send(from: number, to: number, bytes: number, arrive: () => void): void {
    const conditions = this.conditionsOf(from, to);
    const link = this.link(from, to);
    if (link.isCut) return this.severed(link);
    if (this.happens(link, conditions.loss)) return this.effective("messages are lost");
    this.enter(link, bytes, conditions, arrive);
    if (!this.happens(link, conditions.duplication)) return;
    this.effective("messages come twice");
    this.enter(link, bytes, conditions, arrive);
  }

  /** A piece of a byte stream: in order, never twice, and late in place of lost; unless the link is cut or its queue full: then the stream is broken. */
  stream(from: number, to: number, bytes: number, arrive: () => void, broken: () => void): void {
    const conditions = this.conditionsOf(from, to);
    const link = this.link(from, to);
    // A lost segment is sent again, after a timeout that doubles.
    let retransmitted = 0;
    for (let timeoutUs = RETRANSMIT_US; timeoutUs < DELAY_MAX_US && this.happens(link, conditions.loss); timeoutUs *= 2) retransmitted += timeoutUs;
    if (retransmitted > 0) this.effective("messages are lost");
    this.enter(link, bytes, { ...conditions, delayMinUs: conditions.delayMinUs + retransmitted, reordering: false }, arrive, broken);
  }

  private conditionsOf(from: number, to: number): Conditions {
    const own = this.own.get(key(from, to));
    if (own !== undefined) this.effective("links differ");
    return own ?? this.conditions;
  }

  private severed({ cutBy }: Link): void {
    if (cutBy !== undefined) this.effective(cutBy);
  }

  /** What is impossible is not drawn for. */
  private happens({ name }: Link, probability: number): boolean {
    return probability > 0 && this.random.within(name, () => this.random.chance(probability));
  }

  private enter(link: Link, bytes: number, conditions: Conditions, arrive: () => void, lost: () => void = NOTHING): void {
    const go = (): void => this.dispatch(link, bytes, conditions, arrive, lost);
    if (!link.clogged) return go();
    this.effective("a clogged link");
    if (link.waitingBytes + bytes > LINK_QUEUE_BYTES_MAX) return lost();
    link.waitingBytes += bytes;
    link.waiting.push({ bytes, go });
  }

  private dispatch(link: Link, bytes: number, conditions: Conditions, arrive: () => void, lost: () => void): void {
    const { scheduler } = this;
    let leaves = scheduler.now;
    if (link.bandwidth !== undefined) {
      const startsAt = Math.max(scheduler.now, link.freeAtUs);
      if (startsAt > scheduler.now) this.effective("a narrow replica");
      if ((startsAt - scheduler.now) * link.bandwidth / 1_000_000 > LINK_QUEUE_BYTES_MAX) return lost();
      leaves = startsAt + bytes * 1_000_000 / link.bandwidth;
      link.freeAtUs = leaves;
    }
    const delay = Math.min(DELAY_MAX_US, (conditions.delayMinUs + this.random.within(link.name, () => this.spread(conditions))) * link.slowness);
    let at = leaves + delay;
    if (!conditions.reordering) {
      at = Math.max(at, link.lastArrivalUs + 1);
      link.lastArrivalUs = at;
    }
    if (at < link.latestUs) this.effective("messages overtake each other");
    link.latestUs = Math.max(at, link.latestUs);
    scheduler.after(at - scheduler.now, () => {
      if (!link.isCut) return arrive();
      this.severed(link);
      lost();
    });
  }

  private spread({ shape, delayMeanUs }: Conditions): number {
    const { random } = this;
    switch (shape) {
      case "exponential":
        return random.exponential(delayMeanUs);
      case "constant":
        return delayMeanUs;
      case "uniform":
        return random.float() * 2 * delayMeanUs;
      case "spiky":
        return random.exponential(random.chance(0.09) ? 10 * delayMeanUs : delayMeanUs / 10);
    }
  }

  private link(from: number, to: number): Link {
    const id = key(from, to);
    let link = this.links.get(id);
    if (link === undefined) this.links.set(id, (link = new Link(`${from}>${to}`)));
    return link;
  }
}

const NOTHING = (): void => undefined;
const RETRANSMIT_US = 200_000;
const ENDPOINTS_MAX = 4096;
const key = (from: number, to: number): number => from * ENDPOINTS_MAX + to;
