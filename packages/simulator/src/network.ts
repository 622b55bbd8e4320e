/**
 * The network between nodes: for each directed link a delay, loss, duplication, reordering, and whether it is cut. What is
 * delivered is unaltered and its sender is authentic: that is what channels give in production.
 */
import type { Random } from "./random.ts";
import type { Scheduler } from "./scheduler.ts";

export interface Conditions {
  /** Least delay, and mean of the exponential part above it. Microseconds. */
  readonly delayMinUs: number;
  readonly delayMeanUs: number;
  /** Probabilities per message. */
  readonly loss: number;
  readonly duplication: number;
  /** False: a link delivers in the order of sending. */
  readonly reordering: boolean;
}

/** A healthy local network. */
export const CALM: Conditions = { delayMinUs: 200, delayMeanUs: 300, loss: 0, duplication: 0, reordering: false };

export class Network {
  conditions: Conditions = CALM;
  private readonly scheduler: Scheduler;
  private readonly random: Random;
  private readonly cut = new Set<number>();
  private readonly slow = new Map<number, number>();
  private readonly lastArrival = new Map<number, number>();

  constructor(scheduler: Scheduler, random: Random) {
    this.scheduler = scheduler;
    this.random = random;
  }

  /** Endpoints are small integers; `from` → `to` is one directed link. */
  setCut(from: number, to: number, isCut: boolean): void {
    if (isCut) this.cut.add(key(from, to));
    else this.cut.delete(key(from, to));
  }

  isCut(from: number, to: number): boolean {
    return this.cut.has(key(from, to));
  }

  /** Multiplies the delays of a link; 1 is normal. */
  setSlowness(from: number, to: number, factor: number): void {
    if (factor === 1) this.slow.delete(key(from, to));
    else this.slow.set(key(from, to), factor);
  }

  /** No cuts, no slow links, calm conditions. */
  heal(): void {
    this.cut.clear();
    this.slow.clear();
    this.lastArrival.clear();
    this.conditions = CALM;
  }

  /** Sends one message; `arrive` runs zero, one or two times. A cut made while a message is on its way loses it. */
  send(from: number, to: number, arrive: () => void): void {
    const link = key(from, to);
    const { random, conditions } = this;
    if (this.cut.has(link) || (conditions.loss > 0 && random.chance(conditions.loss))) return;
    this.dispatch(link, arrive);
    if (conditions.duplication > 0 && random.chance(conditions.duplication)) this.dispatch(link, arrive);
  }

  private dispatch(link: number, arrive: () => void): void {
    const { delayMinUs, delayMeanUs, reordering } = this.conditions;
    const delay = Math.min(DELAY_MAX_US, (delayMinUs + this.random.exponential(delayMeanUs)) * (this.slow.get(link) ?? 1));
    let at = this.scheduler.now + delay;
    if (!reordering) {
      at = Math.max(at, this.lastArrival.get(link) ?? 0);
      this.lastArrival.set(link, at);
    }
    this.scheduler.after(at - this.scheduler.now, () => {
      if (!this.cut.has(link)) arrive();
    });
  }
}

/** No message is on its way for longer: the Δ of partial synchrony while links are bad. */
const DELAY_MAX_US = 2_000_000;

const ENDPOINTS_MAX = 4096;
const key = (from: number, to: number): number => from * ENDPOINTS_MAX + to;
