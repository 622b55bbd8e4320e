/** What a benchmark hands over: plain data, the same in JSON, Markdown and HTML. */
import type { Environment } from "./environment.ts";

export type Cell = string | number;

export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
  readonly note?: string;
}

export interface Plot {
  /** File name without extension. */
  readonly id: string;
  readonly title: string;
  /** Vega-Lite, with its data inline. */
  readonly spec: object;
  readonly caption: string;
}

export interface Section {
  readonly title: string;
  readonly text?: readonly string[];
  readonly tables?: readonly Table[];
  readonly plots?: readonly Plot[];
}

/** A measured figure beside what theory says; outside `tolerance` (relative) the run fails. */
export interface Check {
  readonly name: string;
  readonly measured: number;
  readonly expected: number;
  readonly tolerance: number;
  readonly ok: boolean;
}

/** A figure that `compare` sets beside the same one of another run. */
export interface Metric {
  readonly value: number;
  readonly unit: string;
  /** Whether it travels between machines: counts do, CPU roughly, wall-clock time does not. */
  readonly kind: "count" | "cpu" | "time" | "memory";
  readonly better: "lower" | "higher";
}

export interface Target {
  readonly name: string;
  readonly target: string;
  readonly measured: string;
  readonly met: boolean | undefined;
}

export interface BenchResult {
  readonly version: 1;
  readonly benchmark: string;
  readonly title: string;
  readonly environment: Environment;
  /** The tables a reader in a hurry wants: first in the report, and in the package's README. */
  readonly summary: readonly Table[];
  readonly sections: readonly Section[];
  readonly checks: readonly Check[];
  readonly targets: readonly Target[];
  readonly metrics: Readonly<Record<string, Metric>>;
}

/** As it is in `result.json`: of the checks only those that failed, and no plots. */
export interface StoredResult extends Omit<BenchResult, "checks"> {
  readonly checks: { readonly total: number; readonly failed: readonly Check[] };
}

/** Collects checks; equality unless a tolerance is given. */
export class Checks {
  readonly all: Check[] = [];

  equal(name: string, measured: number, expected: number, tolerance = 0): void {
    // Fractions of theory (per batch in a pipeline) are exact up to the last bit of a double.
    const slack = Math.max(tolerance * Math.abs(expected), 1e-9 * Math.max(1, Math.abs(expected)));
    this.all.push({ name, measured, expected, tolerance, ok: Math.abs(measured - expected) <= slack });
  }

  between(name: string, measured: number, min: number, max: number): void {
    const ok = measured >= min && measured <= max;
    this.all.push({ name: `${name} (from ${min} to ${max})`, measured, expected: ok ? measured : measured < min ? min : max, tolerance: 0, ok });
  }

  get failed(): readonly Check[] {
    return this.all.filter((check) => !check.ok);
  }
}

/** Three significant digits, thousands separated. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (Number.isSafeInteger(value)) return value.toLocaleString("en-US");
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 0.1 ? 2 : 4;
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
