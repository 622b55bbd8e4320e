/**
 * Chance as a record. Recorded, a run's decisions are a list for each component; replayed, they are read back and nothing is drawn:
 * where a list says nothing, the quiet choice is made (no fault, no loss, the mean delay, the first of several).
 */
import { Random } from "../random.ts";

/** Decisions by the path of the component that made them, in order. `null`: the quiet choice. */
export type Tapes = ReadonlyMap<string, readonly (number | null)[]>;

/** Between the path of a component and the name of one of its acts: each act has a tape of its own. */
export const ACT_MARK = "#";

/** A generator that knows which tape its decisions belong to: that of its component, or of the component's act under way. */
abstract class TapedRandom extends Random {
  protected tape: string;

  constructor(path: string) {
    super(path);
    this.tape = path;
  }

  override within<T>(act: string, run: () => T): T {
    const outer = this.tape;
    this.tape = `${this.path}${ACT_MARK}${act}`;
    try {
      return run();
    } finally {
      this.tape = outer;
    }
  }
}

/** Draws like any other generator, and writes down what came. */
export class RecordingRandom extends TapedRandom {
  private readonly tapes: Map<string, number[]>;

  constructor(path: string, tapes: Map<string, number[]>) {
    super(path);
    this.tapes = tapes;
  }

  override split(label: string): Random {
    return new RecordingRandom(`${this.path}/${label}`, this.tapes);
  }

  private keep(value: number): number {
    const tape = this.tapes.get(this.tape);
    if (tape === undefined) this.tapes.set(this.tape, [value]);
    else tape.push(value);
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
export class TapeRandom extends TapedRandom {
  protected readonly tapes: Tapes;
  /** How far each tape is read. */
  private readonly read = new Map<string, number>();

  constructor(path: string, tapes: Tapes) {
    super(path);
    this.tapes = tapes;
  }

  override split(label: string): TapeRandom {
    return new TapeRandom(`${this.path}/${label}`, this.tapes);
  }

  private take(): number | undefined {
    const at = this.read.get(this.tape) ?? 0;
    this.read.set(this.tape, at + 1);
    return this.tapes.get(this.tape)?.[at] ?? undefined;
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

/** Reads records in which acts have no tapes of their own. */
export class ComponentTapeRandom extends TapeRandom {
  override within<T>(_act: string, run: () => T): T {
    return run();
  }

  override split(label: string): ComponentTapeRandom {
    return new ComponentTapeRandom(`${this.path}/${label}`, this.tapes);
  }
}
