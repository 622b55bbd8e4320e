/**
 * The determinism guard, for development: a state machine around a state machine. Every call runs twice from the same state, the
 * second time deeper in the stack, with copies of its arguments, and on a fresh instance if there is a factory; under traps for clocks,
 * randomness, locales and everything asynchronous (`traps.ts`). Outcome, writes and the order of keys must be the same, byte for
 * byte. Then the writes of the first run are made in the real store.
 */
import type { AppReader, AppStore, ApplyContext, StateMachine } from "@narses/core";
import { bytesEqual } from "@narses/core";
import { encodePayload } from "@narses/wire";
import { decode, ShadowStore, type Written } from "./shadow-store.ts";
import { trapped, type Note, type Outside } from "./traps.ts";
import { DeterminismViolation, type Hazard } from "./violation.ts";

export interface GuardOptions {
  /** Makes a new instance of the same state machine, for the second run: finds what an instance remembers between calls. */
  readonly fresh?: () => StateMachine;
}

/** One run: what it returned or threw, and wrote. */
interface Run {
  readonly outcome: { readonly type: "returned"; readonly value: unknown } | { readonly type: "threw"; readonly error: unknown };
  readonly store: ShadowStore;
}

/** Hazards reported for one call, at most. */
const HAZARDS_MAX = 8;
/** Text of a call in a report, in UTF-16 units; longer ones are cut. */
const CALL_LENGTH_MAX = 400;

/** @throws DeterminismViolation from `genesis`, `apply` and `query`, naming the call and what differed. */
export function guardDeterminism<Op, Result, Question, Answer>(
  app: StateMachine<Op, Result, Question, Answer>,
  options: GuardOptions = {},
): StateMachine<Op, Result, Question, Answer> {
  const first = app as StateMachine;
  const second = (): StateMachine => options.fresh?.() ?? first;
  const guarded: StateMachine = {
    apply: (op, context) => apply(first, second(), op, context),
    ...(first.genesis !== undefined && {
      genesis: (data: unknown, store: AppStore): void => {
        twice("genesis", store, (run, shadow) => (run === 1 ? first : second()).genesis?.(structuredClone(data), shadow), store);
      },
    }),
    ...(first.query !== undefined && {
      query: (question: unknown, context: { readonly store: AppReader; readonly time: number; readonly seq: ApplyContext["seq"] }): unknown =>
        twice(named("query", question, context.seq), context.store, (run, shadow) =>
          (run === 1 ? first : second()).query?.(structuredClone(question), { ...context, store: shadow })),
    }),
  };
  return guarded as StateMachine<Op, Result, Question, Answer>;
}

function apply(first: StateMachine, second: StateMachine, op: unknown, context: ApplyContext): unknown {
  const draws: number[] = [];
  return twice(named("apply", op, context.seq), context.store, (run, store, outside) => {
    let drawn = 0;
    // The second run sees the numbers of the first.
    const random = (): number => (draws[drawn++] ??= outside(() => context.random()));
    return (run === 1 ? first : second).apply(structuredClone(op), { ...context, publicKey: context.publicKey.slice(), store, random });
  }, context.store);
}

type Make = (run: 1 | 2, store: ShadowStore, outside: Outside) => unknown;

function twice(call: string, base: AppReader, make: Make, target?: AppStore): unknown {
  const hazards: Hazard[] = [];
  const note = (api: string, why: string): void => {
    if (hazards.length < HAZARDS_MAX && !hazards.some((other) => other.kind === "api" && other.api === api)) hazards.push({ kind: "api", api, why });
  };
  const [one, two] = [runOnce(note, base, (store, outside) => make(1, store, outside)), runOnce(note, base, (store, outside) => deeper(() => make(2, store, outside)))];
  hazards.push(...differences(one, two).slice(0, HAZARDS_MAX));
  if (hazards.length > 0) throw new DeterminismViolation(call, hazards);
  if (one.outcome.type === "threw") throw one.outcome.error;
  for (const [key, value] of one.store.writes) {
    if (value === null) target?.delete(key);
    else target?.put(key, decode(value));
  }
  return one.outcome.value;
}

function runOnce(note: Note, base: AppReader, call: (store: ShadowStore, outside: Outside) => unknown): Run {
  let store: ShadowStore | undefined;
  const ran = (): Run["outcome"] => {
    try {
      return { type: "returned", value: trapped(note, (outside) => call((store = new ShadowStore(base, outside)), outside)) };
    } catch (error) {
      return { type: "threw", error };
    }
  };
  const outcome = ran();
  return { outcome, store: store ?? new ShadowStore(base, (framework) => framework()) };
}

/** A text that tells of its stack (`new Error().stack`) is another one here. */
function deeper<T>(call: () => T): T {
  const further = (): T => call();
  return further();
}

// ── comparing two runs ───────────────────────────────────────────────────────────────────────────────────────────

function differences(one: Run, two: Run): readonly Hazard[] {
  const found: Hazard[] = [];
  const [first, second] = [outcomeOf(one), outcomeOf(two)];
  if (!bytesEqual(first.bytes, second.bytes)) found.push({ kind: "outcome", detail: `it ${first.text} the first time, and ${second.text} the second` });
  for (const key of new Set([...one.store.writes.keys(), ...two.store.writes.keys()])) {
    const detail = writeDifference(one.store.writes.get(key), two.store.writes.get(key));
    if (detail !== undefined) found.push({ kind: "write", key, detail: `key ${JSON.stringify(key)}: ${detail}` });
  }
  const at = one.store.order.findIndex((key, i) => key !== two.store.order[i]);
  if (found.length === 0 && at >= 0) {
    const [a, b] = [one.store.order[at], two.store.order[at]].map((key) => JSON.stringify(key));
    found.push({ kind: "order", detail: `keys were written in another order: ${a} came where the second run wrote ${b}`, key: one.store.order[at] ?? "" });
  }
  return found;
}

function outcomeOf({ outcome }: Run): { readonly bytes: Uint8Array; readonly text: string } {
  if (outcome.type === "returned") {
    const bytes = encode(outcome.value ?? null);
    return bytes === undefined ? { bytes: Uint8Array.of(0), text: "returned what msgpack cannot carry" } : { bytes, text: `returned ${show(outcome.value)}` };
  }
  const { name, code, message, data } = outcome.error as { name?: unknown; code?: unknown; message?: unknown; data?: unknown };
  // The text of other errors is in no result: it may differ.
  if (name !== "AppRejection") return { bytes: Uint8Array.of(1), text: "failed" };
  const bytes = encode([code, message, data ?? {}]) ?? Uint8Array.of(2);
  return { bytes, text: `refused with ${String(code)}: ${String(message)} ${show(data)}` };
}

function encode(value: unknown): Uint8Array | undefined {
  try {
    return encodePayload(value);
  } catch {
    return undefined;
  }
}

function writeDifference(one: Written | undefined, two: Written | undefined): string | undefined {
  if (one === undefined || two === undefined) return `was written in the ${one === undefined ? "second" : "first"} run only`;
  if (one === null || two === null) return one === two ? undefined : `was deleted in the ${one === null ? "first" : "second"} run only`;
  if (bytesEqual(one, two)) return undefined;
  const [a, b] = [decode(one), decode(two)];
  const [sortedA, sortedB] = [JSON.stringify(sorted(a)), JSON.stringify(sorted(b))];
  if (sortedA === sortedB) return `its fields were put in another order: ${show(a)}, then ${show(b)}`;
  return `was set to ${show(a)}, then to ${show(b)}`;
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, field]) => [key, sorted(field)]));
}

function show(value: unknown): string {
  const text = JSON.stringify(value, (_key, field: unknown) => (field instanceof Uint8Array ? `${field.length} bytes` : field)) ?? "nothing";
  return text.length <= CALL_LENGTH_MAX ? text : `${text.slice(0, CALL_LENGTH_MAX)}…`;
}

const named = (method: string, argument: unknown, seq: number): string => `${method}(${show(argument)}) in slot ${seq}`;
