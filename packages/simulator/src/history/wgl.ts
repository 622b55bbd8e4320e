/**
 * Linearizability from outside: Wing & Gong's search with Lowe's memory of visited states, as Porcupine does it. It sees invocations
 * and answers, never the log. Objects are independent (P-compositional), so each key of the model is searched alone.
 */
import type { HistoryEntry } from "./history.ts";

/** A sequential object, given as data: states are values with a text that tells them apart. */
export interface Model<Input, Output, State> {
  /** Operations with different keys touch different objects. */
  keyOf(input: Input): string;
  initial(key: string): State;
  step(state: State, input: Input): { readonly state: State; readonly output: Output };
  /** Equal texts exactly for equal states. */
  textOf(state: State): string;
  equal(a: Output, b: Output): boolean;
  /** All operations on a key do the same: of those without an answer, only the one submitted first needs to be tried. */
  readonly alike?: boolean;
  /** States only grow, and an answer fits at one of them: `at` the state, `due` the answer. An answer that the state has passed can never be given. */
  readonly growth?: { at(state: State): number; due(output: Output): number };
}

export type WglVerdict =
  | { readonly verdict: "linearizable" | "undecided"; readonly detail: string }
  | { readonly verdict: "violation"; readonly detail: string };

/** Operations in flight at one time on one key, at most, where states do not grow: beyond, the search is left out and says so. */
export const WGL_CONCURRENCY_MAX = 50;
/** Visited states per key, at most: beyond, the search gives up and says so. */
export const WGL_STATES_MAX = 200_000;

export function checkLinearizable<Input, Output, State>(history: readonly HistoryEntry<Input, Output>[], model: Model<Input, Output, State>): WglVerdict {
  const byKey = new Map<string, HistoryEntry<Input, Output>[]>();
  for (const entry of history) {
    const key = model.keyOf(entry.input);
    const list = byKey.get(key);
    if (list === undefined) byKey.set(key, [entry]);
    else list.push(entry);
  }
  let undecided: WglVerdict | undefined;
  for (const [key, entries] of byKey) {
    const verdict = searchKey(key, entries, model);
    if (verdict.verdict === "violation") return verdict;
    if (verdict.verdict === "undecided") undecided = verdict;
  }
  return undecided ?? { verdict: "linearizable", detail: `${history.length} operations on ${byKey.size} keys` };
}

/** One end of an operation in the doubly linked list of what is not yet linearized. */
interface Node {
  readonly op: number;
  readonly isReturn: boolean;
  previous: Node | undefined;
  next: Node | undefined;
  /** Of a call: its return. */
  match: Node | undefined;
}

/** Calls before returns at one instant: operations that touch count as concurrent. Unanswered operations return after everything. */
function linked(entries: readonly HistoryEntry[], alike: boolean): { readonly head: Node; readonly concurrency: number } {
  const ends: { readonly at: number; readonly node: Node }[] = [];
  entries.forEach(({ invokedAt, returned }, op) => {
    const back: Node = { op, isReturn: true, previous: undefined, next: undefined, match: undefined };
    ends.push({ at: invokedAt, node: { op, isReturn: false, previous: undefined, next: undefined, match: back } });
    ends.push({ at: returned?.at ?? Number.POSITIVE_INFINITY, node: back });
  });
  ends.sort((a, b) => (a.at === b.at ? Number(a.node.isReturn) - Number(b.node.isReturn) || a.node.op - b.node.op : a.at < b.at ? -1 : 1));
  const head: Node = { op: -1, isReturn: false, previous: undefined, next: undefined, match: undefined };
  let last = head;
  let open = 0;
  let concurrency = 0;
  for (const { at, node } of ends) {
    last.next = node;
    node.previous = last;
    last = node;
    // Those that are all alike are tried in one order only: they cost nothing.
    if (at === Number.POSITIVE_INFINITY || (alike && entries[node.op]?.returned === undefined)) continue;
    open += node.isReturn ? -1 : 1;
    concurrency = Math.max(concurrency, open);
  }
  return { head, concurrency };
}

function detach(node: Node): void {
  if (node.previous !== undefined) node.previous.next = node.next;
  if (node.next !== undefined) node.next.previous = node.previous;
}

function attach(node: Node): void {
  if (node.previous !== undefined) node.previous.next = node;
  if (node.next !== undefined) node.next.previous = node;
}

/** Takes an operation out of the list; `unlift` undoes it, in reverse order only. */
function lift(call: Node): void {
  detach(call);
  if (call.match !== undefined) detach(call.match);
}

function unlift(call: Node): void {
  if (call.match !== undefined) attach(call.match);
  attach(call);
}

function searchKey<Input, Output, State>(key: string, entries: readonly HistoryEntry<Input, Output>[], model: Model<Input, Output, State>): WglVerdict {
  const { head, concurrency } = linked(entries, model.alike === true);
  if (model.growth === undefined && concurrency > WGL_CONCURRENCY_MAX) {
    return { verdict: "undecided", detail: `${concurrency} concurrent operations on ${key}, at most ${WGL_CONCURRENCY_MAX} are searched` };
  }
  const visited = new Set<string>();
  const done = new Taken(entries.length);
  const owed = model.growth === undefined ? undefined : new Owed(entries.map(({ returned }) => (returned === undefined ? undefined : model.growth?.due(returned.output))));
  const calls: { readonly node: Node; readonly before: State }[] = [];
  let state = model.initial(key);
  let node = head.next;
  let longest = 0;
  while (node !== undefined) {
    const entry = entries[node.op] as HistoryEntry<Input, Output>;
    if (node.isReturn) {
      // Only unanswered operations are left: each of them may never take effect.
      if (entry.returned === undefined) return { verdict: "linearizable", detail: key };
      const last = calls.pop();
      if (last === undefined) return { verdict: "violation", detail: describeStuck(key, entry, longest, entries.length) };
      done.drop(last.node.op);
      owed?.drop(last.node.op);
      state = last.before;
      unlift(last.node);
      node = last.node.next;
      continue;
    }
    if (model.alike === true && entry.returned === undefined && !isFirstUnanswered(node, entries)) {
      node = node.next;
      continue;
    }
    const after = model.step(state, entry.input);
    if (entry.returned === undefined || model.equal(after.output, entry.returned.output)) {
      done.take(node.op);
      owed?.take(node.op);
      const passed = owed !== undefined && owed.first <= (model.growth?.at(after.state) ?? 0);
      const memory = `${done.text} ${model.textOf(after.state)}`;
      if (!passed && !visited.has(memory)) {
        if (visited.size >= WGL_STATES_MAX) return { verdict: "undecided", detail: `${WGL_STATES_MAX} states of ${key} searched without an end` };
        visited.add(memory);
        calls.push({ node, before: state });
        longest = Math.max(longest, calls.length);
        state = after.state;
        lift(node);
        node = head.next;
        continue;
      }
      done.drop(node.op);
      owed?.drop(node.op);
    }
    node = node.next;
  }
  return { verdict: "linearizable", detail: key };
}

/** Whether no unanswered call stands before this one. */
function isFirstUnanswered(call: Node, entries: readonly HistoryEntry[]): boolean {
  for (let node = call.previous; node !== undefined; node = node.previous) {
    if (node.op >= 0 && !node.isReturn && entries[node.op]?.returned === undefined) return false;
  }
  return true;
}

const describeStuck = (key: string, entry: HistoryEntry, longest: number, total: number): string =>
  `no order of the operations on ${key} explains the answers: at most ${longest} of ${total} fit, and ${entry.id} `
  + `(${JSON.stringify(entry.input)}) returned ${JSON.stringify(entry.returned?.output)} too early`;

/** The set of linearized operations, with a text: the lowest one missing, and those above it. Operations are taken nearly in order, so it is short. */
class Taken {
  private readonly flags: Uint8Array;
  private low = 0;
  private high = -1;

  constructor(size: number) {
    this.flags = new Uint8Array(size);
  }

  take(op: number): void {
    this.flags[op] = 1;
    this.high = Math.max(this.high, op);
    while (this.flags[this.low] === 1) this.low++;
  }

  drop(op: number): void {
    this.flags[op] = 0;
    this.low = Math.min(this.low, op);
    while (this.high >= 0 && this.flags[this.high] === 0) this.high--;
  }

  get text(): string {
    let text = `${this.low}:`;
    for (let op = this.low + 1; op <= this.high; op++) if (this.flags[op] === 1) text += `${op - this.low},`;
    return text;
  }
}

/** Answers that are still to be explained, by where they are due. */
class Owed {
  private readonly dues: readonly number[];
  /** Of each operation with an answer: its place among the dues. */
  private readonly places = new Map<number, number>();
  private readonly taken: Uint8Array;
  private low = 0;

  constructor(dues: readonly (number | undefined)[]) {
    const sorted = dues.flatMap((due, op): { readonly due: number; readonly op: number }[] => (due === undefined ? [] : [{ due, op }]))
      .sort((a, b) => a.due - b.due || a.op - b.op);
    this.dues = sorted.map(({ due }) => due);
    sorted.forEach(({ op }, place) => this.places.set(op, place));
    this.taken = new Uint8Array(sorted.length);
  }

  /** The lowest that is owed. */
  get first(): number {
    return this.dues[this.low] ?? Number.POSITIVE_INFINITY;
  }

  take(op: number): void {
    const place = this.places.get(op);
    if (place === undefined) return;
    this.taken[place] = 1;
    while (this.taken[this.low] === 1) this.low++;
  }

  drop(op: number): void {
    const place = this.places.get(op);
    if (place === undefined) return;
    this.taken[place] = 0;
    this.low = Math.min(this.low, place);
  }
}
