import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseAmount } from "../src/amount.ts";
import { readPaymentFile } from "../src/csv/payment-file.ts";
import { generatePaymentDay, SAMPLE_OPENING, SAMPLE_PAYMENTS, SAMPLE_SEED } from "../src/demo/payment-day.ts";

const text = generatePaymentDay({ seed: SAMPLE_SEED, payments: SAMPLE_PAYMENTS });
const file = readPaymentFile(Buffer.from(text), { asset: "EUR", decimals: new Map([["EUR", 2]]) });

describe("the sample payment day", () => {
  it("is what the generator makes, byte for byte", () => {
    expect(readFileSync(new URL("../samples/payment-day.csv", import.meta.url), "utf8")).toBe(text);
  });

  it("is a file without a problem", () => {
    expect(file.problems).toEqual([]);
    expect(file.payments.length).toBe(SAMPLE_PAYMENTS);
  });

  it("never lets an account pay more than its opening balance, so any order of payments works", () => {
    const opening = parseAmount(SAMPLE_OPENING, 2);
    if (!opening.ok) throw new TypeError(opening.problem);
    const paid = new Map<string, bigint>();
    for (const payment of file.payments) paid.set(payment.from, (paid.get(payment.from) ?? 0n) + payment.minor);
    for (const total of paid.values()) expect(total <= opening.minor).toBe(true);
  });

  it("is between banks only", () => {
    for (const payment of file.payments) expect(payment.from.split(":")[0]).not.toBe(payment.to.split(":")[0]);
  });

  it("changes with the seed", () => {
    expect(generatePaymentDay({ seed: 2, payments: 50 })).not.toBe(generatePaymentDay({ seed: 3, payments: 50 }));
  });
});
