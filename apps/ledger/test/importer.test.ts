import { NarsesError } from "@narses/core";
import { describe, expect, it } from "vitest";
import { readPaymentFile } from "../src/csv/payment-file.ts";
import { runImport } from "../src/import/importer.ts";
import { batchIdOf, planImport, type ImportPlan } from "../src/import/plan.ts";
import { pipeline } from "../src/import/pipeline.ts";
import { openBench } from "./bench-ledger.ts";
import { fakeLedgerClient } from "./fake-client.ts";

const HEADER = "order_id,account_from,bank_to,account_to,amount,purpose";

function planOf(lines: readonly string[], opening: string | undefined = "100.00"): ImportPlan {
  const bytes = Buffer.from(`${[HEADER, ...lines].join("\n")}\n`);
  const file = readPaymentFile(bytes, { asset: "EUR", decimals: new Map([["EUR", 2]]) });
  expect(file.problems).toEqual([]);
  return planImport(file, { opening, batchId: batchIdOf(bytes) });
}

const LINES = ["1,10,YZ,500,40.00,HH", "2,10,ST,600,25.50,", "3,11,YZ,500,0.01,LO"];

describe("an import", () => {
  it("opens accounts on the fly and applies every payment once", async () => {
    const bench = openBench();
    const report = await runImport(fakeLedgerClient(bench, "bank"), planOf(LINES));
    expect(report).toMatchObject({ accountsCreated: 4, accountsPresent: 0, applied: 3, replayed: 0, refused: [], waited: 0 });
    expect(["HOME:10", "HOME:11", "YZ:500", "ST:600"].map((id) => bench.balance(id, "EUR"))).toEqual(["34.50", "99.99", "40.01", "25.50"]);
    expect(bench.sum("EUR")).toBe("0");
  });

  it("applies nothing twice when the file is imported again", async () => {
    const bench = openBench();
    const ledger = fakeLedgerClient(bench, "bank");
    await runImport(ledger, planOf(LINES));
    const before = new Map(bench.state);
    expect(await runImport(ledger, planOf(LINES))).toMatchObject({
      accountsCreated: 0,
      accountsPresent: 4,
      applied: 0,
      replayed: 3,
      refused: [],
    });
    expect(bench.state).toEqual(before);
  });

  it("finishes what an interrupted one began", async () => {
    const bench = openBench();
    let left = 5; // four accounts and one payment
    const cut = fakeLedgerClient(bench, "bank", {
      onSubmit: () => {
        if (left-- === 0) throw new NarsesError("TIMEOUT", "gone");
      },
    });
    await expect(runImport(cut, planOf(LINES), { chunk: 1, chunksInFlight: 1 })).rejects.toThrow("gone");
    expect(await runImport(fakeLedgerClient(bench, "bank"), planOf(LINES))).toMatchObject({ accountsPresent: 4, applied: 2, replayed: 1 });
  });

  it("reports a changed file under the same batch id as a conflict, and pays nothing for it", async () => {
    const bench = openBench();
    const ledger = fakeLedgerClient(bench, "bank");
    const plan = planOf(LINES);
    await runImport(ledger, plan);
    const changed = { ...planOf(["1,10,YZ,500,41.00,HH"]), batchId: plan.batchId };
    const { applied, refused } = await runImport(ledger, changed);
    expect([applied, refused.map(({ code, payment }) => [code, payment.line])]).toEqual([0, [["IDEMPOTENCY_CONFLICT", 2]]]);
  });

  it("lets a payment wait for the one that covers it, whatever their order", async () => {
    const bench = openBench();
    // HOME:21 gets its money from HOME:20 one line later; HOME:22 from HOME:21.
    const lines = ["1,22,HOME,23,120.00,", "2,21,HOME,22,120.00,", "3,20,HOME,21,90.00,"];
    const report = await runImport(fakeLedgerClient(bench, "bank"), planOf(lines), { chunk: 1, chunksInFlight: 1 });
    expect(report).toMatchObject({ applied: 3, refused: [], waited: 2 });
  });

  it("gives up on payments that nothing covers, and names their lines", async () => {
    const bench = openBench();
    const { applied, refused, waited } = await runImport(
      fakeLedgerClient(bench, "bank"),
      planOf(["1,10,YZ,500,40.00,", "2,10,YZ,500,70.00,"]),
    );
    expect([applied, waited, refused.map(({ code, payment }) => [code, payment.line])]).toEqual([1, 0, [["OVERDRAFT", 3]]]);
  });

  it("uses accounts that exist as they are", async () => {
    const bench = openBench();
    bench.apply("bank", { type: "account.create", id: "HOME:10", name: "old", opening: [{ asset: "EUR", amount: "500" }] });
    expect(await runImport(fakeLedgerClient(bench, "bank"), planOf(LINES))).toMatchObject({
      accountsCreated: 3,
      accountsPresent: 1,
      applied: 3,
    });
    expect(bench.balance("HOME:10", "EUR")).toBe("434.50");
  });

  it("stops before the first payment when accounts cannot be opened", async () => {
    const bench = openBench();
    await expect(runImport(fakeLedgerClient(bench, "alice"), planOf(LINES))).rejects.toThrow("only the issuer of EUR");
    expect(bench.sum("EUR")).toBe("0");
    expect((bench.ask({ type: "summary" }) as { transfers: number }).transfers).toBe(0);
  });

  it("submits again when a request id was spent by another process with the same key", async () => {
    const bench = openBench();
    const spent = new Set<unknown>();
    const ledger = fakeLedgerClient(bench, "bank", {
      onSubmit: (operation) => {
        const id = JSON.stringify(operation);
        if (spent.has(id)) return;
        spent.add(id);
        throw new NarsesError("NOT_EXECUTED", "id used");
      },
    });
    expect(await runImport(ledger, planOf(LINES))).toMatchObject({ applied: 3 });
  });
});

describe("the batch id", () => {
  it("follows the content, not the name", () => {
    expect(batchIdOf(Buffer.from("a"))).toBe(batchIdOf(Buffer.from("a")));
    expect(batchIdOf(Buffer.from("a"))).not.toBe(batchIdOf(Buffer.from("b")));
  });
});

describe("the pipeline", () => {
  it("keeps at most chunk × chunksInFlight items under way, starts them in order, and ends when all have ended", async () => {
    let running = 0;
    let most = 0;
    const started: number[] = [];
    const items = Array.from({ length: 53 }, (_, i) => i);
    await pipeline(
      items,
      async (item) => {
        started.push(item);
        most = Math.max(most, ++running);
        await new Promise((resolve) => setImmediate(resolve));
        running--;
      },
      { chunk: 5, chunksInFlight: 3 },
    );
    expect(started).toEqual(items);
    expect([most, running]).toEqual([15, 0]);
  });

  it("starts nothing after a failure, and throws it when the rest has ended", async () => {
    const started: number[] = [];
    await expect(
      pipeline(
        [0, 1, 2, 3, 4, 5],
        async (item) => {
          started.push(item);
          await new Promise((resolve) => setImmediate(resolve));
          if (item === 1) throw new TypeError("boom");
        },
        { chunk: 2, chunksInFlight: 1 },
      ),
    ).rejects.toThrow("boom");
    expect(started).toEqual([0, 1]);
  });

  it("ends with the reason of the signal", async () => {
    const stop = new AbortController();
    const started: number[] = [];
    await expect(
      pipeline(
        [0, 1, 2],
        async (item) => {
          started.push(item);
          stop.abort(new TypeError("enough"));
          await Promise.resolve();
        },
        { chunk: 1, chunksInFlight: 1, signal: stop.signal },
      ),
    ).rejects.toThrow("enough");
    expect(started).toEqual([0]);
  });
});
