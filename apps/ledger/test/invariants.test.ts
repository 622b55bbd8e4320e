/** Random histories: money is conserved, nobody goes below the limit, a key applies once, and a refusal leaves no trace. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GENESIS, LedgerOnABench } from "./bench-ledger.ts";

const PEOPLE = ["bank", "alice", "bob", "mallory"];
const ACCOUNTS = ["a", "b", "c", "d", "issuance.EUR"];
const account = fc.constantFrom(...ACCOUNTS);
const asset = fc.constantFrom("EUR", "YEN", "USD");
const amount = fc.oneof(
  fc.integer({ min: 1, max: 9_999 }).map((n) => String(n)),
  fc.integer({ min: 0, max: 9_999 }).map((n) => (n / 100).toFixed(2)),
  fc.constantFrom("0", "-1", "1e3", "0.001", "1000000000000000000"),
);
const idempotencyKey = fc.integer({ min: 0, max: 12 }).map((n) => `k${n}`);

const operation = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constant("transfer"), from: account, to: account, asset, amount, idempotencyKey }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("issue"), to: account, asset, amount, idempotencyKey }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("redeem"), from: account, asset, amount, idempotencyKey }) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant("account.create"),
      id: account,
      opening: fc.array(fc.record({ asset, amount }), { maxLength: 2 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("account.overdraft"), id: account, asset, limit: amount }) },
);
const history = fc.array(fc.tuple(fc.constantFrom(...PEOPLE), operation), { minLength: 1, maxLength: 60 });

interface Stored {
  readonly id: string;
  readonly kind: string;
  readonly balances: Record<string, string>;
  readonly overdrafts: Record<string, string>;
}

const accountsIn = (ledger: LedgerOnABench): Stored[] =>
  [...ledger.state].filter(([key]) => key.startsWith("account/")).map(([, value]) => value as Stored);

describe("any history", () => {
  it("keeps the sum of every asset at zero and every customer above the limit it had", () => {
    fc.assert(
      fc.property(history, (steps) => {
        const ledger = new LedgerOnABench(GENESIS);
        const floor = new Map<string, bigint>(); // lowest limit ever granted, per account and asset
        for (const [who, op] of steps) {
          const before = new Map(ledger.state);
          const outcome = ledger.apply(who, op);
          if (!outcome.ok) expect(ledger.state).toEqual(before);
          for (const stored of accountsIn(ledger)) {
            for (const code of ["EUR", "YEN"]) {
              const key = `${stored.id} ${code}`;
              const limit = BigInt(stored.overdrafts[code] ?? "0");
              if (limit > (floor.get(key) ?? 0n)) floor.set(key, limit);
              if (stored.kind === "customer") expect(BigInt(stored.balances[code] ?? "0") >= -(floor.get(key) ?? 0n)).toBe(true);
            }
          }
          expect([ledger.sum("EUR"), ledger.sum("YEN")]).toEqual(["0", "0"]);
        }
      }),
      { numRuns: 150 },
    );
  });

  it("submitted twice gives the same state as submitted once", () => {
    const payments = fc.array(fc.record({ from: fc.constantFrom("a", "b"), cents: fc.integer({ min: 1, max: 900 }) }), {
      minLength: 1,
      maxLength: 25,
    });
    fc.assert(
      fc.property(payments, fc.array(fc.nat(), { minLength: 1, maxLength: 50 }), (list, order) => {
        const ops = list.map((p, i) => ({
          type: "transfer",
          from: p.from,
          to: p.from === "a" ? "b" : "a",
          asset: "EUR",
          amount: (p.cents / 100).toFixed(2),
          idempotencyKey: `p${i}`,
        }));
        const owner = (from: string): string => (from === "a" ? "alice" : "bob");
        const fund = (ledger: LedgerOnABench): void => {
          for (const to of ["a", "b"]) ledger.apply("bank", { type: "issue", to, asset: "EUR", amount: "1000", idempotencyKey: to });
        };
        const once = new LedgerOnABench(GENESIS);
        fund(once);
        for (const op of ops) expect(once.apply(owner(op.from), op).ok).toBe(true);
        const twice = new LedgerOnABench(GENESIS);
        fund(twice);
        for (const op of ops) twice.apply(owner(op.from), op);
        for (const pick of order) {
          const op = ops[pick % ops.length] as (typeof ops)[number];
          expect(twice.apply(owner(op.from), op)).toMatchObject({ ok: true, value: { replayed: true } });
        }
        expect(twice.state).toEqual(once.state);
      }),
      { numRuns: 40 },
    );
  });

  it("gives the same state and the same results on two replicas", () => {
    fc.assert(
      fc.property(history, (steps) => {
        const [one, two] = [new LedgerOnABench(GENESIS), new LedgerOnABench(GENESIS)];
        for (const [who, op] of steps) expect(JSON.stringify(one.apply(who, op))).toBe(JSON.stringify(two.apply(who, structuredClone(op))));
        expect([...one.state]).toEqual([...two.state]);
      }),
      { numRuns: 40 },
    );
  });
});
