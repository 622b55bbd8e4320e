/**
 * Chance as a record. Recorded, a run's decisions are a list for each component; replayed, they are read back and nothing is drawn:
 * where a list says nothing, the quiet choice is made (no fault, no loss, the mean delay, the first of several).
 */
import { Random } from "../random.ts";

/** Decisions by the path of the component that made them, in order. `null`: the quiet choice. */
export type Tapes = ReadonlyMap<string, readonly (number | null)[]>;

/** Draws like any other generator, and writes down what came. */
export class RecordingRandom extends Random {
  private readonly tapes: Map<string, number[]>;
  private readonly own: number[];

  constructor(path: string, tapes: Map<string, number[]>) {
    super(path);
    this.tapes = tapes;
    let own = tapes.get(path);
    if (own === undefined) tapes.set(path, (own = []));
    this.own = own;
  }

  override split(label: string): Random {
    return new RecordingRandom(`${this.path}/${label}`, this.tapes);
  }

  private keep(value: number): number {
    this.own.push(value);
    return value;
  }

  override word(): number {
    return this.keep(super.word());
  }

  override float(): number {
    return this.keep(super.float());
  }

  override int(min: number, max: number): number {
    return this.keep(super.int(min, max));
  }

  override chance(probability: number): boolean {
    return this.keep(super.chance(probability) ? 1 : 0) === 1;
  }

  override exponential(mean: number): number {
    return this.keep(super.exponential(mean));
  }
}

/** Reads decisions back. Has no generator: what is not on the tape is the quiet choice. */
export class TapeRandom extends Random {
  private readonly tapes: Tapes;
  private readonly own: readonly (number | null)[];
  private at = 0;

  constructor(path: string, tapes: Tapes) {
    super(path);
    this.tapes = tapes;
    this.own = tapes.get(path) ?? [];
  }

  override split(label: string): Random {
    return new TapeRandom(`${this.path}/${label}`, this.tapes);
  }

  private take(): number | undefined {
    return this.own[this.at++] ?? undefined;
  }

  override word(): number {
    return (this.take() ?? 0) >>> 0;
  }

  override float(): number {
    return Math.min(Math.max(this.take() ?? 0.5, 0), 1 - 2 ** -32);
  }

  override int(min: number, max: number): number {
    return Math.min(max, Math.max(min, Math.round(this.take() ?? min)));
  }

  override chance(): boolean {
    return this.take() === 1;
  }

  override exponential(mean: number): number {
    return Math.max(0, this.take() ?? mean);
  }
}
