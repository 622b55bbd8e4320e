/**
 * A set of strings that forgets what was not used for long. Two generations: when the young one is half of the bound, it
 * becomes the old one and the old one is forgotten. Holds what was used among the last max/2 additions, never more than max.
 */
export class BoundedSet {
  readonly #half: number;
  #young = new Set<string>();
  #old = new Set<string>();

  constructor(max: number) {
    this.#half = Math.max(1, Math.floor(max / 2));
  }

  /** Whether it holds `item`; if so, it counts as just used. */
  touch(item: string): boolean {
    if (this.#young.has(item)) return true;
    if (!this.#old.has(item)) return false;
    this.add(item);
    return true;
  }

  add(item: string): void {
    if (this.#young.size >= this.#half && !this.#young.has(item)) {
      this.#old = this.#young;
      this.#young = new Set();
    }
    this.#young.add(item);
  }
}
