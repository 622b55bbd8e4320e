/**
 * What a state machine must not touch, as traps: while one of its functions runs, every API below throws and is noted, also when
 * the state machine swallows the error. Nothing is trapped outside, and everything is put back.
 *
 * Not trapped, since there is nothing to patch: `**`, imports bound before (`import { readFileSync } from "node:fs"`), the order in which
 * a state machine of one's own kept things in memory. The second run finds what of that shows in results and writes.
 */
import { createHook } from "node:async_hooks";

const CLOCK = "use `time` of the context instead";
const RANDOM = "use `random()` of the context instead";
const LOCALE = "it depends on the locale and on the ICU version of the process";
const ZONE = "it depends on the time zone of the process";
const LATER = "state machines are synchronous: what happens later happens outside the slot";
const HOST = "it tells about this process or machine";
const FLOAT = "its last digit is not the same in every JavaScript engine";
const COLLECTOR = "it depends on the garbage collector";

interface Place {
  readonly owner: object | undefined;
  readonly name: string;
  readonly keys: readonly string[];
  readonly why: string;
}

const of = (owner: unknown, name: string, keys: string, why: string): Place => ({ owner: owner as object | undefined, name, keys: keys.split(" "), why });

const PLACES: readonly Place[] = [
  of(Date, "Date", "now", CLOCK),
  of(globalThis.performance, "performance", "now timeOrigin", CLOCK),
  of(process, "process", "hrtime uptime", CLOCK),
  of(Math, "Math", "random", RANDOM),
  of(globalThis.crypto, "crypto", "getRandomValues randomUUID", RANDOM),
  of(globalThis.crypto, "crypto", "subtle", LATER),
  of(Math, "Math", "acos acosh asin asinh atan atan2 atanh cbrt cos cosh exp expm1 hypot log log10 log1p log2 pow sin sinh tan tanh", FLOAT),
  of(globalThis, "globalThis", "setTimeout setInterval setImmediate queueMicrotask fetch", LATER),
  of(process, "process", "nextTick", LATER),
  of(process, "process", "env argv pid ppid cwd memoryUsage cpuUsage resourceUsage platform arch version versions title execPath", HOST),
  of(globalThis, "globalThis", "WeakRef FinalizationRegistry", COLLECTOR),
  of(Intl, "Intl", "Collator DateTimeFormat DisplayNames DurationFormat ListFormat Locale NumberFormat PluralRules", LOCALE),
  of(Intl, "Intl", "RelativeTimeFormat Segmenter getCanonicalLocales supportedValuesOf", LOCALE),
  of(String.prototype, "string", "localeCompare toLocaleLowerCase toLocaleUpperCase", LOCALE),
  of(Number.prototype, "number", "toLocaleString", LOCALE),
  of(BigInt.prototype, "bigint", "toLocaleString", LOCALE),
  of(Array.prototype, "array", "toLocaleString", LOCALE),
  of(Object.prototype, "object", "toLocaleString", LOCALE),
  of(Date.prototype, "date", "toLocaleString toLocaleDateString toLocaleTimeString", LOCALE),
  of(Date.prototype, "date", "getDate getDay getFullYear getHours getMinutes getMonth getTimezoneOffset getYear setDate setFullYear setHours setMinutes setMonth setYear", ZONE),
  of(Date.prototype, "date", "toString toDateString toTimeString", ZONE),
];

/** Notes an API that was used. */
export type Note = (api: string, why: string) => void;

class TrappedError extends Error {
  override readonly name = "DeterminismTrap";
}

/** The framework's own code, called by the state machine through its context: not under the traps. */
export type Outside = <T>(call: () => T) => T;

interface Trap {
  armed: boolean;
  readonly trip: (api: string, why: string) => never;
}

/** Runs `call` with every trap set; puts everything back, whatever happens. */
export function trapped<T>(note: Note, call: (outside: Outside) => T): T {
  const trap: Trap = {
    armed: true,
    trip: (api, why) => {
      note(api, why);
      throw new TrappedError(`${api} is not deterministic: ${why}`);
    },
  };
  const outside: Outside = (framework) => {
    trap.armed = false;
    try {
      return framework();
    } finally {
      trap.armed = true;
    }
  };
  const undo: (() => void)[] = [];
  const watch = createHook({ init: (_id, type) => void (trap.armed && noteAsync(note, type)) });
  try {
    for (const { owner, name, keys, why } of PLACES) for (const key of keys) setTrap(trap, { owner, key, api: `${name}.${key}`, why }, undo);
    undo.push(trapDate(trap));
    watch.enable();
    return call(outside);
  } finally {
    trap.armed = false;
    watch.disable();
    for (const restore of undo.reverse()) restore();
  }
}

function noteAsync(note: Note, type: string): void {
  if (type === "PROMISE") note("a promise", LATER);
  else if (type !== "TickObject" && type !== "Microtask") note(`an asynchronous ${type}`, LATER);
}

interface Target {
  readonly owner: object | undefined;
  readonly key: string;
  readonly api: string;
  readonly why: string;
}

/** A trap in the place of a property, if the host has it and lets it be replaced. A function trips when called or constructed, a value when read. */
function setTrap(trap: Trap, { owner, key, api, why }: Target, undo: (() => void)[]): void {
  const holder = owner === undefined ? undefined : holderOf(owner, key);
  const descriptor = holder === undefined ? undefined : Object.getOwnPropertyDescriptor(holder, key);
  if (holder === undefined || descriptor?.configurable !== true) return;
  const real: unknown = descriptor.value;
  const replaced: PropertyDescriptor =
    typeof real === "function"
      ? { ...descriptor, value: new Proxy(real, tripping(trap, api, why)) }
      : {
          configurable: true, enumerable: descriptor.enumerable === true,
          get(this: unknown) {
            if (trap.armed) return trap.trip(api, why);
            return descriptor.get === undefined ? real : (Reflect.apply(descriptor.get, this, []) as unknown);
          },
        };
  Object.defineProperty(holder, key, replaced);
  undo.push(() => void Object.defineProperty(holder, key, descriptor));
}

function tripping(trap: Trap, api: string, why: string): ProxyHandler<object> {
  return {
    apply: (target, self, args) => (trap.armed ? trap.trip(api, why) : (Reflect.apply(target as () => unknown, self, args) as unknown)),
    construct: (target, args) => (trap.armed ? trap.trip(api, why) : (Reflect.construct(target as new () => object, args) as object)),
  };
}

function holderOf(owner: object, key: string): object | undefined {
  for (let at: object | null = owner; at !== null; at = Object.getPrototypeOf(at) as object | null) if (Object.hasOwn(at, key)) return at;
  return undefined;
}

/** `new Date(ms)` is a value like others; without arguments it is the clock, from parts or local text it is the time zone. */
function trapDate(trap: Trap): () => void {
  const handler: ProxyHandler<DateConstructor> = {
    apply: (target) => (trap.armed ? trap.trip("Date()", CLOCK) : target()),
    construct(target, args: readonly unknown[], newTarget) {
      if (trap.armed) checkDate(trap, args);
      return Reflect.construct(target, args, newTarget === guarded ? target : newTarget) as object;
    },
    get(target, key) {
      if (key !== "parse") return Reflect.get(target, key) as unknown;
      return (text: string): number => (trap.armed && isLocal(text) ? trap.trip(`Date.parse(${JSON.stringify(text)})`, ZONE) : target.parse(text));
    },
  };
  const guarded: DateConstructor = new Proxy(Date, handler);
  const descriptor = Object.getOwnPropertyDescriptor(globalThis, "Date");
  Object.defineProperty(globalThis, "Date", { configurable: true, writable: true, enumerable: false, value: guarded });
  return () => void (descriptor !== undefined && Object.defineProperty(globalThis, "Date", descriptor));
}

function checkDate({ trip }: Trap, args: readonly unknown[]): void {
  if (args.length === 0) trip("new Date()", CLOCK);
  if (args.length > 1) trip("new Date(year, month, …)", ZONE);
  if (typeof args[0] === "string" && isLocal(args[0])) trip(`new Date(${JSON.stringify(args[0])})`, ZONE);
}

/** ISO dates and times with a zone mean the same everywhere; every other text is read by the engine, in the local zone. */
const isLocal = (text: string): boolean => !/^\d{4}(-\d\d(-\d\d)?)?$|^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(text);
