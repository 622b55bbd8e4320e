/** The trace of a run: one line per event. Every line goes into the hash; the last ones are kept for a reader. */

export class Trace {
  private a = 0x811c9dc5 | 0;
  private b = 0x01000193 | 0;
  private readonly kept: string[] = [];
  private readonly limit: number;
  private next = 0;

  /** @param limit lines to keep: the last ones. */
  constructor(limit: number) {
    this.limit = limit;
  }

  line(nowUs: number, who: string, text: string): void {
    const line = `${(nowUs / 1000).toFixed(3).padStart(10)} ${who.padEnd(3)} ${text}`;
    let { a, b } = this;
    for (let i = 0; i < line.length; i++) {
      const unit = line.charCodeAt(i);
      a = Math.imul(a ^ unit, 0x01000193);
      b = (Math.imul(b, 31) + unit + (a >>> 15)) | 0;
    }
    this.a = a;
    this.b = b;
    if (this.limit === 0) return;
    this.kept[this.next % this.limit] = line;
    this.next++;
  }

  /** Equal for two runs exactly when all their lines are (up to hash collisions). */
  get hash(): string {
    return (this.a >>> 0).toString(16).padStart(8, "0") + (this.b >>> 0).toString(16).padStart(8, "0");
  }

  get lines(): readonly string[] {
    if (this.next <= this.limit) return this.kept;
    const first = this.next % this.limit;
    return [...this.kept.slice(first), ...this.kept.slice(0, first)];
  }
}
