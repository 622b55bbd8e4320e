/** The target table: what the project promises itself on two cores with four replicas, durable, everything signed. */
import { figure, type Metric, type Target } from "../result.ts";

export interface Goal {
  readonly name: string;
  readonly limit: number;
  readonly unit: string;
  readonly kind: Metric["kind"];
  readonly better: Metric["better"];
}

const goal = (name: string, limit: number, unit: string, kind: Metric["kind"], better: Metric["better"] = "lower"): Goal => ({ name, limit, unit, kind, better });

/** In the order of the table. */
export const GOALS: Readonly<Record<"alone" | "bundledCpu" | "bundledRate" | "p50" | "p99" | "pause" | "memory" | "start", Goal>> = {
  alone: goal("every operation signed alone, many clients", 30, "CPU-s / 100k op", "cpu"),
  bundledCpu: goal("bundles of 100", 3, "CPU-s / 100k op", "cpu"),
  bundledRate: goal("bundles of 100", 50_000, "op/s", "time", "higher"),
  p50: goal("one client, one operation at a time, p50", 2.5, "ms", "time"),
  p99: goal("one client, one operation at a time, p99", 8, "ms", "time"),
  pause: goal("kill -9 of the primary under load, longest pause of all runs", 700, "ms", "time"),
  memory: goal("memory of the largest replica after 1,000,000 operations", 200, "MB RSS", "memory"),
  start: goal("four processes to the first committed operation, median", 1_000, "ms", "time"),
};

const wanted = ({ limit, unit, better }: Goal): string => `${better === "lower" ? "≤" : "≥"} ${figure(limit)} ${unit}`;

/** `how`: what the reader must know of the figure. */
export function reached(g: Goal, value: number, how?: string): Target {
  const met = g.better === "lower" ? value <= g.limit : value >= g.limit;
  const times = figure(value / g.limit);
  return { name: g.name, target: wanted(g), measured: `${figure(value >= 100 ? Math.round(value) : value)} ${g.unit}, ${times} of the target${how === undefined ? "" : `; ${how}`}`, met };
}

export const unmeasured = (g: Goal, why: string): Target => ({ name: g.name, target: wanted(g), measured: why, met: undefined });

export const reachedOr = (g: Goal, value: number | undefined, why: string): Target => (value === undefined ? unmeasured(g, why) : reached(g, value));

/** As the table has them. */
export function sortTargets(targets: readonly Target[]): readonly Target[] {
  const order = Object.values(GOALS).map((g) => `${g.name} ${wanted(g)}`);
  const rank = ({ name, target }: Target): number => order.indexOf(`${name} ${target}`);
  return [...targets].sort((a, b) => rank(a) - rank(b));
}

export const metricOf = (g: Goal, value: number): Readonly<Record<string, Metric>> => ({ [`${g.name}, ${g.unit}`]: { value, unit: g.unit, kind: g.kind, better: g.better } });
