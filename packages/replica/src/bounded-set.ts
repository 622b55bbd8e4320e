/** A set of strings that forgets the least recently used one when it is full. */
export class BoundedSet {
  readonly #max: number;
  readonly #items = new Set<string>();

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#items.size;
  }

  /** Whether it holds `item`; if so, it becomes the most recently used. */
  touch(item: string): boolean {
    if (!this.#items.delete(item)) return false;
    this.#items.add(item);
    return true;
  }

  add(item: string): void {
    this.#items.delete(item);
    this.#items.add(item);
    if (this.#items.size <= this.#max) return;
    for (const oldest of this.#items) {
      this.#items.delete(oldest);
      return;
    }
  }
}
