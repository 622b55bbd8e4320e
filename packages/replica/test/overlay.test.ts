/** The writes of a bundle, against the plainest way to keep them: a map for the operation that runs, and one for those that are done. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Overlay } from "../src/overlay.ts";

type Step = { readonly type: "put"; readonly key: string; readonly value: number } | { readonly type: "delete"; readonly key: string };

const keys = ["a/1", "a/2", "a/3", "s/1"];
const arbStep: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ type: fc.constant("put" as const), key: fc.constantFrom(...keys), value: fc.nat(255) }),
  fc.record({ type: fc.constant("delete" as const), key: fc.constantFrom(...keys) }),
);
/** Long ones too: what an operation overwrites is noted in another way when it is much. */
const arbOperation = fc.record({ steps: fc.oneof(fc.array(arbStep, { maxLength: 8 }), fc.array(arbStep, { minLength: 60, maxLength: 200 })), ok: fc.boolean() });
const base = new Map([["a/1", Uint8Array.of(1)], ["s/1", Uint8Array.of(2)]]);

class Plain {
  readonly #bundle = new Map<string, number | null>();

  get(key: string, own: ReadonlyMap<string, number | null>): number | undefined {
    const written = own.get(key) ?? (own.has(key) ? null : this.#bundle.get(key));
    return written === undefined ? base.get(key)?.[0] : (written ?? undefined);
  }

  commit(own: ReadonlyMap<string, number | null>): void {
    for (const [key, value] of own) this.#bundle.set(key, value);
  }

  forgetApplication(): void {
    for (const key of this.#bundle.keys()) if (key.startsWith("a/")) this.#bundle.delete(key);
  }

  /** In the order in which they reach the state. */
  get written(): readonly string[] {
    const entries = [...this.#bundle];
    return [...entries.filter(([, value]) => value === null), ...entries.filter(([, value]) => value !== null)].map(([key, value]) => `${key} ${String(value)}`);
  }
}

test("operations read their own writes, leave all of them or none, and what is left reaches the state in one order", () => {
  fc.assert(fc.property(fc.array(arbOperation, { maxLength: 6 }), fc.boolean(), (operations, forget) => {
    const overlay = new Overlay({ get: (key) => base.get(key) });
    const plain = new Plain();
    for (const { steps, ok } of operations) {
      const own = new Map<string, number | null>();
      overlay.begin();
      for (const step of steps) {
        if (step.type === "put") overlay.put(step.key, Uint8Array.of(step.value));
        else overlay.delete(step.key);
        own.set(step.key, step.type === "put" ? step.value : null);
        expect(overlay.get(step.key)?.[0]).toBe(plain.get(step.key, own));
      }
      if (ok) plain.commit(own);
      if (ok) overlay.commit();
      else overlay.rollback();
      expect(keys.map((key) => overlay.get(key)?.[0])).toEqual(keys.map((key) => plain.get(key, new Map())));
    }
    if (forget) for (const one of [overlay, plain]) one.forgetApplication();
    const written: string[] = [];
    const nothing = (): void => undefined;
    overlay.flush({
      begin: nothing, commit: nothing, rollback: nothing,
      put: (key, value) => void written.push(`${key} ${String(value[0])}`), delete: (key) => void written.push(`${key} null`),
    });
    expect(written).toEqual(plain.written);
  }), { numRuns: 300 });
});

test("an operation that writes a key again and again does not keep every value it had", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const overlay = new Overlay({ get: () => undefined });
  overlay.begin();
  const values: WeakRef<Uint8Array>[] = [];
  const write = (): void => {
    const value = new Uint8Array(1 << 10);
    values.push(new WeakRef(value));
    overlay.put("a/1", value);
  };
  for (let i = 0; i < 1_000; i++) write();
  await new Promise(setImmediate); // until then a WeakRef keeps what it was made for
  collect();
  expect(values.filter((value) => value.deref() !== undefined).length).toBeLessThan(100);
  overlay.rollback();
  expect(overlay.get("a/1")).toBeUndefined();
});
