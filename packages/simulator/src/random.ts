/**
 * The only source of chance: sfc32, a 128-bit-state generator on 32-bit words. A run has one root generator; every
 * component draws from its own child, made by label, so that a new draw in one place does not reshuffle the others.
 */
import { lanes } from "./hash.ts";

export class Random {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;
  /** Name of the component that draws, from the root down. */
  protected readonly path: string;

  constructor(path: string) {
    this.path = path;
    const [a, b, c] = lanes(path);
    this.a = a;
    this.b = b;
    this.c = c;
    for (let i = 0; i < 12; i++) this.next();
  }

  /** A child that depends on this generator's name, not on what was drawn from it. */
  split(label: string): Random {
    return new Random(`${this.path}/${label}`);
  }

  /**
   * What `run` draws belongs to the act of that name. It changes nothing about what is drawn: records keep the decisions of each act
   * apart, so that one can be taken out of a scenario without shifting those of the others.
   */
  within<T>(_act: string, run: () => T): T {
    return run();
  }

  /** Uniform in 0 … 2^32 − 1. */
  word(): number {
    return this.next();
  }

  /** All draws come from here, each from one word: whoever overrides the methods below sees every decision once. */
  private next(): number {
    const t = (((this.a + this.b) | 0) + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + t) | 0;
    return t >>> 0;
  }

  /** Uniform in [0, 1). */
  float(): number {
    return this.next() / 0x1_0000_0000;
  }

  /** Uniform integer in [min, max]. */
  int(min: number, max: number): number {
    return min + Math.floor((this.next() / 0x1_0000_0000) * (max - min + 1));
  }

  chance(probability: number): boolean {
    return this.next() / 0x1_0000_0000 < probability;
  }

  /** @throws RangeError when `items` is empty. */
  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError("cannot pick from an empty list");
    return items[this.int(0, items.length - 1)] as T;
  }

  shuffle<T>(items: readonly T[]): T[] {
    const out = [...items];
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.int(0, i);
      [out[i], out[j]] = [out[j] as T, out[i] as T];
    }
    return out;
  }

  /** Exponentially distributed with the given mean. */
  exponential(mean: number): number {
    return -Math.log(1 - this.next() / 0x1_0000_0000) * mean;
  }
}
