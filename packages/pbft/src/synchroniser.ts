/**
 * The view synchroniser: which view this replica is in, when it joins another one, and how long it waits. It sees no batches
 * and sends nothing; whoever changes the view does so here, and nowhere else (a restart gives it back: recover, memory). (Bravo, Chockler and Gotsman, "Making
 * Byzantine consensus live", DISC 2020, give the contract; PBFT's VIEW-CHANGE is their WISH.)
 *
 * A view is lived in three phases:
 *   asked    VIEW-CHANGE(v) was said (durably: never again a vote below v), fewer than Q have asked for v or a later view
 *   entered  Q have: the new-view timer T′·2^k runs, and its end asks for v + 1
 *   active   NEW-VIEW(v) is installed: votes are cast, and the primary is watched (suspicion.ts)
 *
 * The contract. With at most f faulty replicas, delays ≤ Δ after GST, and STATUS every s while a view is not active:
 *  1. Monotonicity: `view` never falls; `active` ends only with a higher view.
 *  2. Validity: `view` rises to v only if this replica asked for v itself, for a stated reason, or some correct replica is in v or
 *     beyond: join takes the W-th highest of the others, so that f liars, whatever views they name, move nobody.
 *  3. Bounded memory: one number per sender, the highest it asked for.
 *  4. Joint entry: once W correct replicas are in v or beyond, every correct one is, 3Δ + 2s later; and once one entered v, unless
 *     it moves on meanwhile.
 *  5. Progress: when W correct replicas ask to leave v, every correct one leaves it.
 *  6. Growth: each view that begins too late, or serves nothing, doubles this replica's timeouts, up to 2^backoffExponentMax. So
 *     at the latest after ⌈log2((C + 3Δ + s) / min(T, T′))⌉ wasted views all correct replicas overlap in a view of a correct
 *     primary for longer than it needs to execute something, C. T′·2^backoffExponentMax is the largest Δ for which this holds.
 *  7. Recovery: a slot that the new view proposed itself and executed halves k, as long as it fits the smaller timeouts twice
 *     over. After an outage of any length k is back where the network allows within log2(backoffExponentMax) + 1 slots.
 */
import type { EngineConfig, View } from "@narses/core";

export interface Synchroniser {
  view: View;
  /** False from asking for `view` until its NEW-VIEW is installed: no PREPARE, COMMIT or PRE-PREPARE is cast. */
  active: boolean;
  /** Tick at which Q view changes for ≥ `view` were first held; undefined before, and while active. */
  quorumTick: number | undefined;
  /** k: timeouts are T·2^k. */
  backoff: number;
}

/** What the synchroniser must know of its cluster. */
type Rules = Pick<EngineConfig, "quorums" | "parameters">;

export const freshSynchroniser = (view: View, active: boolean): Synchroniser => ({ view, active, quorumTick: undefined, backoff: 0 });

/** Leaves every view below `target`. False when this replica is there or beyond already. */
export function ask(s: Synchroniser, target: View): boolean {
  if (target <= s.view) return false;
  s.view = target;
  s.active = false;
  s.quorumTick = undefined;
  return true;
}

/** NEW-VIEW of `view` is installed. @throws RangeError on the way back. */
export function begin(s: Synchroniser, view: View): void {
  if (view < s.view || (view === s.view && s.active)) throw new RangeError(`view ${view} cannot begin in view ${s.view}`);
  s.view = view;
  s.active = true;
  s.quorumTick = undefined;
}

/** The join rule: `others` are the highest views that the other replicas asked for. The view to ask for, if any. */
export function viewToJoin(s: Synchroniser, rules: Rules, others: readonly View[]): View | undefined {
  const target = [...others].sort((a, b) => b - a)[rules.quorums.weak - 1];
  return target !== undefined && target > s.view ? target : undefined;
}

/** `asked` are the highest views that replicas asked for, this one included. With Q of them the new-view timer runs. */
export function considerEntry(s: Synchroniser, rules: Rules, asked: readonly View[], tick: number): void {
  if (s.active || s.quorumTick !== undefined) return;
  if (asked.filter((view) => view >= s.view).length >= rules.quorums.strong) s.quorumTick = tick;
}

/** Ticks until the awaited NEW-VIEW is overdue; undefined while nothing is awaited, or too few await it. */
export function newViewTicksLeft(s: Synchroniser, rules: Rules, tick: number): number | undefined {
  if (s.active || s.quorumTick === undefined) return undefined;
  return s.quorumTick + scaled(s, rules.parameters.viewChangeTimeoutTicks) - tick;
}

/** A timeout as it stands: doubled for each view that was wasted. */
export const scaled = (s: Pick<Synchroniser, "backoff">, ticks: number): number => ticks * 2 ** s.backoff;

/** A view was wasted: it did not begin in time, or served nothing for a whole timeout. */
export function lengthen(s: Synchroniser, rules: Rules): void {
  s.backoff = Math.min(s.backoff + 1, rules.parameters.backoffExponentMax);
}

/**
 * A slot that this view proposed was executed, `took` ticks after its proposal: the view works. The timeouts shrink only as far
 * as that would have fitted twice, or they would be too short again at once, and every few slots a view would be wasted.
 */
export function shorten(s: Synchroniser, rules: Rules, took: number): void {
  const smaller = Math.floor(s.backoff / 2);
  const { requestTimeoutTicks, viewChangeTimeoutTicks } = rules.parameters;
  if (2 * took <= Math.min(requestTimeoutTicks, viewChangeTimeoutTicks) * 2 ** smaller) s.backoff = smaller;
}
